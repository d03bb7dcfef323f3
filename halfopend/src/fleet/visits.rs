//! Checks that visitors ask for: of any endpoint, once, beside those of pools.
//!
//! They never delay those of pools. An endpoint that a pool is about to check is left to it: the
//! pool's next check answers the visitor, too.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use halfopen::attempt::Attempts;
use halfopen::schedule::Schedule;
use halfopen::verdict::{NoVerdict, Outcome};

use super::endpoints::Turn;
use super::health::Finding;
use super::membership::Cancelled;
use super::scheduler::REST;
use super::share::Share;
use super::target::finding;
use super::{Check, Fleet, Wanted, number};

/// The ids of visits begin here, beyond those of targets.
const FIRST_ID: u32 = 1 << 26;

/// If a visit waits for the check of a pool and that does not come, the visit looks again after
/// this time.
const PATIENCE: Duration = Duration::from_secs(1);

/// If as many checks run as can, a visit looks again after this time.
const FULL: Duration = Duration::from_millis(50);

/// A check that a visitor asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visit {
    /// What to check.
    pub endpoint: SocketAddr,
    /// The index of the engine that its segments leave by.
    pub engine: usize,
    /// How many SYNs it has.
    pub attempts: Attempts,
    /// How long it may take.
    pub timeout: Duration,
    /// When it must have ended.
    pub until: Duration,
}

/// How a visit has ended.
#[derive(Debug, Clone, PartialEq)]
pub enum VisitEnd {
    /// With this outcome, after so many SYNs of its own or of a pool's check.
    Checked(Outcome),
    /// Nothing has answered it, nor anything else: this machine is cut off.
    Isolated,
    /// Other checks came first, until less than half of its time was left.
    TooLate,
}

/// Returns true if a check of the loop is that of a visit.
pub fn is_visit(id: u32) -> bool {
    id >= FIRST_ID
}

/// The visits that have not ended.
#[derive(Debug)]
pub(super) struct Visits {
    pending: HashMap<u32, Pending>,
    /// How many there were.
    count: u32,
    /// When to look at which. An entry may be there too often, or too early.
    due: BTreeSet<(Duration, u32)>,
    /// Those that wait for the end of a check.
    waiting: HashMap<SocketAddr, Vec<u32>>,
    share: Share,
    ended: VecDeque<(u32, VisitEnd)>,
}

#[derive(Debug)]
struct Pending {
    visit: Visit,
    asked: Duration,
    /// The schedule of the check, if it has begun.
    schedule: Option<Schedule>,
}

impl Visits {
    /// Creates it, with a quarter of the rate.
    pub(super) fn new(rate: u32) -> Self {
        Self {
            pending: HashMap::new(),
            count: 0,
            due: BTreeSet::new(),
            waiting: HashMap::new(),
            share: Share::quarter_of(rate),
            ended: VecDeque::new(),
        }
    }

    fn add(&mut self, visit: Visit, now: Duration) -> u32 {
        let next = |count: u32| FIRST_ID + count.wrapping_add(1) % FIRST_ID;
        while self.pending.contains_key(&next(self.count)) {
            self.count = self.count.wrapping_add(1);
        }
        let id = next(self.count);
        self.count = self.count.wrapping_add(1);
        self.pending.insert(id, Pending { visit, asked: now, schedule: None });
        self.due.insert((now, id));
        id
    }

    fn end(&mut self, id: u32, end: VisitEnd) {
        if self.pending.remove(&id).is_some() {
            self.ended.push_back((id, end));
        }
    }

    /// Lets a visit wait until a check of its endpoint ends.
    fn wait(&mut self, id: u32, endpoint: SocketAddr) {
        let waiting = self.waiting.entry(endpoint).or_default();
        if !waiting.contains(&id) {
            waiting.push(id);
        }
    }

    /// Lets those look again at `at` that have waited for `endpoint`.
    pub(super) fn wake(&mut self, endpoint: SocketAddr, at: Duration) {
        if self.waiting.is_empty() {
            return;
        }
        for id in self.waiting.remove(&endpoint).into_iter().flatten() {
            self.due.insert((at, id));
        }
    }

    /// Removes and returns those that have waited for a check of `endpoint`, if it began after they
    /// had asked.
    fn take_served(&mut self, endpoint: SocketAddr, begun: Duration) -> Vec<u32> {
        let Some(waiting) = self.waiting.get_mut(&endpoint) else { return Vec::new() };
        let pending = &self.pending;
        let is_served = |id: &mut u32| pending.get(id).is_some_and(|visit| visit.asked <= begun);
        waiting.extract_if(.., is_served).collect()
    }
}

impl Fleet {
    /// Asks for a check, which is made if its endpoint and the rate allow it in time. Returns an id
    /// that is neither another visit's nor a target's.
    ///
    /// The first time, all targets are looked at. [`Fleet::expect_visits`] can do so before.
    pub fn visit(&mut self, visit: Visit, now: Duration) -> u32 {
        self.expect_visits();
        self.visits.add(visit, now)
    }

    /// Forgets a visit. If it is being checked, that is cancelled.
    pub fn leave(&mut self, id: u32, now: Duration) {
        let Some(Pending { visit, schedule, .. }) = self.visits.pending.remove(&id) else { return };
        let Visit { endpoint, engine, .. } = visit;
        if schedule.is_some() {
            let cancelled = Cancelled { endpoint, engine, id, at: now, is_removed: false };
            self.cancelled.push_back(cancelled);
        } else if let Some(waiting) = self.visits.waiting.get_mut(&endpoint) {
            waiting.retain(|other| *other != id);
            if waiting.is_empty() {
                self.visits.waiting.remove(&endpoint);
            }
        }
    }

    /// Returns the next visit that has ended, and how.
    pub fn poll_visit(&mut self) -> Option<(u32, VisitEnd)> {
        self.visits.ended.pop_front()
    }

    /// Returns the next visit to check. Ask after all checks of pools that are due at `now`.
    pub fn next_visit(&mut self, now: Duration) -> Wanted {
        while let Some(&(at, id)) = self.visits.due.first() {
            if !self.visits.pending.contains_key(&id) {
                self.visits.due.pop_first();
                continue;
            }
            let at = at.max(self.visits.share.free_at());
            if at > now {
                return Wanted::At(at);
            }
            self.visits.due.pop_first();
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
        let pending = self.visits.pending.get(&id);
        pending.and_then(|pending| pending.schedule).expect("a visit that has begun")
    }

    /// Records how the check of a visit has ended, unless it was cancelled.
    pub fn visit_ended(&mut self, id: u32, outcome: Outcome, now: Duration) {
        let Some(pending) = self.visits.pending.get_mut(&id) else { return };
        let Visit { endpoint, engine, .. } = pending.visit;
        pending.schedule = None;
        self.capacity.release(engine);
        self.release(endpoint, id, now);
        if outcome == Err(NoVerdict::AlreadyPending) {
            self.visits.due.insert((now + REST, id));
            return;
        }
        self.visits.end(id, self.visit_end(outcome));
    }

    /// Answers the visits that have waited for the check of a pool.
    pub(super) fn answer_visits(
        &mut self,
        endpoint: SocketAddr,
        begun: Duration,
        outcome: &Outcome,
    ) {
        if !matches!(outcome, Ok(_) | Err(NoVerdict::LocalError(_))) {
            return; // nothing was found
        }
        for id in self.visits.take_served(endpoint, begun) {
            self.visits.end(id, self.visit_end(outcome.clone()));
        }
    }

    /// Returns what an outcome means for a visit: silence says nothing while this machine is cut
    /// off.
    fn visit_end(&self, outcome: Outcome) -> VisitEnd {
        if finding(&outcome) == Finding::Silent && self.isolation.is_isolated() {
            VisitEnd::Isolated
        } else {
            VisitEnd::Checked(outcome)
        }
    }

    /// Begins to check a visit, if it is its turn.
    fn begin_visit(&mut self, id: u32, now: Duration) -> Option<Check> {
        let Pending { visit, schedule: None, .. } = *self.visits.pending.get(&id)? else {
            return None;
        };
        let Visit { endpoint, engine, attempts, timeout, until } = visit;
        let left = until.saturating_sub(now).min(timeout);
        let is_late = left < timeout / 2;
        let schedule = Schedule::fit(attempts, left);
        let end = if is_late { until } else { now + schedule.waits().sum::<Duration>() + REST };
        let due = self.next_check_of(endpoint).filter(|due| *due <= end && now < until);
        if due.is_none() && is_late {
            self.visits.end(id, VisitEnd::TooLate);
            return None;
        }
        if let Some(due) = due {
            self.visits.wait(id, endpoint);
            self.visits.due.insert((until.min(due.max(now) + PATIENCE), id));
            return None;
        }
        if !self.capacity.has_spare_room(engine) {
            self.visits.due.insert((now + FULL, id));
            return None;
        }
        match self.endpoints.claim_unless_wanted(endpoint, id, now) {
            Turn::Now => self.capacity.take(engine),
            Turn::At(rested) => {
                self.visits.due.insert((rested, id));
                return None;
            }
            Turn::Later => {
                self.visits.wait(id, endpoint);
                self.visits.due.insert((until, id));
                return None;
            }
        }
        self.visits.share.charge(number(attempts.count()), now);
        self.visits.pending.get_mut(&id)?.schedule = Some(schedule);
        Some(Check { id, endpoint, engine, due: now })
    }

    /// Returns when a target with that endpoint is due next, if there is one.
    fn next_check_of(&self, endpoint: SocketAddr) -> Option<Duration> {
        let ids = self.by_endpoint.as_ref()?.find(endpoint, |id| self.endpoint_of(id));
        ids.map(|id| self.target(id).timing.next()).min()
    }
}
