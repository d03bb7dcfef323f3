//! The pools of a fleet.

use std::sync::Arc;
use std::time::Duration;

use halfopen::schedule::Schedule;

use super::fail_open::{FailOpen, Limit};
use super::health::{Rules, State};

/// How the targets of a pool are checked, and what the checks mean.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolSettings {
    /// Its name.
    pub name: Arc<str>,
    /// The SYNs of one check.
    pub schedule: Schedule,
    /// The time from the start of a check to that of the next one, in a steady state.
    pub interval: Duration,
    /// The same while a change of the state has begun.
    pub transition_interval: Duration,
    /// The same while the target is down.
    pub down_interval: Duration,
    /// By which fraction of the interval checks are moved at random, half of it each way.
    pub jitter: f64,
    /// How many checks change a state.
    pub rules: Rules,
    /// Whether states stand while nothing at all answers.
    pub holds_if_isolated: bool,
    /// When silent targets are advertised as up.
    pub fail_open: Limit,
    /// The index of the engine that its segments leave by.
    pub engine: usize,
}

/// A pool.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) settings: PoolSettings,
    /// The ids of its targets, without witnesses.
    pub(super) targets: Vec<u32>,
    /// Those of its witnesses.
    pub(super) witnesses: Vec<u32>,
    /// How many of them are up.
    pub(super) up: u32,
    /// How many of them are down.
    pub(super) down: u32,
    pub(super) fail_open: FailOpen,
}

impl Pool {
    pub(super) fn new(settings: PoolSettings) -> Self {
        let fail_open = FailOpen::new(settings.fail_open, settings.interval);
        Self { settings, targets: Vec::new(), witnesses: Vec::new(), up: 0, down: 0, fail_open }
    }

    /// Returns its targets, or its witnesses.
    pub(super) fn members(&mut self, are_witnesses: bool) -> &mut Vec<u32> {
        if are_witnesses { &mut self.witnesses } else { &mut self.targets }
    }

    /// Records that a target has changed from one state to another.
    pub(super) fn count_change(&mut self, from: State, to: State) {
        let change = |count: u32, state| count + u32::from(to == state) - u32::from(from == state);
        self.up = change(self.up, State::Up);
        self.down = change(self.down, State::Down);
    }

    /// Returns the number of targets, without witnesses.
    pub(super) fn count(&self) -> u32 {
        super::number(self.targets.len())
    }
}
