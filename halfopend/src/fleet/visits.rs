//! Checks on demand, which are called visits here: of any endpoint, once, besides those of pools.
//!
//! Checks of pools come first. If a pool is about to check the same endpoint, the visit waits for
//! that check and gets its outcome.

mod queue;

use std::net::SocketAddr;
use std::time::Duration;

use halfopen::attempt::Attempts;
use halfopen::schedule::Schedule;
use halfopen::verdict::{NoVerdict, Outcome};

pub(super) use self::queue::Visits;

use self::queue::{Pending, Stage};
use super::claims::Cancelled;
use super::endpoints::Turn;
use super::health::Finding;
use super::scheduler::REST;
use super::target::finding;
use super::{Check, Fleet, Wanted, number};

/// A visit that waits for the check of a pool looks again after this time, in case there is none.
const PATIENCE: Duration = Duration::from_secs(1);

/// If there is no room for another check, a visit looks again after this time.
const FULL: Duration = Duration::from_millis(50);

/// A check that a visitor asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visit<Time = Duration> {
    /// What to check.
    pub endpoint: SocketAddr,
    /// The index of the engine that its segments leave by.
    pub engine: usize,
    /// How many SYNs are sent at most.
    pub attempts: Attempts,
    /// How long it may take.
    pub timeout: Duration,
    /// When it must have ended.
    pub until: Time,
}

/// How a visit has ended.
#[derive(Debug, Clone, PartialEq)]
pub enum VisitEnd {
    /// With this outcome of its own check or of a pool's.
    Checked(Outcome),
    /// Neither it nor anything else was answered: this machine may be cut off.
    Isolated,
    /// Other checks came first, until less than half of its time was left.
    TooLate,
}

/// Returns true if the check with this id is a visit.
pub fn is_visit(id: u32) -> bool {
    id >= queue::FIRST_ID
}

impl Fleet {
    /// Asks for a check, which is made if its endpoint and the rate allow it in time. Returns an id
    /// that is neither another visit's nor a target's.
    pub fn visit(&mut self, visit: Visit, now: Duration) -> u32 {
        self.visits.add(visit, now)
    }

    /// Forgets a visit. If it is being checked, that is cancelled.
    pub fn leave(&mut self, id: u32, now: Duration) {
        let Some(Pending { visit, stage, .. }) = self.visits.remove(id) else { return };
        let Visit { endpoint, engine, .. } = visit;
        if let Stage::Running(_) = stage {
            let cancelled = Cancelled { endpoint, engine, id, at: now, is_removed: false };
            self.cancelled.push_back(cancelled);
        }
    }

    /// Returns the next visit that has ended, and how.
    pub fn poll_visit(&mut self) -> Option<(u32, VisitEnd)> {
        self.visits.ended.pop_front()
    }

    /// Returns the next visit to check. Ask after all checks of pools that are due at `now`.
    pub fn next_visit(&mut self, now: Duration) -> Wanted {
        while let Some(&(at, id)) = self.visits.due.first() {
            let at = at.max(self.visits.share.free_at());
            if at > now {
                return Wanted::At(at);
            }
            if let Some(check) = self.begin_visit(id, now) {
                return Wanted::Check(check);
            }
        }
        Wanted::Nothing
    }

    /// Returns the schedule of a visit that has begun.
    ///
    /// # Panics
    ///
    /// Panics if it has not.
    pub fn visit_schedule(&self, id: u32) -> Schedule {
        match self.visits.pending.get(&id) {
            Some(Pending { stage: Stage::Running(schedule), .. }) => *schedule,
            _ => panic!("a visit that has not begun"),
        }
    }

    /// Records how the check of a visit has ended, unless it was cancelled.
    pub fn visit_ended(&mut self, id: u32, outcome: Outcome, now: Duration) {
        let Some(Pending { visit, .. }) = self.visits.pending.get(&id) else { return };
        let Visit { endpoint, engine, .. } = *visit;
        self.capacity.release(engine);
        self.release(endpoint, id, now);
        if outcome == Err(NoVerdict::AlreadyPending) {
            self.visits.look_again(id, now + REST);
            return;
        }
        self.visits.end(id, self.visit_end(outcome, false));
    }

    /// Answers these visits, which have waited for the check of a pool. `in_doubt` is true if its
    /// silence proves nothing.
    pub(super) fn answer_visits(&mut self, ids: Vec<u32>, outcome: &Outcome, in_doubt: bool) {
        if !matches!(outcome, Ok(_) | Err(NoVerdict::LocalError(_))) {
            return; // nothing was found
        }
        for id in ids {
            self.visits.end(id, self.visit_end(outcome.clone(), in_doubt));
        }
    }

    /// Returns what an outcome means for a visit: silence says nothing if it is `in_doubt`, or
    /// while this machine is cut off.
    fn visit_end(&self, outcome: Outcome, in_doubt: bool) -> VisitEnd {
        let is_worthless = in_doubt || self.isolation.is_isolated();
        if finding(&outcome) == Finding::Silent && is_worthless {
            VisitEnd::Isolated
        } else {
            VisitEnd::Checked(outcome)
        }
    }

    /// Begins to check a visit that is due, if it is its turn. Otherwise it ends, or is due later.
    fn begin_visit(&mut self, id: u32, now: Duration) -> Option<Check> {
        let Visit { endpoint, engine, attempts, timeout, until } =
            self.visits.pending.get(&id)?.visit;
        let left = until.saturating_sub(now).min(timeout);
        let is_late = left < timeout / 2;
        let schedule = Schedule::fit(attempts, left);
        let end = if is_late { until } else { now + schedule.waits().sum::<Duration>() + REST };
        let due = self.next_check_of(endpoint).filter(|due| *due <= end && now < until);
        if let Some(due) = due {
            self.visits.wait(id, endpoint, until.min(due.max(now) + PATIENCE));
            return None;
        }
        if is_late {
            self.visits.end(id, VisitEnd::TooLate);
            return None;
        }
        if !self.capacity.has_spare_room(engine) {
            self.visits.look_again(id, now + FULL);
            return None;
        }
        match self.endpoints.claim_unless_wanted(endpoint, id, now) {
            Turn::Now => {}
            Turn::At(rested) => {
                self.visits.look_again(id, rested);
                return None;
            }
            Turn::Later => {
                self.visits.wait(id, endpoint, until);
                return None;
            }
        }
        self.capacity.take(engine);
        self.visits.share.charge(number(attempts.count()), now);
        self.visits.begin(id, schedule);
        Some(Check { id, endpoint, engine, due: now })
    }

    /// Returns when a target with that endpoint is due next, if there is one.
    fn next_check_of(&self, endpoint: SocketAddr) -> Option<Duration> {
        self.targets_at(endpoint).map(|id| self.target(id).timing.next()).min()
    }
}
