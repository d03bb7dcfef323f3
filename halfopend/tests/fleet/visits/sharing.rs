//! Visits whose checks would be the same.

use halfopend::fleet::VisitEnd;
use proptest::prelude::*;

use super::trial::{FIRST_OPEN, Step, Trial, ms};

#[test]
fn visits_that_ask_at_the_same_time_share_a_check() {
    for host in [100, FIRST_OPEN] {
        let mut trial = Trial::new(0, 5000);
        trial.run(ms(50));
        for _ in 0..5 {
            trial.visit(host, 1000, 9500);
        }
        trial.run(trial.now + ms(1010));
        assert_eq!((trial.answers.len(), trial.checks), (5, 1));
    }
}

#[test]
fn a_visit_that_asks_later_gets_a_check_of_its_own() {
    let mut trial = Trial::new(0, 5000);
    trial.run(ms(50));
    trial.visit(100, 1000, 9500);
    trial.run(trial.now + ms(5));
    trial.visit(100, 1000, 9500);
    trial.visit(100, 1000, 9500);
    trial.run(trial.now + ms(1010));
    assert_eq!((trial.answers.len(), trial.checks), (1, 1));
    trial.run(trial.now + ms(1500));
    assert_eq!((trial.answers.len(), trial.checks), (3, 2));
}

#[test]
fn visits_that_differ_take_turns() {
    let mut trial = Trial::new(0, 5000);
    trial.run(ms(50));
    for _ in 0..2 {
        for (way, timeout) in [((0, 2), 1000), ((1, 2), 1000), ((0, 1), 1000), ((0, 2), 800)] {
            trial.ask(100, way, timeout, 30_000);
        }
    }
    trial.run(trial.now + ms(6000));
    assert_eq!((trial.answers.len(), trial.checks), (8, 4));
}

/// A SYN every second. The first of them begins a second later, and takes the share of three more.
/// Then the others may have no time left for checks of their own.
#[test]
fn a_visit_shares_a_check_although_the_rate_allows_it_none() {
    for (timeout, limit) in [(1000, 9500), (4000, 4500)] {
        let mut trial = Trial::new(4, 5000);
        trial.run(ms(60_000));
        for host in 20..37 {
            trial.visit(host, 1000, 30_000);
        }
        trial.run(trial.now + ms(2000));
        assert_eq!((trial.answers.len(), trial.syns), (17, 51));
        for _ in 0..5 {
            trial.visit(100, timeout, limit);
        }
        trial.run(trial.now + ms(limit + 10));
        let is_checked = |(_, end, _): &&(_, VisitEnd, _)| matches!(end, VisitEnd::Checked(_));
        assert_eq!(trial.answers.iter().filter(is_checked).count(), 22);
        assert_eq!(trial.syns, 54);
    }
}

/// The one whose check it is leaves.
#[test]
fn a_visit_whose_shared_check_is_cancelled_gets_another() {
    let mut trial = Trial::new(0, 5000);
    trial.run(ms(50));
    let first = trial.visit(100, 1000, 9500);
    trial.visit(100, 1000, 9500);
    trial.run(trial.now + ms(10));
    trial.leave(first);
    trial.run(trial.now + ms(1600));
    let [(_, VisitEnd::Checked(_), _)] = &trial.answers[..] else { panic!("{:?}", trial.answers) };
    assert_eq!(trial.checks, 2);
}

fn step() -> impl Strategy<Value = Step> {
    let host = prop::sample::select(vec![1, 5, 100, FIRST_OPEN]);
    let times = (prop_oneof![Just(400u64), Just(1000)], 300..6000u64);
    let pause = prop_oneof![Just(0), 0..400u64];
    (host, (0..2usize, 1..3u8), times, pause, any::<bool>()).prop_map(
        |(host, way, (timeout, limit), pause, leaves)| Step {
            host,
            way,
            timeout,
            limit,
            pause,
            leaves,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Each answer is judged when it comes.
    #[test]
    fn a_visit_gets_what_its_own_check_could_have_found(
        rate in prop_oneof![Just(0u32), Just(400)],
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut trial = Trial::new(rate, 2500);
        trial.run(ms(2000));
        trial.follow(steps);
    }
}
