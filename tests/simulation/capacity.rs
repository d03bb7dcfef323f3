//! An engine that has room for a limited number of attempts: the others wait.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use halfopen::engine::simulated::Network;
use halfopen::event::Event;
use halfopen::local_error::LocalError;
use halfopen::verdict::{EndOfRun, NoVerdict, PortState, Reason};
use halfopen::wire::Segment;
use proptest::prelude::*;

use crate::network::{
    Conditions, DEAF, Run, check_under, millis, on_syn, remotes, rst_ack, schedule_of, secs,
    syn_ack,
};

#[test]
fn no_more_attempts_are_out_than_there_is_room_for() {
    for capacity in [1, 2, 63, 64, 65, 1000] {
        let run = check_within(capacity, 300, on_syn(deserved));
        assert_eq!(run.most_held, capacity.min(300));
        assert_each_has_its_verdict(&run, 300);
        assert_each_is_released_once(&run, 300);
    }
}

/// The loop must neither spin, nor sleep past the moment at which there is room.
#[test]
fn the_next_target_begins_when_one_has_been_waited_for() {
    let run = check_within(1, 4, on_syn(|_, _| Vec::new()));
    assert_eq!(first_syns(&run), [secs(0), secs(1), secs(2), secs(3)]);
    let run = check_within(1, 4, on_syn(|_, syn| vec![(millis(20), syn_ack(syn))]));
    assert_eq!(first_syns(&run), [millis(0), millis(20), millis(40), millis(60)]);
}

/// Whether there is time left for a target is known only when it begins.
#[test]
fn no_target_is_asked_for_before_there_is_room_for_it() {
    for capacity in [1, 3] {
        let run = check_within(capacity, 10, on_syn(deserved));
        assert_eq!(run.asked_at, first_syns(&run));
    }
}

/// Retries of those that are pending need no room of their own.
#[test]
fn a_full_engine_still_retries() {
    let run = check_within(2, 2, on_syn(|_, _| Vec::new()));
    assert_eq!(run.syn_times(), [0, 0, 1000, 1000, 3000, 3000]);
}

#[test]
fn targets_that_wait_for_room_at_the_deadline_are_not_begun() {
    let schedule = schedule_of(2, secs(7));
    let conditions = Conditions { capacity: 2, deadline: secs(10), ..Conditions::of(schedule) };
    let run = check_under(conditions, &remotes(60), on_syn(|_, _| Vec::new()));
    assert_eq!(run.outcomes.len(), 22, "two a second, and two at the deadline");
    assert!(
        run.outcomes
            .iter()
            .all(|(_, outcome)| *outcome == Err(NoVerdict::Unfinished(EndOfRun::OutOfTime)))
    );
    assert_each_is_released_once(&run, 22);
}

#[test]
fn what_is_left_when_the_engine_fails_is_released_too() {
    let conditions = Conditions {
        capacity: 5,
        deaf_at: Some(secs(2)),
        ..Conditions::of(schedule_of(2, secs(10)))
    };
    let run = check_under(conditions, &remotes(20), on_syn(|_, _| Vec::new()));
    assert_eq!(run.outcomes.len(), 15);
    assert!(run.outcomes.iter().all(|(_, outcome)| *outcome == Err(DEAF.into())));
    assert_each_is_released_once(&run, 15);
}

/// However many there are, each has its room for a second, until all others have begun.
#[test]
fn dead_targets_leave_room_for_live_ones() {
    for (dead, all_begun) in [(10, secs(1)), (50, secs(4)), (100, secs(7))] {
        let first_live = remotes(dead + 1)[dead];
        let network = on_syn(move |_, syn| {
            let is_live = syn.destination >= first_live;
            is_live.then(|| (millis(1), syn_ack(syn))).into_iter().collect()
        });
        let run = check_within(16, 1536, network);
        assert!(first_syns(&run).iter().all(|at| *at <= all_begun), "{dead} dead");
        for target in 0..1536 {
            let state = run.outcome_of(target).as_ref().unwrap().state();
            let expected = if target < dead { PortState::Filtered } else { PortState::Open };
            assert_eq!(state, expected, "target {target} beside {dead} dead");
        }
    }
}

/// If not all can be probed in time, those that were probed first get all of their attempts.
#[test]
fn of_many_dead_targets_some_have_a_verdict_in_time() {
    let schedule = schedule_of(2, secs(7));
    let conditions = Conditions { capacity: 4, deadline: secs(12), ..Conditions::of(schedule) };
    let run = check_under(conditions, &remotes(12), on_syn(|_, _| Vec::new()));
    let verdicts = run.outcomes.iter().filter(|(_, outcome)| outcome.is_ok()).count();
    assert!(verdicts >= 4, "{verdicts} of 12");
}

/// An attempt that was given up for others receives no answer. The next attempt does, and only an
/// attempt that was waited for to its end counts as silence.
#[test]
fn an_attempt_that_is_given_up_is_made_again_and_counts_for_nothing() {
    let answering_after = |delay: Duration, capacity| {
        let first = remotes(1)[0];
        let network = on_syn(move |_, syn| {
            let answers = syn.destination == first;
            answers.then(|| (delay, syn_ack(syn))).into_iter().collect()
        });
        let run = check_within(capacity, 8, network);
        run.outcome_of(0).as_ref().unwrap().clone()
    };
    for delay in [millis(500), millis(1500), millis(2500)] {
        assert_eq!(answering_after(delay, 2).state(), PortState::Open, "after {delay:?}");
    }
    assert_eq!(answering_after(secs(6), 100).state(), PortState::Open);
    let filtered = answering_after(secs(6), 2);
    let Reason::NoAnswer { syns, waited } = filtered.reason else { panic!("{filtered:?}") };
    assert_eq!((syns, filtered.attempts), (1, 3));
    assert!(waited >= secs(3) && waited <= secs(4), "{waited:?}");
}

/// It takes the place of the one that it repeats.
#[test]
fn a_repeated_syn_takes_no_room() {
    let network = on_syn(|number, syn| match number {
        0 => vec![(millis(500), Event::SegmentsLost(1))],
        _ => vec![(millis(1), syn_ack(syn))],
    });
    let schedule = schedule_of(0, secs(1));
    let conditions = Conditions { capacity: 1, deadline: secs(5), ..Conditions::of(schedule) };
    let run = check_under(conditions, &remotes(2), network);
    assert!(run.outcomes.iter().all(|(_, outcome)| outcome.is_ok()), "{:?}", run.outcomes);
    assert_eq!(run.syn_times(), [0, 1000, 1001, 2001]);
}

#[test]
fn targets_that_no_syn_can_leave_to_take_no_room() {
    let conditions = Conditions {
        capacity: 1,
        kernel: |syn| match syn.destination.port() {
            25 => Err(LocalError::Firewall(syn.destination)),
            _ => Ok(()),
        },
        ..Conditions::of(schedule_of(1, secs(10)))
    };
    let [first, mut second] = remotes(2)[..] else { unreachable!("two of them") };
    second.set_port(26);
    let run = check_under(
        conditions,
        &[first, second],
        on_syn(|_, syn| vec![(millis(20), syn_ack(syn))]),
    );
    assert_eq!(run.outcome_of(0), &Err(LocalError::Firewall(first).into()));
    assert_eq!(run.outcome_of(1).as_ref().unwrap().state(), PortState::Open);
    assert_eq!(run.released, [second, first]);
}

proptest! {
    #[test]
    fn any_capacity_rate_and_mixture_ends_right(
        capacity in 1..40_usize,
        rate in prop_oneof![Just(0_u32), 50..5000_u32],
        count in 1..120_usize,
    ) {
        let conditions =
            Conditions { rate, capacity, ..Conditions::of(schedule_of(2, secs(7))) };
        let run = check_under(conditions, &remotes(count), on_syn(deserved));
        prop_assert!(run.most_held <= capacity, "{} at a time", run.most_held);
        assert_each_has_its_verdict(&run, count);
        assert_each_is_released_once(&run, count);
    }
}

fn check_within(capacity: usize, count: usize, network: impl Network) -> Run {
    let conditions = Conditions { capacity, ..Conditions::of(schedule_of(2, secs(10))) };
    check_under(conditions, &remotes(count), network)
}

/// The address decides whether a target is open, closed or silent.
fn state(remote: SocketAddr) -> PortState {
    let SocketAddr::V4(remote) = remote else { unreachable!("all of IPv4") };
    match u32::from(*remote.ip()) % 3 {
        0 => PortState::Open,
        1 => PortState::Closed,
        _ => PortState::Filtered,
    }
}

fn deserved(_: usize, syn: &Segment) -> Vec<(Duration, Event)> {
    match state(syn.destination) {
        PortState::Open => vec![(millis(1), syn_ack(syn))],
        PortState::Closed => vec![(millis(2), rst_ack(syn))],
        _ => Vec::new(),
    }
}

#[track_caller]
fn assert_each_has_its_verdict(run: &Run, count: usize) {
    for (target, remote) in remotes(count).into_iter().enumerate() {
        let verdict = run.outcome_of(target).as_ref().expect("this machine has no faults");
        assert_eq!(verdict.state(), state(remote), "{remote}");
    }
}

#[track_caller]
fn assert_each_is_released_once(run: &Run, count: usize) {
    let mut times: HashMap<_, usize> = HashMap::new();
    for remote in &run.released {
        *times.entry(*remote).or_default() += 1;
    }
    assert_eq!(times, remotes(count).into_iter().map(|remote| (remote, 1)).collect());
}

/// Returns when the first SYN of each target left, in order.
fn first_syns(run: &Run) -> Vec<Duration> {
    let mut seen = HashSet::new();
    let first = |(_, syn): &(Duration, Segment)| seen.insert(syn.destination);
    run.syns().into_iter().filter(first).map(|(at, _)| at).collect()
}
