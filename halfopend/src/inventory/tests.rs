//! Random reloads, beside a simple model of which targets there are and what is known of them.

use std::collections::BTreeMap;

use halfopen::target::Target;
use halfopen::verdict::{Reason, Verdict};
use proptest::prelude::*;

use super::*;
use crate::event::{EventKind, TargetView};
use crate::fleet::health::State;

const ENDPOINTS: [&str; 5] =
    ["198.18.0.1:80", "198.18.0.2:80", "198.18.1.0/30:80-81", "[2001:db8::1]:80", "198.18.0.1:81"];
const NAMES: [&str; 3] = ["one.example:80", "two.example:80-82", "one.example:443"];

/// What one pool has: indices of the above, its witnesses, and its interval in seconds.
type Written = (Vec<usize>, Vec<usize>, Vec<usize>, u64);

fn written() -> impl Strategy<Value = Written> {
    let some = |of: usize| prop::sample::subsequence((0..of).collect::<Vec<_>>(), 0..=of);
    (some(ENDPOINTS.len()), some(NAMES.len()), some(ENDPOINTS.len()), 1..20u64)
}

fn parse(texts: &[&str], indices: &[usize]) -> Vec<Target> {
    indices.iter().map(|index| texts[*index].parse().expect("a target")).collect()
}

fn pools(written: &[Option<Written>]) -> Vec<PoolConfig> {
    let pool = |(number, written): (usize, &Option<Written>)| {
        let (endpoints, names, witnesses, interval) = written.as_ref()?;
        let mut pool = PoolConfig::named(&number.to_string());
        pool.targets = [parse(&ENDPOINTS, endpoints), parse(&NAMES, names)].concat();
        pool.witnesses = parse(&ENDPOINTS, witnesses);
        pool.settings.interval = Duration::from_secs(*interval);
        Some(pool)
    };
    written.iter().enumerate().filter_map(pool).collect()
}

/// Returns the labels of these targets.
fn labels(targets: &[Target]) -> Vec<String> {
    let each = targets.iter().flat_map(|target| {
        let addresses: Vec<_> = match &target.hosts {
            halfopen::target::Hosts::Block(block) => block.iter().map(Some).collect(),
            _ => vec![None],
        };
        let label = move |address: Option<std::net::IpAddr>, port| {
            target.label(port, address.map(|address| (address, port).into()))
        };
        let on_ports = move |address| target.ports.iter().map(move |port| label(address, port));
        addresses.into_iter().flat_map(on_ports)
    });
    each.collect()
}

struct Trial {
    inventory: Inventory,
    fleet: Fleet,
    now: Duration,
    /// The state of each target, by pool and label.
    model: BTreeMap<(String, String), State>,
}

impl Trial {
    fn new() -> Self {
        let config = Config { pools: Vec::new(), ..Config::of_targets(Vec::new()) };
        let mut fleet = Fleet::new(0, 1);
        let read: ReadConfig = Arc::new(|| unreachable!("read elsewhere"));
        let inventory = Inventory::new(config, read, &mut fleet, Duration::ZERO);
        Self { inventory, fleet, now: Duration::ZERO, model: BTreeMap::new() }
    }

    fn reload(&mut self, pools: Vec<PoolConfig>) {
        let members: Vec<_> = pools
            .iter()
            .map(|p| (p.settings.name.to_string(), labels(&p.targets), labels(&p.witnesses).len()))
            .collect();
        let plan = Plan::between(
            &self.inventory.reload.in_force,
            InForce::of(Config { pools, ..Config::of_targets(vec![]) }),
        );
        self.inventory.reload.in_force = Arc::clone(&plan.next);
        while self.fleet.poll_event().is_some() {}
        self.inventory.begin(plan, true, &mut self.fleet, self.now);
        while !self.inventory.changes.are_made() {
            self.inventory.changes.make_some(&mut self.fleet, self.now);
        }
        let names = members
            .iter()
            .flat_map(|(pool, labels, _)| labels.iter().map(|label| (pool.clone(), label.clone())));
        let old = std::mem::take(&mut self.model);
        self.model =
            names.map(|key| (key.clone(), *old.get(&key).unwrap_or(&State::Unknown))).collect();
        self.judge_events(&old);
        let numbers = &self.inventory.pools;
        assert_eq!(numbers.len(), members.len());
        for (pool, _, witnesses) in members {
            assert_eq!(self.fleet.witnesses_of(numbers[&*pool]).len(), witnesses);
        }
    }

    /// What is told of a reload: which targets were added and removed, and nothing else.
    fn judge_events(&mut self, old: &BTreeMap<(String, String), State>) {
        let mut told: Vec<_> = std::iter::from_fn(|| self.fleet.poll_event())
            .filter_map(|event| {
                let key = (event.pool?.name.to_string(), event.target?.label.into_string());
                Some((key, event.kind))
            })
            .collect();
        let lacks = |map: &BTreeMap<_, _>, key: &_| !map.contains_key(key);
        let added = self.model.keys().filter(|key| lacks(old, key)).map(|k| (k, EventKind::Added));
        let removed = old.keys().filter(|key| lacks(&self.model, key));
        let removed = removed.map(|key| (key, EventKind::Removed));
        let mut expected: Vec<_> =
            added.chain(removed).map(|(key, kind)| (key.clone(), kind)).collect();
        told.sort_by(|one, other| one.0.cmp(&other.0));
        expected.sort_by(|one, other| one.0.cmp(&other.0));
        assert_eq!(told, expected);
    }

    fn targets(&mut self) -> Vec<(String, TargetView)> {
        while self.fleet.poll_event().is_some() {}
        assert_eq!(self.fleet.tell_snapshot(0, 10_000), None);
        let events = std::iter::from_fn(|| self.fleet.poll_event());
        events.filter_map(|event| Some((event.pool?.name.to_string(), event.target?))).collect()
    }

    /// The targets are those of the model. Then some of them are found to be open or closed.
    fn judge(&mut self, findings: &[bool]) {
        let targets = self.targets();
        assert_eq!(targets.len(), self.model.len());
        for (index, (pool, target)) in targets.into_iter().enumerate() {
            let state = self.model.get_mut(&(pool, target.label.into_string())).expect("a target");
            assert_eq!(target.to, *state);
            if *state == State::Unknown && target.endpoint.is_some() {
                let is_open = findings[index % findings.len()];
                let reason = if is_open { Reason::SynAck } else { Reason::RstAck };
                self.fleet.found(target.id, Ok(Verdict::without_probe(reason)), self.now);
                *state = if is_open { State::Up } else { State::Down };
            }
        }
    }

    /// The name service answers all questions.
    fn answer(&mut self, last: u8) {
        self.now += Duration::from_secs(1);
        while let Some((id, _)) = self.inventory.names.poll(&mut self.fleet, self.now) {
            let found = Ok(vec![([198, 18, 2, last], 0).into()]);
            self.inventory.names.resolved(id, found, &mut self.fleet, self.now);
        }
    }
}

proptest! {
    #[test]
    fn targets_that_stay_keep_what_is_known_of_them(
        reloads in prop::collection::vec(
            (prop::collection::vec(prop::option::of(written()), 3), 1..4u8),
            1..12,
        ),
        findings in prop::collection::vec(any::<bool>(), 7),
    ) {
        let mut trial = Trial::new();
        for (written, last) in reloads {
            trial.reload(pools(&written));
            trial.answer(last);
            trial.judge(&findings);
        }
        trial.reload(Vec::new());
        prop_assert!(trial.targets().is_empty());
        prop_assert_eq!(trial.inventory.names.len(), 0);
    }
}

/// A name that comes and goes leaves nothing behind.
#[test]
fn nothing_accumulates() {
    let mut trial = Trial::new();
    let all: Written = ((0..5).collect(), (0..3).collect(), vec![0], 5);
    for round in 0..1000 {
        trial.reload(pools(&[Some(all.clone()), (round % 2 == 0).then(|| all.clone())]));
        trial.inventory.names.ask_again(trial.now);
        trial.answer(1);
    }
    let ids: Vec<_> = trial.targets().iter().map(|(_, target)| target.id).collect();
    assert!(ids.iter().all(|id| *id < 100), "ids are used again: {ids:?}");
    assert_eq!(trial.inventory.names.len(), 2);
    assert!(trial.inventory.names.wakes() < 10);
}
