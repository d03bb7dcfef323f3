//! Checks on demand among those of pools.

mod sharing;
mod trial;

use std::time::Duration;

use halfopen::attempt::Attempts;
use halfopen::verdict::{Reason, Verdict};
use halfopend::config::PoolConfig;
use halfopend::fleet::{Check, Fleet, Member, Place, Visit, VisitEnd, Wanted};
use proptest::prelude::*;

use self::trial::{FIRST_OPEN, MILLISECOND, Step, Trial, endpoint, ms};

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

/// Each has three SYNs if it needs them, and needs one.
#[test]
fn visits_count_as_the_syns_that_they_send() {
    let mut trial = Trial::new(40, 5000);
    trial.run(ms(5000));
    for host in FIRST_OPEN..FIRST_OPEN + 48 {
        trial.visit(host, 1000, 9000);
    }
    trial.run(trial.now + ms(100));
    assert_eq!((trial.answers.len(), trial.syns), (48, 48));
    // The unused share is used up: one every tenth of a second.
    for host in 20..30 {
        trial.ask(host, (0, 0), 1000, 9000);
    }
    trial.run(trial.now + ms(500));
    assert!((52..=55).contains(&trial.syns), "{}", trial.syns);
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

fn step() -> impl Strategy<Value = Step> {
    (1..9u8, 20..2000u64, 100..9000u64, 0..400u64, any::<bool>()).prop_map(
        |(host, timeout, limit, pause, leaves)| Step {
            host,
            way: (0, 2),
            timeout,
            limit,
            pause,
            leaves,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn checks_of_an_endpoint_never_overlap_and_visits_delay_no_pool(
        interval in 900..4000u64,
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut trial = Trial::new(0, interval);
        trial.run(ms(2000));
        trial.follow(steps);
        // After a cross-check between two regular ones, the next one may be left out.
        prop_assert!(trial.gap <= ms(interval * 3 / 2 + 1), "a late check: {:?}", trial.gap);
    }
}
