//! Checks on demand, which are called visits here: of any endpoint, once, besides those of pools.
//!
//! Checks of pools come first. If a pool is about to check the same endpoint, the visit waits for
//! that check and gets its outcome. Visits whose checks would be the same share one, if it begins
//! after all of them were asked for.

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

/// A visit that waits for another check looks again after this time, in case there is none.
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

impl Visit {
    /// Returns the schedule of a check that begins at `now`, unless less than half of the time is
    /// left.
    fn schedule(&self, now: Duration) -> Option<Schedule> {
        let left = self.until.saturating_sub(now).min(self.timeout);
        (left >= self.timeout / 2).then(|| Schedule::fit(self.attempts, left))
    }
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
        if let Stage::Running(..) = stage {
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
            Some(Pending { stage: Stage::Running(_, schedule), .. }) => *schedule,
            _ => panic!("a visit that has not begun"),
        }
    }

    /// Records how the check of a visit has ended, unless it was cancelled.
    pub fn visit_ended(&mut self, id: u32, outcome: Outcome, now: Duration) {
        let Some(Pending { visit, .. }) = self.visits.pending.get(&id) else { return };
        let Visit { endpoint, engine, attempts, .. } = *visit;
        let companions = self.visits.companions(id);
        self.capacity.release(engine);
        self.release(endpoint, id, now);
        let sent = match &outcome {
            Ok(verdict) => verdict.attempts,
            Err(NoVerdict::AlreadyPending) => 0,
            Err(_) => attempts.count(), // at most
        };
        self.visits.share.refund(number(attempts.count().saturating_sub(sent)));
        if outcome == Err(NoVerdict::AlreadyPending) {
            self.visits.look_again(id, now + REST);
            return;
        }
        self.answer_visits(companions, &outcome, false);
        self.visits.end(id, self.visit_end(outcome, false));
    }

    /// Answers these visits, which have waited for another check. `in_doubt` is true if its silence
    /// proves nothing.
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
        let visit = self.visits.pending.get(&id)?.visit;
        let Visit { endpoint, engine, attempts, until, .. } = visit;
        if let Some(at) = self.awaits_other_check(id, visit, now) {
            self.visits.set_stage(id, Stage::Waiting(at));
            return None;
        }
        let Some(schedule) = visit.schedule(now) else {
            self.visits.end(id, VisitEnd::TooLate);
            return None;
        };
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
                self.visits.set_stage(id, Stage::Waiting(until));
                return None;
            }
        }
        self.capacity.take(engine);
        self.visits.share.charge(number(attempts.count()), now);
        self.visits.set_stage(id, Stage::Running(now, schedule));
        Some(Check { id, endpoint, engine, due: now })
    }

    /// If another check will answer a visit, that of another visit or of a pool, returns when to
    /// look at it again.
    fn awaits_other_check(&self, id: u32, visit: Visit, now: Duration) -> Option<Duration> {
        if self.visits.is_companion(id) {
            return Some(now + PATIENCE);
        }
        let Visit { endpoint, until, .. } = visit;
        let end = |schedule: Schedule| now + schedule.waits().sum::<Duration>() + REST;
        let end = visit.schedule(now).map_or(until, end);
        let due = self.next_check_of(endpoint).filter(|due| *due <= end && now < until)?;
        Some(until.min(due.max(now) + PATIENCE))
    }

    /// Returns when a target with that endpoint is due next, if there is one.
    fn next_check_of(&self, endpoint: SocketAddr) -> Option<Duration> {
        self.targets_at(endpoint).map(|id| self.target(id).timing.next()).min()
    }
}
