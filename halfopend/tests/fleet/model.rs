//! A model of what a fleet should know: it keeps every answer and every check, and looks through
//! all of them again whenever it wants to know something.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use halfopend::fleet::PoolSettings;
use halfopend::fleet::health::{Rules, State};

use crate::world::{Answer, Made};

/// A target, and the counted checks since the last change of its state, as "is open, is refused".
#[derive(Debug)]
struct Target {
    endpoint: SocketAddr,
    settings: PoolSettings,
    state: State,
    counted: Vec<(bool, bool)>,
    faults_since: Option<Duration>,
    /// Whether the newest bad check that counts was a refusal.
    refuses: bool,
}

/// All targets, by id.
#[derive(Debug, Default)]
pub(crate) struct Model {
    targets: BTreeMap<u32, Target>,
    answers: Vec<Duration>,
    /// The number of answers when it last took three targets of two networks for silent.
    silent_at: Option<usize>,
}

impl Model {
    pub(crate) fn add(&mut self, id: u32, endpoint: SocketAddr, settings: PoolSettings) {
        let (state, counted) = (State::Unknown, Vec::new());
        let target =
            Target { endpoint, settings, state, counted, faults_since: None, refuses: false };
        self.targets.insert(id, target);
    }

    pub(crate) fn state(&self, id: u32) -> State {
        self.targets[&id].state
    }

    /// Returns true if only silence says that the target is down.
    pub(crate) fn is_silent(&self, id: u32) -> bool {
        let target = &self.targets[&id];
        target.state == State::Down && !target.refuses
    }

    pub(crate) fn take_in(&mut self, made: &Made) {
        let (is_open, is_refused) = match made.answer {
            Answer::Open(_) => (true, false),
            Answer::Refused(_) => (false, true),
            Answer::Silence if self.is_proof(made) => (false, false),
            Answer::Silence => return,
            Answer::Fault => return self.take_in_fault(made),
        };
        if made.answer != Answer::Silence {
            self.answers.push(made.ended);
        }
        let target = self.targets.get_mut(&made.id).expect("a target");
        target.faults_since = None;
        target.counted.push((is_open, is_refused));
        if !is_open {
            target.refuses = is_refused;
        }
        let newest = |is: &dyn Fn(&(bool, bool)) -> bool| {
            target.counted.iter().rev().take_while(|check| is(check)).count()
        };
        let Rules { rise, fall, fall_refused } = target.settings.rules;
        let next = match target.state {
            State::Unknown => {
                if is_open {
                    State::Up
                } else {
                    State::Down
                }
            }
            State::Up if newest(&|(open, _)| !open) >= fall.into() => State::Down,
            State::Up if newest(&|(_, refused)| *refused) >= fall_refused.into() => State::Down,
            State::Down if newest(&|(open, _)| *open) >= rise.into() => State::Up,
            same => same,
        };
        let says = if is_open { State::Up } else { State::Down };
        if next != target.state || says == next {
            (target.state, target.counted) = (next, Vec::new());
        }
    }

    fn take_in_fault(&mut self, made: &Made) {
        let target = self.targets.get_mut(&made.id).expect("a target");
        let since = *target.faults_since.get_or_insert(made.ended);
        if made.ended >= since + Duration::from_mins(5) && target.state != State::Unknown {
            (target.state, target.counted) = (State::Unknown, Vec::new());
        }
    }

    /// Returns true if something has answered between the time when an answer to the first SYN
    /// should have come, and the last SYN; or if too few targets are expected to answer.
    fn is_proof(&mut self, made: &Made) -> bool {
        let target = &self.targets[&made.id];
        let schedule = target.settings.schedule;
        let waits: Vec<_> = schedule.waits().collect();
        let (first, but_last) = (waits[0], &waits[..waits.len() - 1]);
        let last_syn = but_last.iter().sum::<Duration>().max(first);
        let critical = made.begun + first / 2..=made.begun + last_syn;
        if self.answers.iter().any(|at| critical.contains(at)) {
            return true;
        }
        let (holds, answers) = (target.settings.holds_if_isolated, self.answers.len());
        let at_stake = target.state != State::Down || !target.counted.is_empty();
        let are_many = self.are_many_expected();
        if at_stake && are_many {
            self.silent_at = Some(answers);
        }
        !holds || !(are_many || self.silent_at == Some(answers))
    }

    fn are_many_expected(&self) -> bool {
        let expected = self.targets.values().filter(|target| target.state != State::Down);
        let networks: Vec<_> = expected.map(|target| network(target.endpoint)).collect();
        networks.len() >= 3 && networks.iter().any(|other| *other != networks[0])
    }
}

fn network(endpoint: SocketAddr) -> Vec<u8> {
    match endpoint.ip() {
        IpAddr::V4(v4) => v4.octets()[..3].to_vec(),
        IpAddr::V6(v6) => v6.octets()[..8].to_vec(),
    }
}
