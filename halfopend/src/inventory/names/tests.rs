//! Random answers of a name service, beside a simple model.

use std::collections::BTreeSet;

use halfopen::verdict::{LookupFailure, Reason, Verdict};
use proptest::prelude::*;

use super::*;
use crate::config::PoolConfig;
use crate::event::{Event, EventKind, TargetView};
use crate::fleet::Wanted;
use crate::fleet::health::State;

const HOST: &str = "web.example";

/// What a name service says.
#[derive(Debug, Clone)]
enum Saying {
    Addresses(Vec<u8>),
    NoSuchName,
    Fault,
    /// Nothing, for so many seconds, and then a fault.
    Silence(u64),
}

fn saying() -> impl Strategy<Value = Saying> {
    let addresses = prop::sample::subsequence(vec![1, 2, 3, 4], 1..=4).prop_shuffle();
    prop_oneof![
        4 => addresses.prop_map(Saying::Addresses),
        1 => Just(Saying::NoSuchName),
        1 => Just(Saying::Fault),
        1 => (1..60u64).prop_map(Saying::Silence),
    ]
}

fn address(last: u8) -> SocketAddr {
    ([198, 18, 0, last], 0).into()
}

struct Trial {
    fleet: Fleet,
    names: Names,
    now: Duration,
    /// The events so far, except snapshots.
    events: Vec<Event>,
}

impl Trial {
    /// A pool with this name, of which one address is a target, or each.
    fn new(every: bool) -> Self {
        let mut fleet = Fleet::new(0, 1);
        let pool = fleet.add_pool(PoolConfig::named("web").settings);
        let mut trial =
            Self { fleet, names: Names::default(), now: Duration::ZERO, events: Vec::new() };
        let named = Named { host: Host::Name(HOST.into()), port: 443, every };
        trial.names.attach(&mut trial.fleet, (pool, false), named, false, trial.now);
        trial
    }

    /// Waits until the name is looked up, and answers.
    fn say(&mut self, saying: Saying) {
        let id = loop {
            if let Some((id, _)) = self.names.poll(&mut self.fleet, self.now) {
                break id;
            }
            let next = self.names.poll_timeout().expect("a look-up is due sooner or later");
            self.now = self.now.max(next);
        };
        assert_eq!(self.names.poll(&mut self.fleet, self.now), None, "it is under way");
        let found = match saying {
            Saying::Addresses(list) => Ok(list.into_iter().map(address).collect()),
            Saying::NoSuchName => Err(LookupFailure::NotFound.into()),
            Saying::Fault => Err(LookupFailure::Temporary.into()),
            Saying::Silence(seconds) => {
                self.now += Duration::from_secs(seconds);
                assert_eq!(self.names.poll(&mut self.fleet, self.now), None, "it is under way");
                Err(LookupFailure::Failed.into())
            }
        };
        self.names.resolved(id, found, &mut self.fleet, self.now);
    }

    /// Returns the targets as they are now.
    fn targets(&mut self) -> Vec<TargetView> {
        self.take_events();
        assert_eq!(self.fleet.tell_snapshot(0, 100), None);
        std::iter::from_fn(|| self.fleet.poll_event()).filter_map(|event| event.target).collect()
    }

    fn take_events(&mut self) {
        self.events.extend(std::iter::from_fn(|| self.fleet.poll_event()));
    }

    fn kinds(&mut self) -> Vec<EventKind> {
        self.take_events();
        std::mem::take(&mut self.events).into_iter().map(|event| event.kind).collect()
    }

    /// Waits for so many seconds, in which no check begins.
    fn nothing_is_checked_for(&mut self, seconds: u64) {
        for _ in 0..=4 * seconds {
            assert!(!matches!(self.fleet.next(self.now), Wanted::Check(_)));
            self.now += Duration::from_millis(250);
        }
    }

    /// Lets checks find every target open.
    fn all_are_open(&mut self) {
        for target in self.targets() {
            self.fleet.found(target.id, Ok(Verdict::without_probe(Reason::SynAck)), self.now);
        }
    }
}

fn endpoints(targets: &[TargetView]) -> BTreeSet<Option<SocketAddr>> {
    targets.iter().map(|target| target.endpoint).collect()
}

fn with_port(last: u8) -> SocketAddr {
    ([198, 18, 0, last], 443).into()
}

proptest! {
    #[test]
    fn one_target_stays_at_its_address_while_the_name_has_it(
        sayings in prop::collection::vec(saying(), 1..40),
    ) {
        let mut trial = Trial::new(false);
        let id = trial.targets()[0].id;
        trial.all_are_open();
        let (mut address, mut is_known, mut has_been_held) = (None, false, false);
        for saying in sayings {
            trial.say(saying.clone());
            let targets = trial.targets();
            prop_assert_eq!(targets.len(), 1);
            match saying {
                Saying::Addresses(list) => {
                    let kept = address.filter(|address| list.contains(address));
                    address = kept.or(Some(list[0]));
                    is_known = true;
                }
                Saying::NoSuchName => is_known = false,
                Saying::Fault | Saying::Silence(_) => {
                    prop_assert!(is_known || targets[0].is_held);
                }
            }
            let expected = address.filter(|_| is_known).map(with_port);
            prop_assert_eq!(targets[0].endpoint, expected);
            prop_assert_eq!(targets[0].id, id);
            has_been_held |= targets[0].is_held;
            prop_assert!(targets[0].to == State::Up || has_been_held);
        }
        prop_assert!(!trial.kinds().contains(&EventKind::Down));
    }

    #[test]
    fn each_address_is_a_target_while_the_name_has_it(
        sayings in prop::collection::vec(saying(), 1..40),
    ) {
        let mut trial = Trial::new(true);
        let mut known = BTreeSet::new();
        for saying in sayings {
            let before = trial.targets();
            trial.say(saying.clone());
            let targets = trial.targets();
            match saying {
                Saying::Addresses(list) => {
                    known = list.iter().map(|last| Some(with_port(*last))).collect();
                    for last in list {
                        let label = format!("web.example[198.18.0.{last}]:443");
                        prop_assert!(targets.iter().any(|target| *target.label == *label));
                    }
                }
                Saying::NoSuchName => known = [None].into(),
                Saying::Fault | Saying::Silence(_) if known.iter().all(Option::is_none) => {
                    known = [None].into();
                    prop_assert!(targets.iter().all(|target| target.is_held));
                }
                Saying::Fault | Saying::Silence(_) => {}
            }
            prop_assert_eq!(&endpoints(&targets), &known);
            // Those that stay keep their ids and states.
            for target in &targets {
                let old = before.iter().find(|old| old.label == target.label);
                prop_assert!(old.is_none_or(|old| (old.id, old.to) == (target.id, target.to)));
            }
            trial.all_are_open();
        }
        prop_assert!(!trial.kinds().contains(&EventKind::Down));
    }
}

#[test]
fn a_name_that_is_gone_is_down_until_it_resolves_again() {
    let mut trial = Trial::new(false);
    trial.say(Saying::Addresses(vec![1]));
    trial.all_are_open();
    trial.say(Saying::NoSuchName);
    assert_eq!(trial.kinds(), [EventKind::Up]);
    trial.nothing_is_checked_for(20);
    assert_eq!(trial.kinds(), [EventKind::Down]);
    let targets = trial.targets();
    assert_eq!(targets[0].reason.as_deref(), Some("name does not resolve: not found"));
    // The name service fails: it is not known any more whether the name is gone.
    trial.say(Saying::Fault);
    trial.nothing_is_checked_for(0);
    assert_eq!(trial.kinds(), [EventKind::Held]);
    trial.nothing_is_checked_for(30);
    trial.say(Saying::Addresses(vec![1]));
    let Wanted::Check(check) = trial.fleet.next(trial.now) else { panic!("it is due at once") };
    assert_eq!(check.endpoint, with_port(1));
}

#[test]
fn a_target_is_held_while_its_name_was_never_resolved() {
    let mut trial = Trial::new(false);
    let (_, host) = trial.names.poll(&mut trial.fleet, trial.now).unwrap();
    assert_eq!(host, Host::Name(HOST.into()));
    let patience = trial.names.poll_timeout().unwrap();
    assert_eq!(trial.kinds(), []);
    assert_eq!(trial.names.poll(&mut trial.fleet, patience), None);
    assert_eq!(trial.kinds(), [EventKind::Held]);
    let reason = trial.targets()[0].reason.clone();
    assert_eq!(reason.as_deref(), Some("name does not resolve: no answer in time"));
    assert_eq!(trial.names.poll_timeout(), None, "it is asked again only after its answer");
    trial.now = patience;
    trial.nothing_is_checked_for(400);
    assert_eq!(trial.kinds(), []);
    trial.names.resolved(0, Ok(vec![address(1)]), &mut trial.fleet, trial.now);
    assert!(matches!(trial.fleet.next(trial.now), Wanted::Check(_)));
}
