//! Checks on demand among those of pools. The judge is a list of all checks: which endpoint, from
//! when, until when.

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
use proptest::prelude::*;

/// The least time between two checks of an endpoint.
const REST: Duration = Duration::from_millis(500);

const MILLISECOND: Duration = Duration::from_millis(1);

fn endpoint(host: u8) -> SocketAddr {
    ([198, 18, 0, host], 80).into()
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Endpoints below this one answer at once, the others never.
const FIRST_SILENT: u8 = 4;

/// A fleet of one pool, whose targets have the endpoints 1 to 6, and visits.
struct Trial {
    fleet: Fleet,
    now: Duration,
    /// The end of the check of each endpoint that is under way, and its id.
    pending: BTreeMap<SocketAddr, (Duration, u32)>,
    /// When the last check of each endpoint ended.
    ended: BTreeMap<SocketAddr, Duration>,
    visits: BTreeMap<u32, Visit>,
    answers: Vec<(Visit, VisitEnd, Duration)>,
    /// How many SYNs visits had at most.
    syns: u32,
    /// When the newest check of each target of the pool began.
    begun: BTreeMap<u32, Duration>,
    /// The longest time between the beginnings of two checks of a target.
    gap: Duration,
    falls: u32,
}

impl Trial {
    fn new(rate: u32, interval: u64) -> Self {
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
        let (now, syns, falls) = (Duration::ZERO, 0, 0);
        Self { fleet, now, pending, ended, visits, answers, syns, begun, gap, falls }
    }

    fn visit(&mut self, host: u8, timeout: u64, limit: u64) -> u32 {
        let visit = Visit {
            endpoint: endpoint(host),
            engine: 0,
            attempts: Attempts::with_retries(2).unwrap(),
            timeout: ms(timeout),
            until: self.now + ms(limit),
        };
        let id = self.fleet.visit(visit, self.now);
        assert!(is_visit(id) && self.visits.insert(id, visit).is_none());
        id
    }

    fn run(&mut self, end: Duration) {
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
                self.syns += u32::try_from(schedule.attempts().count()).unwrap();
                let visit = &self.visits[&check.id];
                let length: Duration = schedule.waits().sum();
                assert!(self.now + length <= visit.until && length <= visit.timeout);
                // Of three SYNs, the waits are rounded down.
                assert!(length + MILLISECOND >= visit.timeout.min(ms(7000)) / 2, "{length:?}");
                self.begin(check, schedule);
            }
            self.take_answers();
            self.now += MILLISECOND;
        }
    }

    fn begin(&mut self, Check { id, endpoint, .. }: Check, schedule: Schedule) {
        let rested = self.ended.get(&endpoint).is_none_or(|ended| *ended + REST <= self.now);
        assert!(rested, "{endpoint} has not rested");
        let is_silent = endpoint >= self::endpoint(FIRST_SILENT);
        let length = if is_silent { schedule.waits().sum() } else { MILLISECOND };
        let before = self.pending.insert(endpoint, (self.now + length, id));
        assert_eq!(before, None, "two checks of {endpoint} at once");
    }

    fn end_checks(&mut self) {
        let is_over = |_: &SocketAddr, pending: &mut (Duration, u32)| pending.0 <= self.now;
        let over: Vec<_> = self.pending.extract_if(.., is_over).collect();
        for (endpoint, (_, id)) in over {
            self.ended.insert(endpoint, self.now);
            let reason = found(endpoint);
            if reason == Reason::SynAck {
                self.fleet.answered(self.now);
            }
            let outcome = Ok(Verdict::without_probe(reason));
            if is_visit(id) {
                self.fleet.visit_ended(id, outcome, self.now);
            } else {
                self.fleet.ended(id, outcome, self.now);
            }
        }
    }

    fn take_answers(&mut self) {
        while let Some((id, end)) = self.fleet.poll_visit() {
            let visit = self.visits.remove(&id).expect("one answer for each");
            let is_in_time = self.now <= visit.until + MILLISECOND;
            assert!(is_in_time || end == VisitEnd::TooLate, "late: {visit:?}");
            if let VisitEnd::Checked(outcome) = &end {
                let reason = outcome.as_ref().map(|verdict| &verdict.reason);
                assert_eq!(reason, Ok(&found(visit.endpoint)));
            }
            self.answers.push((visit, end, self.now));
        }
        while let Some(event) = self.fleet.poll_event() {
            self.falls += u32::from(event.kind == EventKind::Down);
        }
    }

    fn leave(&mut self, id: u32) {
        if self.visits.remove(&id).is_none() {
            return;
        }
        self.fleet.leave(id, self.now);
        while let Some(endpoint) = self.fleet.poll_unwanted() {
            assert_eq!(self.pending.remove(&endpoint).map(|(_, id)| id), Some(id));
            self.ended.insert(endpoint, self.now);
        }
    }
}

fn found(at: SocketAddr) -> Reason {
    let silence = Reason::NoAnswer { syns: 2, waited: ms(300) };
    if at >= endpoint(FIRST_SILENT) { silence } else { Reason::SynAck }
}

#[test]
fn a_visit_begins_at_once_if_nobody_else_checks_its_endpoint() {
    let mut trial = Trial::new(0, 5000);
    trial.run(ms(50));
    trial.visit(100, 1000, 9500);
    trial.run(trial.now + ms(2));
    assert!(trial.pending.contains_key(&endpoint(100)));
    trial.run(trial.now + ms(1200));
    assert_eq!(trial.answers.len(), 1);
}

#[test]
fn a_visit_of_an_endpoint_that_is_always_checked_gets_the_next_check() {
    let mut trial = Trial::new(0, 900);
    trial.run(ms(5000));
    let (falls, asked) = (trial.falls, trial.now);
    for host in [1, 5] {
        trial.visit(host, 1500, 9500);
    }
    trial.run(trial.now + ms(3000));
    assert_eq!((trial.answers.len(), trial.syns, trial.falls), (2, 0, falls));
    assert!(trial.answers.iter().all(|(_, _, at)| *at <= asked + ms(900 + 900 + 300)));
}

#[test]
fn visits_take_at_most_a_quarter_of_the_rate() {
    let mut trial = Trial::new(100, 5000);
    trial.run(ms(5000));
    for host in 20..250 {
        trial.visit(host, 1000, 20_000);
    }
    trial.run(trial.now + ms(20_000));
    // 25 SYNs a second, and 48 that may be made up for.
    assert!((400..=20 * 25 + 48 + 3).contains(&trial.syns), "{}", trial.syns);
    let late = trial.answers.iter().filter(|(_, end, _)| *end == VisitEnd::TooLate).count();
    assert!(late > 0 && trial.gap <= ms(5001), "{late}, {:?}", trial.gap);
}

/// Returns a fleet that is isolated since a moment ago, and the time.
fn isolated() -> (Fleet, Duration) {
    let mut fleet = Fleet::new(0, 7);
    let pool = fleet.add_pool(PoolConfig::named("web").settings);
    for network in 1..=4 {
        let place = Place::Endpoint(([198, 18, network, 1], 80).into());
        fleet.add(pool, Member { label: None, place, is_witness: false }, Duration::ZERO);
    }
    let mut now = Duration::ZERO;
    while !fleet.is_isolated() {
        assert!(now < Duration::from_mins(5));
        while let Wanted::Check(Check { id, .. }) = fleet.next(now) {
            fleet.schedule(id, now);
            fleet.ended(id, Ok(Verdict::without_probe(SILENCE)), now + ms(1500));
        }
        now += ms(10);
    }
    (fleet, now)
}

const SILENCE: Reason = Reason::NoAnswer { syns: 3, waited: Duration::from_millis(1500) };

#[test]
fn silence_is_no_result_while_this_machine_is_cut_off() {
    let (mut fleet, mut now) = isolated();
    for (reason, end) in [(SILENCE, Some(VisitEnd::Isolated)), (Reason::SynAck, None)] {
        let (timeout, until) = (ms(1000), now + ms(9000));
        let attempts = Attempts::with_retries(2).unwrap();
        let endpoint = endpoint(200);
        let id = fleet.visit(Visit { endpoint, engine: 0, attempts, timeout, until }, now);
        while !matches!(fleet.next_visit(now), Wanted::Check(check) if check.id == id) {
            now += MILLISECOND;
        }
        let outcome = Ok(Verdict::without_probe(reason));
        fleet.visit_ended(id, outcome.clone(), now);
        assert_eq!(fleet.poll_visit(), Some((id, end.unwrap_or(VisitEnd::Checked(outcome)))));
    }
}

#[test]
fn silence_in_the_check_of_a_pool_is_no_result_either() {
    let (mut fleet, mut now) = isolated();
    let endpoint = ([198, 18, 1, 1], 80).into();
    let attempts = Attempts::with_retries(2).unwrap();
    let (timeout, until) = (ms(10_000), now + ms(20_000));
    let visit = fleet.visit(Visit { endpoint, engine: 0, attempts, timeout, until }, now);
    let answer = loop {
        while let Wanted::Check(Check { id, .. }) = fleet.next(now) {
            fleet.schedule(id, now);
            fleet.ended(id, Ok(Verdict::without_probe(SILENCE)), now + ms(1500));
        }
        assert!(!matches!(fleet.next_visit(now), Wanted::Check(_)), "the pool checks it");
        if let Some(answer) = fleet.poll_visit() {
            break answer;
        }
        now += ms(10);
    };
    assert_eq!(answer, (visit, VisitEnd::Isolated));
}

/// Of two targets, one is checked, and the other waits for its place.
#[test]
fn a_visit_takes_no_place_for_which_a_check_of_a_pool_waits() {
    let mut fleet = Fleet::new(0, 7);
    fleet.limit_checks(&[2]); // one of them is for cross-checks
    let pool = fleet.add_pool(PoolConfig::named("web").settings);
    for host in 1..=2 {
        let place = Place::Endpoint(endpoint(host));
        fleet.add(pool, Member { label: None, place, is_witness: false }, Duration::ZERO);
    }
    let now = ms(5000);
    let Wanted::Check(first) = fleet.next(now) else { panic!("both are due") };
    fleet.schedule(first.id, now);
    assert!(!matches!(fleet.next(now), Wanted::Check(_)));
    assert_eq!(fleet.delayed(), 1);
    let attempts = Attempts::with_retries(0).unwrap();
    let (timeout, until) = (ms(100), now + ms(1000));
    fleet.visit(Visit { endpoint: endpoint(200), engine: 0, attempts, timeout, until }, now);
    fleet.ended(first.id, Ok(Verdict::without_probe(Reason::SynAck)), now);
    assert!(matches!(fleet.next_visit(now), Wanted::At(_)));
    assert!(matches!(fleet.next(now), Wanted::Check(check) if check.id != first.id));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn checks_of_an_endpoint_never_overlap_and_visits_delay_no_pool(
        interval in 900..4000u64,
        steps in prop::collection::vec((1..9u8, 20..2000u64, 100..9000u64, 0..400u64, any::<bool>()), 1..60),
    ) {
        let mut trial = Trial::new(0, interval);
        trial.run(ms(2000));
        let mut asked = Vec::new();
        for (host, timeout, limit, pause, leaves) in steps {
            asked.push(trial.visit(host, timeout.min(limit), limit));
            trial.run(trial.now + ms(pause));
            if leaves {
                let id = asked.remove(asked.len() / 2);
                trial.leave(id);
            }
        }
        trial.run(trial.now + ms(12_000));
        prop_assert!(trial.visits.is_empty(), "no answer: {:?}", trial.visits);
        // After a cross-check between two regular ones, the next one may be left out.
        prop_assert!(trial.gap <= ms(interval * 3 / 2 + 1), "a late check: {:?}", trial.gap);
    }
}
