//! What the fleet tells about itself.

use std::net::SocketAddr;
use std::time::Duration;

use super::Fleet;
use super::health::State;
use crate::event::{Event, EventKind, PoolView, TargetView};

impl Fleet {
    /// Tells what has happened to a target.
    pub(super) fn tell(&mut self, id: u32, kind: EventKind, transition: Option<(State, u8)>) {
        let view = self.target_view(id, transition);
        let pool = Some(self.view(self.target(id).pool));
        self.push(kind, pool, Some(view));
    }

    /// Returns the ids of the targets of a pool, without witnesses.
    pub fn targets_of(&self, pool: u32) -> &[u32] {
        &self.pools[pool as usize].targets
    }

    /// Returns the ids of the witnesses of a pool.
    pub fn witnesses_of(&self, pool: u32) -> &[u32] {
        &self.pools[pool as usize].witnesses
    }

    /// Returns the endpoint of a target, if the operator wrote it.
    pub fn written_endpoint(&self, id: u32) -> Option<SocketAddr> {
        let target = self.target(id);
        target.place.endpoint().filter(|_| target.label.is_none())
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

    /// Returns all targets as they are now, with their pools.
    pub fn views(&self) -> impl Iterator<Item = (PoolView, TargetView)> {
        let ids = (0..).zip(&self.targets);
        ids.filter_map(|(id, target)| {
            let target = target.as_ref().filter(|target| !target.is_witness)?;
            Some((self.view(target.pool), self.target_view(id, None)))
        })
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

    /// Returns true if a target is down, and nothing hides it now.
    pub fn is_surely_down(&self, id: u32) -> bool {
        let target = self.targets.get(id as usize).and_then(Option::as_ref);
        !self.is_isolated()
            && target.is_some_and(|target| {
                let health = &target.health;
                !target.is_witness && health.state() == State::Down && !health.is_held()
            })
    }

    /// Updates whether a pool fails open. Returns true if that changes.
    pub(super) fn update_fail_open(&mut self, pool: u32, now: Duration) -> bool {
        let Self { pools, open, .. } = self;
        let state = &mut pools[pool as usize];
        let targets = state.count();
        let switches = state.fail_open.update(state.up, state.down, targets, now);
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

    /// Returns true if a target is down and was found silent, not refusing.
    fn is_silent(&self, id: u32) -> bool {
        self.target(id).health.is_down_by_silence()
    }

    pub(super) fn view(&self, pool: u32) -> PoolView {
        let pool = &self.pools[pool as usize];
        PoolView {
            name: pool.settings.name.clone(),
            up: pool.up,
            targets: pool.count(),
            fails_open: pool.fail_open.is_open(),
            fails_open_at: pool.fail_open.limit(pool.count()),
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
