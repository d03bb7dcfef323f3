//! How pools and targets come, change and go.

use std::net::SocketAddr;
use std::time::Duration;

use halfopen::verdict::Outcome;
use rand::RngExt;

use super::claims::Cancelled;
use super::health::{Finding, Health, State};
use super::pool::Pool;
use super::scheduler::{REST, Timing};
use super::target::{Place, Target, finding};
use super::{FIRST_ROUND, Fleet, Member, PoolSettings, number};
use crate::event::EventKind;

impl Fleet {
    /// Adds a pool without targets, and returns its number.
    pub fn add_pool(&mut self, settings: PoolSettings) -> u32 {
        self.shortest_interval = self.shortest_interval.min(settings.interval);
        self.longest_check = self.longest_check.max(settings.schedule.waits().sum());
        self.isolation.set_times(self.shortest_interval, self.longest_check);
        let added = Pool::new(settings);
        if let Some(pool) = self.free_pools.pop_first() {
            self.pools[pool as usize] = added;
            return pool;
        }
        self.pools.push(added);
        number(self.pools.len() - 1)
    }

    /// Removes a pool, which has no targets any more. Another one may get its number.
    ///
    /// # Panics
    ///
    /// Panics if it has targets.
    pub fn remove_pool(&mut self, pool: u32) {
        assert!(self.pools[pool as usize].targets.is_empty(), "a pool with targets");
        self.open.remove(&pool);
        self.free_pools.insert(pool);
        self.update_times();
    }

    /// Changes how the targets of a pool are checked, and what the checks mean. States and counts
    /// stand.
    pub fn set_settings(&mut self, pool: u32, settings: PoolSettings, now: Duration) {
        let state = &mut self.pools[pool as usize];
        if state.settings == settings {
            return;
        }
        let intervals = |s: &PoolSettings| [s.interval, s.transition_interval, s.down_interval];
        let (old, new) = (intervals(&state.settings), intervals(&settings));
        let comes_earlier = old.iter().zip(new).any(|(old, new)| new < *old);
        state.fail_open.set_limit(settings.fail_open, settings.interval);
        state.settings = settings;
        self.update_times();
        if comes_earlier {
            let Pool { targets, witnesses, .. } = &self.pools[pool as usize];
            for id in [&targets[..], witnesses].concat() {
                self.come_earlier(id, now);
            }
        }
        let Pool { up, down, .. } = self.pools[pool as usize];
        if up + down > 0 && self.update_fail_open(pool, now) {
            self.tell_fail_open(pool, u32::MAX);
        }
    }

    /// Adds a target to a pool, and returns its id. Its first check comes within the first round,
    /// or as soon as the rate allows. The later ones are spread over the whole interval.
    pub fn add(&mut self, pool: u32, member: Member, now: Duration) -> u32 {
        let interval = self.pools[pool as usize].settings.interval;
        let share = self.random.random();
        let round = interval.min(FIRST_ROUND);
        let ready = self.scheduler.ready_for_another(now, self.is_running);
        let timing = if ready > now + round {
            Timing::starting_at(ready, ready + interval.mul_f64(share))
        } else {
            Timing::starting_at(now + round.mul_f64(share), now + interval.mul_f64(share))
        };
        let Member { label, place, is_witness } = member;
        let target = Target {
            pool,
            position: number(self.pools[pool as usize].members(is_witness).len()),
            label: label.map(Box::new),
            place,
            is_witness,
            is_expected: false,
            is_own: false,
            health: Health::default(),
            timing,
            trouble: None,
        };
        let id = self.free.pop().unwrap_or_else(|| {
            self.targets.push(None);
            number(self.targets.len() - 1)
        });
        self.targets[id as usize] = Some(target);
        self.pools[pool as usize].members(is_witness).push(id);
        self.enter_place(id);
        self.expect_or_not(id);
        self.wait(id);
        id
    }

    /// Tells that a target was added, and updates what its pool advertises.
    pub fn announce(&mut self, id: u32, now: Duration) {
        if self.target(id).is_witness {
            return;
        }
        self.tell(id, EventKind::Added, None);
        let pool = self.target(id).pool;
        // Without that, there is nothing to advertise, or it has failed open already.
        if self.pools[pool as usize].up > 0 && self.update_fail_open(pool, now) {
            self.tell_fail_open(pool, u32::MAX);
        }
    }

    /// Removes a target. If it is being checked, that is cancelled.
    ///
    /// # Panics
    ///
    /// Panics if there is no such target.
    pub fn remove(&mut self, id: u32, now: Duration) {
        self.leave_place(id, true, now);
        let view = self.target_view(id, None);
        let Target { pool, position, is_witness, health, .. } =
            self.targets[id as usize].take().expect("a target of the fleet");
        let members = self.pools[pool as usize].members(is_witness);
        members.swap_remove(position as usize);
        if let Some(moved) = members.get(position as usize).copied() {
            self.target_mut(moved).position = position;
        }
        if is_witness {
            return;
        }
        let state = &mut self.pools[pool as usize];
        let has_news = state.up > 0 || state.fail_open.is_open();
        state.count_change(health.state(), State::Unknown);
        let switches = has_news && self.update_fail_open(pool, now);
        self.push(EventKind::Removed, Some(self.view(pool)), Some(view));
        if switches {
            self.tell_fail_open(pool, u32::MAX);
        }
    }

    /// Moves a target. Its state stands. At another endpoint, counting starts over.
    pub fn set_place(&mut self, id: u32, place: Place, now: Duration) {
        if self.target(id).place == place {
            return;
        }
        let was_pending = self.leave_place(id, false, now);
        let target = self.target_mut(id);
        let was_known = target.place.endpoint().is_some();
        target.place = place;
        let is_urgent = was_pending || !was_known || target.health.is_held();
        if is_urgent && target.timing.begun() <= now {
            target.timing.set_due(now);
        }
        if place.endpoint().is_some() {
            target.health.start_over();
            target.is_own = false;
        }
        self.enter_place(id);
        self.expect_or_not(id);
        if is_urgent {
            self.wait(id);
        }
    }

    /// Lets a target that was added be checked at once.
    pub fn check_at_once(&mut self, id: u32, now: Duration) {
        self.target_mut(id).timing.move_to(now);
        self.wait(id);
    }

    /// Records what is known of a target without a check, such as why its name is not resolved. A
    /// target that is not resolved meets this again whenever it is due.
    pub fn found(&mut self, id: u32, outcome: Outcome, now: Duration) {
        let found = finding(&outcome);
        self.target_mut(id).trouble = (found != Finding::Open).then(|| Box::new(outcome));
        self.observe(id, found, now);
    }

    /// Records the endpoint of a target, if it has one.
    fn enter_place(&mut self, id: u32) {
        let targets = &self.targets;
        let endpoint_of = |id: u32| targets[id as usize].as_ref()?.place.endpoint();
        if let Some(endpoint) = endpoint_of(id) {
            self.by_endpoint.insert(id, endpoint, endpoint_of);
        }
    }

    /// Ends the check of an endpoint, or the wait for one, and lets the next target have its turn.
    pub(super) fn release(&mut self, endpoint: SocketAddr, id: u32, now: Duration) {
        if let Some((next, due)) = self.endpoints.release(endpoint, id, now)
            && let Some(target) = &mut self.targets[next as usize]
        {
            target.timing.postpone(due);
            self.wait(next);
        }
        self.visits.wake(endpoint, now + REST);
    }

    /// Lets a target leave its endpoint, if it has one. Returns true if it was being checked, or
    /// waited for its turn.
    fn leave_place(&mut self, id: u32, is_removed: bool, now: Duration) -> bool {
        let engine = self.engine(id);
        let target = self.target_mut(id);
        let was_pending = std::mem::take(&mut target.timing.is_pending);
        let is_expected = target.is_expected;
        let endpoint = target.place.endpoint();
        if let Some(endpoint) = endpoint {
            self.endpoints.forget(endpoint, id);
            if was_pending {
                self.capacity.forget(engine, id);
            }
            if is_expected {
                self.set_expected(id, false);
            }
            self.by_endpoint.remove(id, endpoint);
        }
        match endpoint {
            Some(endpoint) if self.endpoints.is_checked_for(endpoint, id) => {
                let cancelled = Cancelled { endpoint, engine, id, at: now, is_removed };
                self.cancelled.push_back(cancelled);
                return was_pending;
            }
            Some(endpoint) => self.release(endpoint, id, now),
            None => {}
        }
        if is_removed {
            self.free.push(id);
        }
        was_pending
    }

    /// Makes a check due within the interval of its pool, if it is not.
    fn come_earlier(&mut self, id: u32, now: Duration) {
        let target = self.target(id);
        let settings = &self.pools[target.pool as usize].settings;
        let interval = match target.health.state() {
            State::Down => settings.down_interval,
            State::Up | State::Unknown => settings.interval,
        };
        let timing = target.timing;
        if timing.is_pending || timing.due() <= now + interval {
            return;
        }
        let due = (now + interval.mul_f64(self.random.random())).max(timing.rested());
        self.target_mut(id).timing.move_to(due);
        self.wait(id);
    }

    fn update_times(&mut self) {
        let used = (0..).zip(&self.pools).filter(|(pool, _)| !self.free_pools.contains(pool));
        (self.shortest_interval, self.longest_check) = (Duration::MAX, Duration::ZERO);
        for settings in used.map(|(_, pool)| &pool.settings) {
            self.shortest_interval = self.shortest_interval.min(settings.interval);
            self.longest_check = self.longest_check.max(settings.schedule.waits().sum());
        }
        self.isolation.set_times(self.shortest_interval, self.longest_check);
    }
}

#[cfg(test)]
mod tests;
