//! When targets are checked.

use std::time::Duration;

use halfopen::schedule::Schedule;
use halfopen::verdict::{Outcome, Reason, Verdict};
use rand::RngExt;

use super::claims::Due;
use super::cross_checks::{Watched, critical_time};
use super::health::State;
use super::isolation::Network;
use super::scheduler::{Lane, Timing};
use super::target::{Place, Target};
use super::{Check, Fleet, Wanted};

/// If the caller asks so much later than it was told, this machine was paused.
const PAUSE: Duration = Duration::from_secs(1);

impl Fleet {
    /// Returns what to do at `now`.
    pub fn next(&mut self, now: Duration) -> Wanted {
        self.is_running = true;
        self.close_pools(now);
        if self.promised.is_some_and(|at| at + PAUSE < now) {
            self.leave_out_missed(now);
        }
        let wanted = self.next_check(now);
        self.promised = if let Wanted::At(time) = wanted { Some(time) } else { None };
        wanted
    }

    /// Returns the schedule of the SYNs to a target, whose first one leaves at `now`.
    pub fn schedule(&mut self, id: u32, now: Duration) -> Schedule {
        for companion in self.companions(id) {
            self.begin_at(companion, now);
        }
        self.begin_at(id, now)
    }

    fn begin_at(&mut self, id: u32, now: Duration) -> Schedule {
        let target = self.target_mut(id);
        target.timing.set_begun(now);
        let pool = target.pool;
        let needs_cross_check = target.health.is_at_stake() && !target.is_local();
        let schedule = self.pools[pool as usize].settings.schedule;
        if needs_cross_check {
            self.cross_checks.watch(id, schedule, now);
        }
        schedule
    }

    fn next_check(&mut self, now: Duration) -> Wanted {
        while let Some(id) = self.next_cross_check(now) {
            let due = Due { id, lane: Lane::Fast, at: now, is_cross_check: true };
            if may_begin(&self.targets, id, now)
                && self.capacity.has_reserve(self.engine(id))
                && let Some(check) = self.begin(due, now)
            {
                return Wanted::Check(check);
            }
        }
        loop {
            if let Some(due) = self.capacity.poll() {
                if let Some(check) = self.claim(due, now) {
                    return Wanted::Check(check);
                }
                continue;
            }
            let targets = &self.targets;
            match self.scheduler.poll(now, |id, lane, due| is_due(targets, id, lane, due)) {
                Ok((id, lane, at)) => {
                    let due = Due { id, lane, at, is_cross_check: false };
                    if let Some(check) = self.begin(due, now) {
                        return Wanted::Check(check);
                    }
                }
                Err(due) => {
                    let next = [due, self.poll_timeout()].into_iter().flatten().min();
                    return next.map_or(Wanted::Nothing, Wanted::At);
                }
            }
        }
    }

    /// Begins to check a target, unless it is being checked, or needs no packet.
    fn begin(&mut self, due: Due, now: Duration) -> Option<Check> {
        let id = due.id;
        let target = self.targets[id as usize].as_mut().expect("a target of the fleet");
        if target.timing.is_pending {
            return None; // it is scheduled again when that ends
        }
        target.timing.begin(now);
        match target.place {
            Place::Endpoint(_) => return self.claim(due, now),
            Place::Gone(failure) => {
                let reason = Reason::NameNotResolved(failure);
                self.conclude_unprobed(id, Ok(Verdict::without_probe(reason)), now);
            }
            Place::Unresolved => {
                if let Some(why) = target.trouble.take() {
                    self.conclude_unprobed(id, *why, now);
                } else {
                    target.timing.end(now);
                    self.wait_as_found(id);
                }
            }
        }
        None
    }

    fn conclude_unprobed(&mut self, id: u32, outcome: Outcome, now: Duration) {
        self.unprobed.push_back((id, outcome.clone()));
        self.conclude(id, outcome, now);
    }

    /// Schedules the next check of a target by what is known of it.
    pub(super) fn wait_as_found(&mut self, id: u32) {
        let is_changing = self.target(id).health.is_changing() && !self.isolation.is_isolated();
        let (interval, jitter) = self.interval(id);
        let target = self.target_mut(id);
        let pool = target.pool;
        let before = target.timing.due();
        target.timing.set_regular(interval, jitter);
        if target.timing.due() != before {
            self.wait(id);
        }
        if is_changing {
            let interval = self.pools[pool as usize].settings.transition_interval;
            let timing = &mut self.target_mut(id).timing;
            timing.set_fast(interval);
            self.enter(id, Lane::Fast);
        }
    }

    /// Lets a target wait until its regular check is due.
    pub(super) fn wait(&mut self, id: u32) {
        self.enter(id, Lane::Steady);
    }

    /// Adds a target to a lane, if it is due there.
    fn enter(&mut self, id: u32, lane: Lane) {
        if let Some(due) = self.target(id).timing.due_in(lane) {
            self.scheduler.add(id, lane, due);
        }
        let targets = &self.targets;
        self.scheduler.tidy(targets.len(), |id, lane, due| is_due(targets, id, lane, due));
    }

    /// Returns the interval of a target's regular checks, and by which part of it the next one is
    /// moved.
    fn interval(&mut self, id: u32) -> (Duration, f64) {
        let target = self.target(id);
        let settings = &self.pools[target.pool as usize].settings;
        let interval = match target.health.state() {
            State::Down => settings.down_interval,
            State::Up | State::Unknown => settings.interval,
        };
        let jitter = settings.jitter;
        (interval, jitter * (self.random.random::<f64>() - 0.5))
    }

    /// Leaves out the checks that were missed in a pause of this machine: all at once, they would
    /// be a burst.
    fn leave_out_missed(&mut self, now: Duration) {
        let targets = &self.targets;
        let missed = self.scheduler.take_due(now, |id, due| is_due(targets, id, Lane::Steady, due));
        for id in missed {
            let (interval, jitter) = self.interval(id);
            let timing = &mut self.target_mut(id).timing;
            if !timing.is_pending {
                timing.leave_out(now, interval, jitter);
                self.wait(id);
            }
        }
    }

    /// Returns the next target to check at once: a check may turn out silent, and nothing else has
    /// answered in the time that is critical for it.
    fn next_cross_check(&mut self, now: Duration) -> Option<u32> {
        while self.asked.is_empty()
            && let Some(watched) = self.next_watched().filter(|watched| watched.at <= now)
        {
            self.cross_checks.pop();
            let Watched { id, begun, .. } = watched;
            let target = self.target(id);
            let schedule = self.pools[target.pool as usize].settings.schedule;
            let Some(endpoint) = target.place.endpoint() else { continue };
            let critical = critical_time(schedule, begun);
            let is_served =
                self.isolation.has_heard(&critical) || self.cross_checks.have_asked(&critical);
            let is_useless = self.scheduler.is_used_up(now) || self.isolation.is_isolated();
            if is_served || is_useless {
                continue;
            }
            let can_be_asked = |other: u32| {
                let target = self.targets[other as usize].as_ref();
                target.is_some_and(|Target { timing, health, place, pool, .. }| {
                    let is_free = |endpoint| self.endpoints.is_free(endpoint, now);
                    let engine = self.pools[*pool as usize].settings.engine;
                    timing.may_begin(now)
                        && place.endpoint().is_some_and(is_free)
                        && self.capacity.has_reserve(engine)
                        && !health.is_held()
                        && health.count() == 0
                })
            };
            let network = Network::of(endpoint.ip());
            self.asked = self.cross_checks.choose(network, now, can_be_asked);
            if self.asked.is_empty() {
                self.cross_checks.watch_on(watched, &critical);
            }
        }
        self.asked.pop()
    }

    fn next_watched(&mut self) -> Option<Watched> {
        let targets = &self.targets;
        self.cross_checks.peek(|watched| {
            targets[watched.id as usize].as_ref().is_some_and(|target| {
                target.timing.is_pending && target.timing.begun() == watched.begun
            })
        })
    }

    /// Returns when something happens by itself.
    fn poll_timeout(&mut self) -> Option<Duration> {
        let watched = self.next_watched().map(|watched| watched.at);
        let closing = |pool: &u32| self.pools[*pool as usize].fail_open.poll_timeout();
        self.open.iter().filter_map(closing).chain(watched).min()
    }
}

fn is_due(targets: &[Option<Target>], id: u32, lane: Lane, due: Duration) -> bool {
    let timing = |target: &Target| -> Timing { target.timing };
    targets[id as usize].as_ref().map(timing).is_some_and(|timing| timing.due_in(lane) == Some(due))
}

fn may_begin(targets: &[Option<Target>], id: u32, now: Duration) -> bool {
    targets[id as usize].as_ref().is_some_and(|target| target.timing.may_begin(now))
}
