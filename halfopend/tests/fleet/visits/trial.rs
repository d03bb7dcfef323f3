//! A fleet with visits. The judge is a list of all checks: which endpoint, from when, until when.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use halfopen::attempt::Attempts;
use halfopen::schedule::Schedule;
use halfopen::verdict::{Reason, Verdict};
use halfopend::config::PoolConfig;
use halfopend::event::EventKind;
use halfopend::fleet::{
    Check, Fleet, Member, Place, PoolSettings, Visit, VisitEnd, Wanted, is_visit,
};

/// The least time between two checks of an endpoint.
const REST: Duration = Duration::from_millis(500);

pub(super) const MILLISECOND: Duration = Duration::from_millis(1);

/// Endpoints from this one on answer never.
const FIRST_SILENT: u8 = 4;

/// Endpoints below [`FIRST_SILENT`] and from this one on answer at once.
pub(super) const FIRST_OPEN: u8 = 200;

pub(super) fn endpoint(host: u8) -> SocketAddr {
    ([198, 18, 0, host], 80).into()
}

pub(super) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// What a visit asks for: where, by which engine and with how many retries, and for how long; the
/// time after it, and whether an earlier one leaves then. Times are in milliseconds.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) host: u8,
    pub(super) way: (usize, u8),
    pub(super) timeout: u64,
    pub(super) limit: u64,
    pub(super) pause: u64,
    pub(super) leaves: bool,
}

/// A check of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Made {
    id: u32,
    engine: usize,
    schedule: Schedule,
    begun: Duration,
    ends: Duration,
}

/// A fleet of one pool, whose targets have the endpoints 1 to 6, and visits.
pub(super) struct Trial {
    pub(super) fleet: Fleet,
    pub(super) now: Duration,
    /// The check of each endpoint that is under way.
    pub(super) pending: BTreeMap<SocketAddr, Made>,
    /// The newest check of each endpoint that has ended.
    ended: BTreeMap<SocketAddr, Made>,
    /// The visits that have no answer yet, and when they were asked for.
    pub(super) visits: BTreeMap<u32, (Visit, Duration)>,
    pub(super) answers: Vec<(Visit, VisitEnd, Duration)>,
    /// How many checks and SYNs visits had.
    pub(super) checks: usize,
    pub(super) syns: usize,
    /// When the newest check of each target of the pool began.
    begun: BTreeMap<u32, Duration>,
    /// The longest time between the beginnings of two checks of a target.
    pub(super) gap: Duration,
    pub(super) falls: u32,
}

impl Trial {
    pub(super) fn new(rate: u32, interval: u64) -> Self {
        let mut fleet = Fleet::new(rate, 7);
        let settings = PoolSettings {
            schedule: Schedule::fit(Attempts::with_retries(1).unwrap(), ms(300)),
            interval: ms(interval),
            jitter: 0.0,
            transition_interval: ms(interval),
            down_interval: ms(interval),
            ..PoolConfig::named("web").settings
        };
        let pool = fleet.add_pool(settings);
        for host in 1..=6 {
            let place = Place::Endpoint(endpoint(host));
            fleet.add(pool, Member { label: None, place, is_witness: false }, Duration::ZERO);
        }
        let (pending, ended, visits) = Default::default();
        let (begun, answers, gap) = Default::default();
        let (now, checks, syns, falls) = (Duration::ZERO, 0, 0, 0);
        Self { fleet, now, pending, ended, visits, answers, checks, syns, begun, gap, falls }
    }

    /// Asks for a check by the engine 0 with three SYNs.
    pub(super) fn visit(&mut self, host: u8, timeout: u64, limit: u64) -> u32 {
        self.ask(host, (0, 2), timeout, limit)
    }

    pub(super) fn ask(
        &mut self,
        host: u8,
        (engine, retries): (usize, u8),
        timeout: u64,
        limit: u64,
    ) -> u32 {
        let visit = Visit {
            endpoint: endpoint(host),
            engine,
            attempts: Attempts::with_retries(retries).unwrap(),
            timeout: ms(timeout),
            until: self.now + ms(limit),
        };
        let id = self.fleet.visit(visit, self.now);
        assert!(is_visit(id) && self.visits.insert(id, (visit, self.now)).is_none());
        id
    }

    /// Takes these steps. In the end, all visits that have stayed must have their answers.
    pub(super) fn follow(&mut self, steps: Vec<Step>) {
        let mut asked = Vec::new();
        for Step { host, way, timeout, limit, pause, leaves } in steps {
            asked.push(self.ask(host, way, timeout.min(limit), limit));
            self.run(self.now + ms(pause));
            if leaves {
                let id = asked.remove(asked.len() / 2);
                self.leave(id);
            }
        }
        self.run(self.now + ms(12_000));
        assert!(self.visits.is_empty(), "no answer: {:?}", self.visits);
    }

    pub(super) fn run(&mut self, end: Duration) {
        while self.now < end {
            self.end_checks();
            while let Wanted::Check(check) = self.fleet.next(self.now) {
                if let Some(before) = self.begun.insert(check.id, self.now) {
                    self.gap = self.gap.max(self.now.saturating_sub(before));
                }
                let schedule = self.fleet.schedule(check.id, self.now);
                self.begin(check, schedule);
            }
            while let Wanted::Check(check) = self.fleet.next_visit(self.now) {
                let schedule = self.fleet.visit_schedule(check.id);
                self.checks += 1;
                self.syns += self.begin(check, schedule);
                let (visit, asked) = self.visits[&check.id];
                assert!(self.pending[&check.endpoint].could_be_of(&visit, asked));
            }
            self.take_answers();
            self.now += MILLISECOND;
        }
    }

    /// Returns how many SYNs the check has.
    fn begin(&mut self, check: Check, schedule: Schedule) -> usize {
        let Check { id, endpoint, engine, .. } = check;
        let rested = self.ended.get(&endpoint).is_none_or(|made| made.ends + REST <= self.now);
        assert!(rested, "{endpoint} has not rested");
        let (length, syns) = match found(endpoint) {
            Reason::SynAck => (MILLISECOND, 1),
            _ => (schedule.waits().sum(), schedule.attempts().count()),
        };
        let (begun, ends) = (self.now, self.now + length);
        let made = Made { id, engine, schedule, begun, ends };
        assert_eq!(self.pending.insert(endpoint, made), None, "two checks of {endpoint} at once");
        syns
    }

    fn end_checks(&mut self) {
        let is_over = |_: &SocketAddr, made: &mut Made| made.ends <= self.now;
        let over: Vec<_> = self.pending.extract_if(.., is_over).collect();
        for (endpoint, made) in over {
            let Made { id, schedule, .. } = made;
            self.ended.insert(endpoint, Made { ends: self.now, ..made });
            let reason = found(endpoint);
            let mut attempts = schedule.attempts().count();
            if reason == Reason::SynAck {
                self.fleet.answered(self.now);
                attempts = 1;
            }
            let outcome = Ok(Verdict { attempts, ..Verdict::without_probe(reason) });
            if is_visit(id) {
                self.fleet.visit_ended(id, outcome, self.now);
            } else {
                self.fleet.ended(id, outcome, self.now);
            }
        }
    }

    fn take_answers(&mut self) {
        while let Some((id, end)) = self.fleet.poll_visit() {
            let (visit, asked) = self.visits.remove(&id).expect("one answer for each");
            let is_in_time = self.now <= visit.until + MILLISECOND;
            assert!(is_in_time || end == VisitEnd::TooLate, "late: {visit:?}");
            if let VisitEnd::Checked(outcome) = &end {
                let reason = outcome.as_ref().map(|verdict| &verdict.reason);
                assert_eq!(reason, Ok(&found(visit.endpoint)));
                let made = self.ended[&visit.endpoint];
                assert_eq!(made.ends, self.now, "an old check: {visit:?}");
                let is_own = made.could_be_of(&visit, asked);
                assert!(made.begun >= asked && (is_own || !is_visit(made.id)), "{made:?}");
            }
            self.answers.push((visit, end, self.now));
        }
        while let Some(event) = self.fleet.poll_event() {
            self.falls += u32::from(event.kind == EventKind::Down);
        }
    }

    pub(super) fn leave(&mut self, id: u32) {
        if self.visits.remove(&id).is_none() {
            return;
        }
        self.fleet.leave(id, self.now);
        while let Some(endpoint) = self.fleet.poll_unwanted() {
            let made = self.pending.remove(&endpoint).expect("a check");
            assert_eq!(made.id, id);
            self.ended.insert(endpoint, Made { ends: self.now, ..made });
        }
    }
}

impl Made {
    /// Returns true if this is what a visit can have that was asked for then: it fits into the
    /// time, and takes all of it or what is left, which is at least half.
    fn could_be_of(&self, visit: &Visit, asked: Duration) -> bool {
        let Self { engine, schedule, begun, .. } = *self;
        let left = visit.until.saturating_sub(begun).min(visit.timeout);
        let is_long_enough = left >= visit.timeout / 2;
        let is_same = schedule == Schedule::fit(visit.attempts, left) && engine == visit.engine;
        asked <= begun && is_long_enough && is_same
    }
}

pub(super) fn found(at: SocketAddr) -> Reason {
    let silence = Reason::NoAnswer { syns: 2, waited: ms(300) };
    let is_silent = at >= endpoint(FIRST_SILENT) && at < endpoint(FIRST_OPEN);
    if is_silent { silence } else { Reason::SynAck }
}
