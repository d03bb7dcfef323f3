//! How a check begins: its endpoint must be free, and there must be room for it.

use std::net::SocketAddr;
use std::time::Duration;

use halfopen::schedule::Schedule;

use super::endpoints::Turn;
use super::scheduler::Lane;
use super::target::Target;
use super::{Check, Fleet, PoolSettings, number};

/// A target that is due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    pub(super) id: u32,
    pub(super) lane: Lane,
    /// When it was due.
    pub(super) at: Duration,
    /// True for a cross-check: to see whether anything answers.
    pub(super) is_cross_check: bool,
}

/// A check that has been cancelled, and that the loop does not know of yet.
#[derive(Debug)]
pub(super) struct Cancelled {
    pub(super) endpoint: SocketAddr,
    pub(super) engine: usize,
    pub(super) id: u32,
    pub(super) at: Duration,
    /// True if the target was removed: another one may have its id as soon as no outcome of this
    /// check can come any more.
    pub(super) is_removed: bool,
}

impl Fleet {
    /// Returns the next endpoint whose check is to be cancelled. Call this until it returns `None`
    /// before the next call of [`Fleet::next`], and after all checks that have ended were reported.
    pub fn poll_unwanted(&mut self) -> Option<SocketAddr> {
        while let Some(cancelled) = self.cancelled.pop_front() {
            let Cancelled { endpoint, engine, id, at, is_removed } = cancelled;
            // If the target came back to this endpoint, the check may have ended meanwhile, or have
            // been cancelled twice.
            let is_checked = self.endpoints.is_checked_for(endpoint, id);
            if is_checked {
                self.capacity.release(engine);
                self.release(endpoint, id, at);
            }
            if is_removed {
                self.free.push(id);
            }
            if is_checked {
                return Some(endpoint);
            }
        }
        None
    }

    /// Begins to check the endpoint of a target, unless it is being checked, rests, or there is no
    /// room for another check.
    pub(super) fn claim(&mut self, due: Due, now: Duration) -> Option<Check> {
        let Due { id, lane, at, is_cross_check } = due;
        let engine = self.engine(id);
        if !is_cross_check && !self.capacity.has_room(engine) {
            self.capacity.wait(engine, due);
            return None;
        }
        let endpoint = self.target(id).place.endpoint().expect("an endpoint to check");
        match self.endpoints.claim(endpoint, id, now) {
            Turn::Now => {
                self.capacity.take(engine);
                self.target_mut(id).timing.begin(now);
                let schedule = self.share(id, endpoint, now);
                if lane == Lane::Fast {
                    self.scheduler.charge(number(schedule.attempts().count()), now);
                }
                return Some(Check { id, endpoint, engine, due: at });
            }
            Turn::At(rested) => {
                self.target_mut(id).timing.postpone(rested);
                self.wait(id);
            }
            Turn::Later => {}
        }
        None
    }

    /// Returns the index of the engine that a target leaves by.
    pub(super) fn engine(&self, id: u32) -> usize {
        self.pools[self.target(id).pool as usize].settings.engine
    }

    /// Lets a check that begins serve all targets that are due, have this endpoint and are checked
    /// in the same way. Returns its schedule.
    fn share(&mut self, id: u32, endpoint: SocketAddr, now: Duration) -> Schedule {
        let Self { endpoints, targets, pools, .. } = self;
        let way = |target: &Target| {
            let PoolSettings { schedule, engine, .. } = pools[target.pool as usize].settings;
            (schedule, engine)
        };
        let target = |id: u32| targets[id as usize].as_ref().expect("a target of this endpoint");
        let own = way(target(id));
        let can_join = |other: u32, waits: bool| {
            let other = target(other);
            way(other) == own && (waits || other.timing.is_due(now))
        };
        for companion in endpoints.share(endpoint, can_join).to_vec() {
            self.target_mut(companion).timing.begin(now);
        }
        own.0
    }

    /// Returns the targets that the check of this one serves, too: they have the same endpoint.
    pub fn companions(&self, id: u32) -> Vec<u32> {
        let Some(endpoint) = self.endpoint_of(id) else { return Vec::new() };
        let companions = self.endpoints.companions(endpoint);
        if companions.is_empty() || !self.endpoints.is_checked_for(endpoint, id) {
            return Vec::new();
        }
        companions.to_vec()
    }
}

#[cfg(test)]
mod tests {
    use halfopen::verdict::{Reason, Verdict};

    use super::*;
    use crate::config::PoolConfig;
    use crate::fleet::{Member, Place, Wanted};

    /// Its check is cancelled, twice even, and may end before the loop knows of that.
    #[test]
    fn a_check_frees_its_place_once_if_its_target_leaves_and_comes_back() {
        for ends in [false, true] {
            let mut fleet = Fleet::new(0, 7);
            fleet.limit_checks(&[4]);
            let pool = fleet.add_pool(PoolConfig::named("web").settings);
            let place = |host| Place::Endpoint(([198, 18, 0, host], 80).into());
            let (old, new) = (place(1), place(2));
            let member = Member { label: None, place: old, is_witness: false };
            let id = fleet.add(pool, member, Duration::ZERO);
            let now = Duration::from_secs(5);
            assert!(matches!(fleet.next(now), Wanted::Check(_)));
            for place in [new, old, new, old] {
                fleet.set_place(id, place, now);
            }
            if ends {
                fleet.ended(id, Ok(Verdict::without_probe(Reason::SynAck)), now);
            }
            assert_eq!(fleet.poll_unwanted(), (!ends).then(|| ([198, 18, 0, 1], 80).into()));
            assert_eq!((fleet.poll_unwanted(), fleet.capacity.running(0)), (None, 0));
        }
    }

    /// Their ids are given to others, which are not due yet. (If each removal looked at all that
    /// wait, this would take minutes.)
    #[test]
    fn of_many_targets_that_wait_those_that_are_removed_are_not_checked() {
        const COUNT: u32 = 100_000;
        let mut fleet = Fleet::new(0, 7);
        fleet.limit_checks(&[2]); // one of them is for cross-checks
        let pool = fleet.add_pool(PoolConfig::named("web").settings);
        let place = |number: u32| {
            let [_, net, high, low] = number.to_be_bytes();
            Place::Endpoint(([198, 18 + net, high, low], 80).into())
        };
        let member = |number| Member { label: None, place: place(number), is_witness: false };
        let ids: Vec<_> = (0..COUNT).map(|n| fleet.add(pool, member(n), Duration::ZERO)).collect();
        let now = Duration::from_secs(5);
        let Wanted::Check(first) = fleet.next(now) else { panic!("all are due") };
        assert!(!matches!(fleet.next(now), Wanted::Check(_)));
        assert_eq!(fleet.delayed(), u64::from(COUNT - 1));
        let stays = if first.id == 7 { 8 } else { 7 };
        let others = ids.iter().copied().filter(|id| ![first.id, stays].contains(id));
        others.for_each(|id| fleet.remove(id, now));
        for number in COUNT..2 * COUNT - 2 {
            assert!(fleet.add(pool, member(number), now) < COUNT, "a new id");
        }
        fleet.ended(first.id, Ok(Verdict::without_probe(Reason::SynAck)), now);
        assert!(matches!(fleet.next(now), Wanted::Check(check) if check.id == stays));
        fleet.ended(stays, Ok(Verdict::without_probe(Reason::SynAck)), now);
        assert!(!matches!(fleet.next(now), Wanted::Check(_)));
    }
}
