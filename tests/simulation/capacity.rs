//! An engine that has room for so many targets at a time: the others wait until there is some.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use halfopen::engine::simulated::Network;
use halfopen::fault::Fault;
use halfopen::schedule::Schedule;
use halfopen::verdict::PortState;
use halfopen::wire::{Arrival, Segment};
use proptest::prelude::*;

use crate::network::{
    Conditions, DEAF, Run, check_under, millis, on_syn, remotes, rst_ack, secs, syn_ack,
};

#[test]
fn no_more_targets_are_pending_than_there_is_room_for() {
    for capacity in [1, 2, 63, 64, 65, 1000] {
        let run = check_within(capacity, 300, on_syn(deserved));
        assert_eq!(run.most_held, capacity.min(300));
        assert_each_has_what_it_deserves(&run, 300);
        assert_each_is_released_once(&run, 300);
    }
}

/// The loop must neither spin nor sleep over the moment at which there is room.
#[test]
fn the_next_target_begins_when_one_has_ended() {
    let run = check_within(1, 4, on_syn(|_, _| Vec::new()));
    assert_eq!(first_syns(&run), [secs(0), secs(7), secs(14), secs(21)]);
    let run = check_within(1, 4, on_syn(|_, syn| vec![(millis(20), syn_ack(syn))]));
    assert_eq!(first_syns(&run), [millis(0), millis(20), millis(40), millis(60)]);
}

/// Whether there is time left for a target is known when it begins, and not before.
#[test]
fn nobody_is_asked_for_a_target_before_there_is_room_for_it() {
    for capacity in [1, 3] {
        let run = check_within(capacity, 10, on_syn(deserved));
        assert_eq!(run.asked_at, first_syns(&run));
    }
}

/// Retries of those that are pending need no room of their own.
#[test]
fn a_full_house_still_retries() {
    let run = check_within(2, 2, on_syn(|_, _| Vec::new()));
    assert_eq!(run.syn_times(), [0, 0, 1000, 1000, 3000, 3000]);
}

#[test]
fn who_waits_for_room_at_the_deadline_is_not_begun() {
    let schedule = Schedule::fit(2, secs(7));
    let conditions = Conditions { capacity: 2, deadline: secs(10), ..Conditions::of(schedule) };
    let run = check_under(conditions, &remotes(6), on_syn(|_, _| Vec::new()));
    let ends: Vec<_> = (0..4).map(|target| run.outcome_of(target).clone()).collect();
    assert!(ends[..2].iter().all(Result::is_ok), "{ends:?}");
    assert_eq!(ends[2..], [Err(Fault::OutOfTime), Err(Fault::OutOfTime)]);
    assert_eq!(run.outcomes.len(), 4);
    assert_each_is_released_once(&run, 4);
}

#[test]
fn what_is_left_when_the_engine_fails_is_released_too() {
    let conditions = Conditions {
        capacity: 5,
        deaf_at: Some(secs(2)),
        ..Conditions::of(Schedule::fit(2, secs(10)))
    };
    let run = check_under(conditions, &remotes(20), on_syn(|_, _| Vec::new()));
    assert_eq!(run.outcomes.len(), 5);
    assert!(run.outcomes.iter().all(|(_, outcome)| *outcome == Err(DEAF)));
    assert_each_is_released_once(&run, 5);
}

/// A target whose SYNs cannot leave takes room as well, and gives it back.
#[test]
fn targets_that_no_syn_can_leave_to_make_room_in_the_end() {
    let conditions = Conditions {
        capacity: 1,
        kernel: |syn| match syn.destination.port() {
            25 => Err(Fault::Firewall(syn.destination)),
            _ => Ok(()),
        },
        ..Conditions::of(Schedule::fit(1, secs(10)))
    };
    let [first, mut second] = remotes(2)[..] else { unreachable!("two of them") };
    second.set_port(26);
    let run = check_under(
        conditions,
        &[first, second],
        on_syn(|_, syn| vec![(millis(20), syn_ack(syn))]),
    );
    assert_eq!(run.outcome_of(0), &Err(Fault::Firewall(first)));
    assert_eq!(run.outcome_of(1).as_ref().unwrap().state(), PortState::Open);
    assert_eq!(run.released, [first, second]);
}

proptest! {
    #[test]
    fn any_capacity_rate_and_mixture_ends_right(
        capacity in 1..40_usize,
        rate in prop_oneof![Just(0_u32), 50..5000_u32],
        count in 1..120_usize,
    ) {
        let conditions =
            Conditions { rate, capacity, ..Conditions::of(Schedule::fit(2, secs(7))) };
        let run = check_under(conditions, &remotes(count), on_syn(deserved));
        prop_assert!(run.most_held <= capacity, "{} at a time", run.most_held);
        assert_each_has_what_it_deserves(&run, count);
        assert_each_is_released_once(&run, count);
    }
}

fn check_within(capacity: usize, count: usize, network: impl Network) -> Run {
    let conditions = Conditions { capacity, ..Conditions::of(Schedule::fit(2, secs(10))) };
    check_under(conditions, &remotes(count), network)
}

/// By address a target is open, closed, or silent.
fn state(remote: SocketAddr) -> PortState {
    let SocketAddr::V4(remote) = remote else { unreachable!("all of IPv4") };
    match u32::from(*remote.ip()) % 3 {
        0 => PortState::Open,
        1 => PortState::Closed,
        _ => PortState::Filtered,
    }
}

fn deserved(_: usize, syn: &Segment) -> Vec<(Duration, Arrival)> {
    match state(syn.destination) {
        PortState::Open => vec![(millis(1), syn_ack(syn))],
        PortState::Closed => vec![(millis(2), rst_ack(syn))],
        _ => Vec::new(),
    }
}

#[track_caller]
fn assert_each_has_what_it_deserves(run: &Run, count: usize) {
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

/// When the first SYN of each target left, in the order in which they did.
fn first_syns(run: &Run) -> Vec<Duration> {
    let mut seen = HashSet::new();
    let first = |(_, syn): &(Duration, Segment)| seen.insert(syn.destination);
    run.syns().into_iter().filter(first).map(|(at, _)| at).collect()
}
