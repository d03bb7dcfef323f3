//! What the fleet tells about itself, and when its targets are checked next.

use std::time::Duration;

use rand::RngExt;

use super::Fleet;
use super::health::{Finding, State};
use super::target::finding;
use crate::event::{Event, EventKind, PoolView, TargetView};

impl Fleet {
    /// Tells what has happened to a target.
    pub(super) fn tell(&mut self, id: u32, kind: EventKind, transition: Option<(State, u8)>) {
        let view = self.target_view(id, transition);
        let pool = Some(self.view(self.target(id).pool));
        self.push(kind, pool, Some(view));
    }

    /// Tells what is known of the targets with this id or a higher one, until there are `most`
    /// such events. Returns where to continue, if there are more targets.
    pub fn tell_snapshot(&mut self, first: u32, most: usize) -> Option<u32> {
        let mut told = 0;
        for id in first..super::number(self.targets.len()) {
            if told == most {
                return Some(id);
            }
            if self.targets[id as usize].as_ref().is_some_and(|target| !target.is_witness) {
                self.tell(id, EventKind::Snapshot, None);
                told += 1;
            }
        }
        None
    }

    /// Returns a target as it is now, after this transition if there was one.
    pub(super) fn target_view(&self, id: u32, transition: Option<(State, u8)>) -> TargetView {
        let target = self.target(id);
        let to = target.health.state();
        let (from, count) = transition.unwrap_or((to, target.health.count()));
        TargetView {
            id,
            label: target.label(),
            endpoint: target.place.endpoint(),
            from,
            to,
            finding: target.finding(),
            reason: target.reason(),
            count,
            advertised: self.advertised(id),
            is_held: target.health.is_held(),
        }
    }

    /// Tells what concerns all targets.
    pub(super) fn tell_all(&mut self, kind: EventKind) {
        self.push(kind, None, None);
    }

    /// Tells that a pool begins or ceases to fail open, and which of its targets are advertised
    /// differently from now on. That of the target `but` is told already.
    pub(super) fn tell_fail_open(&mut self, pool: u32, but: u32) {
        self.push(EventKind::FailOpen, Some(self.view(pool)), None);
        for id in self.pools[pool as usize].targets.clone() {
            if id != but && self.is_silent(id) {
                self.tell(id, EventKind::FailOpen, None);
            }
        }
    }

    /// Returns what load balancers are told of a target.
    pub fn advertised(&self, id: u32) -> State {
        let state = self.target(id).health.state();
        let fails_open = self.pools[self.target(id).pool as usize].fail_open.is_open();
        if fails_open && self.is_silent(id) { State::Up } else { state }
    }

    /// Updates whether a pool fails open. Returns true if that changes.
    pub(super) fn update_fail_open(&mut self, pool: u32, now: Duration) -> bool {
        let Self { pools, open, .. } = self;
        let state = &mut pools[pool as usize];
        let targets = state.count();
        let switches = state.fail_open.update(state.up, targets, now);
        if state.fail_open.is_open() {
            open.insert(pool);
        } else {
            open.remove(&pool);
        }
        switches
    }

    /// Lets pools cease to fail open whose time has come.
    pub(super) fn close_pools(&mut self, now: Duration) {
        for pool in self.open.clone() {
            if self.update_fail_open(pool, now) {
                self.tell_fail_open(pool, u32::MAX);
            }
        }
    }

    /// Counts a target among those that are expected to answer, if it should.
    pub(super) fn expect_or_not(&mut self, id: u32) {
        let target = self.target(id);
        let is_up = target.is_witness || target.health.state() != State::Down;
        let address = target.place.endpoint().map(|endpoint| endpoint.ip());
        let Some(address) = address.filter(|_| !target.is_local()) else { return };
        if is_up != target.is_expected {
            self.isolation.expect(address, is_up);
            self.target_mut(id).is_expected = is_up;
        }
    }

    /// Schedules the next check of a target by what is known of it.
    pub(super) fn wait_as_found(&mut self, id: u32, now: Duration) {
        let target = self.target(id);
        let settings = &self.pools[target.pool as usize].settings;
        let begun = target.health.count() > 0 && !target.health.is_held();
        let interval = match target.health.state() {
            _ if begun => settings.transition_interval,
            State::Down => settings.down_interval,
            State::Up | State::Unknown => settings.interval,
        };
        if begun {
            self.target_mut(id).timing.next_fast(interval);
            return self.wait(id);
        }
        let jitter = settings.jitter * (self.random.random::<f64>() - 0.5);
        self.target_mut(id).timing.next_regular(interval, jitter, now);
        self.wait(id);
    }

    /// Schedules the next check of a target that could not be checked.
    pub(super) fn wait_regularly(&mut self, id: u32, now: Duration) {
        self.target_mut(id).timing.end(now);
        self.wait_as_found(id, now);
    }

    pub(super) fn wait(&mut self, id: u32) {
        let timing = self.target(id).timing;
        self.scheduler.add(id, &timing);
    }

    /// Returns true if a target is down and was found silent, not refusing.
    fn is_silent(&self, id: u32) -> bool {
        let target = self.target(id);
        let was_silent =
            target.trouble.as_ref().is_none_or(|trouble| finding(trouble) != Finding::Refused);
        target.health.state() == State::Down && was_silent
    }

    pub(super) fn view(&self, pool: u32) -> PoolView {
        let pool = &self.pools[pool as usize];
        PoolView {
            name: pool.settings.name.clone(),
            up: pool.up,
            targets: pool.count(),
            fails_open: pool.fail_open.is_open(),
        }
    }

    pub(super) fn push(
        &mut self,
        kind: EventKind,
        pool: Option<PoolView>,
        target: Option<TargetView>,
    ) {
        self.sequence += 1;
        self.events.push_back(Event { sequence: self.sequence, kind, pool, target });
    }
}
