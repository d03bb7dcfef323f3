//! Random changes of a fleet, beside a simple model of what it should know.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use halfopen::verdict::{LookupFailure, Reason, Verdict};
use proptest::prelude::*;

use super::super::scheduler::REST;
use super::*;
use crate::config::PoolConfig;
use crate::fleet::Wanted;

const POOLS: u32 = 2;

/// What happens to a fleet.
#[derive(Debug, Clone, Copy)]
enum Step {
    Add {
        pool: u32,
        place: Place,
        is_witness: bool,
    },
    /// The target with this index among those that there are.
    Remove(usize),
    Move(usize, Place),
    /// The end of the check with this index among the pending ones.
    End(usize, bool),
    Found(usize),
    Wait(u64),
    Settings(u32, u64),
    Answered,
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![
        8 => (1..6u8, 1..3u8).prop_map(|(net, host)| {
            Place::Endpoint(([198, 18, net, host], 80).into())
        }),
        1 => Just(Place::Unresolved),
        1 => Just(Place::Gone(LookupFailure::NotFound)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..POOLS, place(), prop::bool::weighted(0.2))
            .prop_map(|(pool, place, is_witness)| Step::Add { pool, place, is_witness }),
        1 => any::<usize>().prop_map(Step::Remove),
        2 => (any::<usize>(), place()).prop_map(|(index, place)| Step::Move(index, place)),
        8 => (any::<usize>(), any::<bool>()).prop_map(|(index, good)| Step::End(index, good)),
        1 => any::<usize>().prop_map(Step::Found),
        6 => (0..2000u64).prop_map(Step::Wait),
        1 => (0..POOLS, 1..10u64).prop_map(|(pool, seconds)| Step::Settings(pool, seconds)),
        2 => Just(Step::Answered),
    ]
}

/// A fleet, and what a checker would have to do for it.
struct Trial {
    fleet: Fleet,
    now: Duration,
    ids: Vec<u32>,
    /// The checks that are pending, by endpoint.
    pending: BTreeMap<SocketAddr, u32>,
    /// When the newest check of each endpoint ended.
    ended: HashMap<SocketAddr, Duration>,
    checks: HashMap<u32, usize>,
}

const SILENCE: Reason = Reason::NoAnswer { syns: 3, waited: Duration::from_secs(1) };

impl Trial {
    fn new() -> Self {
        let mut fleet = Fleet::new(0, 7);
        fleet.limit_checks(&[4]); // there are up to ten endpoints
        for pool in 0..POOLS {
            fleet.add_pool(PoolConfig::named(&pool.to_string()).settings);
        }
        Self {
            fleet,
            now: Duration::ZERO,
            ids: Vec::new(),
            pending: BTreeMap::new(),
            ended: HashMap::new(),
            checks: HashMap::new(),
        }
    }

    fn take(&mut self, step: Step) {
        let now = self.now;
        match step {
            Step::Add { pool, place, is_witness } => {
                let member = Member { label: Some("x".into()), place, is_witness };
                let id = self.fleet.add(pool, member, now);
                assert!(!self.ids.contains(&id));
                self.ids.push(id);
                self.checks.insert(id, 0);
                self.fleet.announce(id, now);
            }
            Step::Remove(index) | Step::Move(index, _) | Step::Found(index) => {
                if let Some(index) = index.checked_rem(self.ids.len()) {
                    self.change(index, step);
                }
            }
            Step::End(index, is_open) => {
                if let Some(index) = index.checked_rem(self.pending.len()) {
                    self.end(index, if is_open { Reason::SynAck } else { SILENCE });
                }
            }
            Step::Wait(milliseconds) => self.now += Duration::from_millis(milliseconds),
            Step::Settings(pool, seconds) => {
                let mut settings = PoolConfig::named(&pool.to_string()).settings;
                settings.interval = Duration::from_secs(seconds);
                self.fleet.set_settings(pool, settings, now);
            }
            Step::Answered => self.fleet.answered(now),
        }
        self.run();
        self.judge();
    }

    fn change(&mut self, index: usize, step: Step) {
        let id = self.ids[index];
        let state = self.fleet.target(id).health.state();
        match step {
            Step::Remove(_) => {
                self.ids.swap_remove(index);
                self.fleet.remove(id, self.now);
                return self.late_outcome(id);
            }
            Step::Move(_, place) => {
                self.fleet.set_place(id, place, self.now);
                self.late_outcome(id);
            }
            _ if self.fleet.target(id).place == Place::Unresolved => {
                let reason = Reason::NameNotResolved(LookupFailure::TimedOut);
                self.fleet.found(id, Ok(Verdict::without_probe(reason)), self.now);
                let target = self.fleet.target(id);
                assert!(target.is_witness || target.health.is_held());
            }
            _ => {}
        }
        assert!([state, State::Unknown].contains(&self.fleet.target(id).health.state()));
    }

    fn end(&mut self, index: usize, reason: Reason) {
        let (endpoint, id) = self.pending.iter().nth(index).expect("one of them");
        let (endpoint, id) = (*endpoint, *id);
        self.pending.remove(&endpoint);
        self.ended.insert(endpoint, self.now);
        self.fleet.ended(id, Ok(Verdict::without_probe(reason)), self.now);
    }

    /// The end of a check that was cancelled a moment ago, if there was one.
    fn late_outcome(&mut self, id: u32) {
        let is_its = self.pending.values().any(|pending| *pending == id);
        let is_cancelled = self.fleet.cancelled.iter().any(|cancelled| cancelled.id == id);
        if is_its && is_cancelled {
            let before = self.fleet.sequence;
            self.fleet.ended(id, Ok(Verdict::without_probe(Reason::RstAck)), self.now);
            assert_eq!(self.fleet.sequence, before, "an outcome of a cancelled check counts");
        }
    }

    fn run(&mut self) {
        while let Some(endpoint) = self.fleet.poll_unwanted() {
            assert!(self.pending.remove(&endpoint).is_some(), "cancels what is not pending");
            self.ended.insert(endpoint, self.now);
        }
        while let Wanted::Check(check) = self.fleet.next(self.now) {
            assert!(self.ids.contains(&check.id), "checks a target that was removed");
            let ended = self.ended.get(&check.endpoint);
            assert!(ended.is_none_or(|ended| *ended + REST <= self.now), "does not rest");
            let other = self.pending.insert(check.endpoint, check.id);
            assert_eq!(other, None, "two checks of an endpoint at once");
            for id in self.fleet.companions(check.id).into_iter().chain([check.id]) {
                let target = self.fleet.target(id);
                assert_eq!(target.place, Place::Endpoint(check.endpoint), "another endpoint");
                *self.checks.get_mut(&id).expect("a target") += 1;
            }
        }
    }

    fn judge(&mut self) {
        while let Some(event) = self.fleet.poll_event() {
            assert!(event.pool.is_none_or(|pool| pool.up <= pool.targets));
        }
        assert_eq!(self.fleet.capacity.running(0), self.pending.len());
        let targets = || self.ids.iter().map(|id| (*id, self.fleet.target(*id)));
        for (pool, state) in (0..).zip(&self.fleet.pools) {
            let own: Vec<_> = targets().filter(|(_, t)| t.pool == pool && !t.is_witness).collect();
            let up = own.iter().filter(|(_, t)| t.health.state() == State::Up).count();
            assert_eq!((state.up as usize, state.targets.len()), (up, own.len()));
        }
        for (id, target) in targets() {
            let Pool { targets, witnesses, .. } = &self.fleet.pools[target.pool as usize];
            let members = if target.is_witness { witnesses } else { targets };
            assert_eq!(members[target.position as usize], id);
        }
        let expected = targets().filter(|(_, target)| target.health.state() != State::Down);
        let expected: BTreeSet<_> =
            expected.filter_map(|(_, target)| target.place.endpoint()).collect();
        let network = |endpoint: &SocketAddr| match endpoint.ip() {
            IpAddr::V4(address) => address.octets()[2],
            IpAddr::V6(_) => unreachable!("none in this test"),
        };
        assert_eq!(self.fleet.isolation.expected(), counts(expected.iter().map(network)));
    }

    /// Every target that has an endpoint is checked sooner or later.
    fn go_on(&mut self) {
        let before = self.checks.clone();
        for _ in 0..200 {
            self.take(Step::Wait(250));
            self.take(Step::Answered);
            while !self.pending.is_empty() {
                self.take(Step::End(0, true));
            }
        }
        for id in &self.ids {
            if self.fleet.target(*id).place.endpoint().is_some() {
                assert!(self.checks[id] > before[id], "a target is checked no more");
            }
        }
    }
}

/// Returns how often each key occurs, sorted.
fn counts<K: Ord>(keys: impl Iterator<Item = K>) -> Vec<usize> {
    let mut counts = BTreeMap::<K, usize>::new();
    keys.for_each(|key| *counts.entry(key).or_default() += 1);
    let mut counts: Vec<_> = counts.into_values().collect();
    counts.sort_unstable();
    counts
}

proptest! {
    #[test]
    fn a_fleet_that_changes_stays_consistent(steps in prop::collection::vec(step(), 1..150)) {
        let mut trial = Trial::new();
        for step in steps {
            trial.take(step);
        }
        trial.go_on();
    }
}

/// Some would starve if turns were not kept or shared: each wants a check every 100 ms.
#[test]
fn targets_with_the_same_endpoint_are_all_checked() {
    let mut trial = Trial::new();
    let place = Place::Endpoint(([198, 18, 0, 1], 80).into());
    for pool in [0, 1, 1] {
        trial.take(Step::Add { pool, place, is_witness: false });
    }
    for pool in 0..POOLS {
        let mut settings = PoolConfig::named("fast").settings;
        settings.interval = Duration::from_millis(100);
        trial.fleet.set_settings(pool, settings, trial.now);
    }
    for _ in 0..1000 {
        trial.take(Step::Wait(20));
        trial.take(Step::End(0, true));
    }
    let checks: Vec<_> = trial.ids.iter().map(|id| trial.checks[id]).collect();
    // 20 s, and half a second of rest after each check, which serves all of them.
    assert!(checks.iter().all(|checks| (37..=39).contains(checks)), "{checks:?}");
}

/// The first check of an address that has changed does not depend on what the old one was found to
/// be.
#[test]
fn counting_starts_over_at_a_new_address() {
    let mut trial = Trial::new();
    let [old, new] = [1, 2].map(|host| Place::Endpoint(([198, 18, 0, host], 80).into()));
    trial.take(Step::Add { pool: 0, place: old, is_witness: false });
    let run = |trial: &mut Trial, good: bool| {
        while trial.pending.is_empty() {
            trial.take(Step::Wait(10));
        }
        trial.take(Step::End(0, good));
        let health = &trial.fleet.target(trial.ids[0]).health;
        (health.state(), health.count())
    };
    assert_eq!(run(&mut trial, true), (State::Up, 0));
    assert_eq!(run(&mut trial, false), (State::Up, 1));
    assert_eq!(run(&mut trial, false), (State::Up, 2));
    trial.take(Step::Move(0, new));
    assert_eq!(run(&mut trial, false), (State::Up, 1));
    assert_eq!(run(&mut trial, false), (State::Up, 2));
    assert_eq!(run(&mut trial, false), (State::Down, 0));
    trial.take(Step::Move(0, old));
    assert_eq!(run(&mut trial, true), (State::Down, 1));
    assert_eq!(run(&mut trial, true), (State::Up, 0));
}
