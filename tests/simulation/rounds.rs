//! The same targets again and again, while answers to earlier rounds are still on their way.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use halfopen::checker::Checker;
use halfopen::engine::simulated::Network;
use halfopen::event::Event;
use halfopen::local_error::{NoRoute, SendError};
use halfopen::probe::{DiscardReason, Secret};
use halfopen::schedule::Schedule;
use halfopen::verdict::{NoVerdict, PortState};
use halfopen::wire::Segment;
use proptest::prelude::*;

use crate::network::rounds::Rounds;
use crate::network::{
    RST_ACK, SERVER, SYN_ACK, answer, arrive, icmp, millis, remotes, rst_ack, schedule_of, secs,
    syn_ack,
};

/// A router, whose errors quote our SYNs.
const ROUTER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 254));

#[test]
fn a_late_syn_ack_of_the_first_round_does_not_open_a_silent_second_round() {
    let log = Rounds::of(&[SERVER], 2).over(|round, syn| match round {
        0 => vec![(millis(20), rst_ack(syn)), (millis(1500), syn_ack(syn))],
        _ => vec![],
    });
    assert_eq!(log.states(), [PortState::Closed, PortState::Filtered]);
    assert_eq!(log.resets(), log.acknowledged_by(SYN_ACK));
    assert_eq!(log.resets().len(), 1);
}

#[test]
fn a_late_refusal_of_the_first_round_does_not_close_the_second() {
    let log = Rounds::of(&[SERVER], 2).over(|round, syn| match round {
        0 => vec![(millis(20), syn_ack(syn)), (millis(1010), rst_ack(syn))],
        _ => vec![(millis(100), syn_ack(syn))],
    });
    assert_eq!(log.states(), [PortState::Open, PortState::Open]);
}

/// Nor does it count as a SYN+ACK with a wrong acknowledgement number, which makes the next attempt
/// leave at once.
#[test]
fn a_late_syn_ack_does_not_hurry_the_next_attempt() {
    let log = Rounds::of(&[SERVER], 2).over(|round, syn| match round {
        0 => vec![(millis(20), rst_ack(syn)), (millis(1100), syn_ack(syn))],
        _ => vec![],
    });
    let times: Vec<_> = log.syns().map(|(at, _)| at.as_millis()).collect();
    assert_eq!(times, [0, 1020, 2020]);
}

#[test]
fn a_syn_ack_that_comes_later_than_an_answer_can_live_is_not_ours() {
    for (after, ours) in [(secs(239), true), (secs(241), false)] {
        let log = Rounds { last_look: secs(300), ..Rounds::of(&[SERVER], 1) }
            .over(|_, syn| vec![(millis(20), syn_ack(syn)), (after, syn_ack(syn))]);
        assert_eq!(
            log.resets().values().sum::<usize>(),
            if ours { 2 } else { 1 },
            "after {after:?}"
        );
        assert_eq!(log.discarded(DiscardReason::NotOurs), usize::from(!ours));
    }
}

/// Numbers near that of the pending round, as an attacker guesses them who has seen those of
/// earlier rounds and knows the clock.
#[test]
fn only_the_exact_number_decides_a_round() {
    let guesses = (1..2000).flat_map(|ticks| [ticks, 0u32.wrapping_sub(ticks)]);
    let guesses: Vec<_> = guesses.collect();
    let log = Rounds::of(&[SERVER], 3).over(|_, syn| {
        let guess = |off: &u32| {
            let acknowledgement = syn.sequence + 1 + *off;
            (millis(5), arrive(Segment { acknowledgement, ..answer(syn, RST_ACK) }))
        };
        guesses.iter().map(guess).collect()
    });
    assert_eq!(log.states(), [PortState::Filtered; 3]);
}

#[test]
fn a_pending_endpoint_is_not_admitted_again() {
    let attempts = schedule_of(0, secs(1)).attempts();
    let mut checker = Checker::new(Secret::new([7; 16]), attempts);
    let schedule = Schedule::fit(attempts, secs(1));
    assert!(checker.admit(0, SERVER, schedule, secs(0)));
    assert!(!checker.admit(1, SERVER, schedule, secs(0)));
    assert_eq!(checker.pending(), 1);
    checker.cancel(SERVER);
    assert!(checker.admit(2, SERVER, schedule, secs(0)));
}

/// The first of the two is not affected.
#[test]
fn a_target_that_is_pending_already_ends_without_verdict() {
    let twice = Rounds { interval: Some(Duration::ZERO), ..Rounds::of(&[SERVER, SERVER], 1) };
    let log = twice.over(|_, syn| vec![(millis(20), syn_ack(syn))]);
    let outcomes: Vec<_> = log.outcomes().collect();
    assert_eq!(outcomes[0], (1, &Err(NoVerdict::AlreadyPending)));
    assert_eq!((outcomes[1].0, log.states()), (0, vec![PortState::Open]));
    assert_eq!(log.syns().count(), 1);
}

/// Each round begins at its time, to the nanosecond, and the loop does not spin.
#[test]
fn the_next_target_comes_at_its_time() {
    let log = Rounds { interval: Some(secs(3600)), ..Rounds::of(&remotes(3), 4) }
        .over(|_, syn| vec![(millis(20), syn_ack(syn))]);
    let times: Vec<_> = log.syns().map(|(at, _)| at).collect();
    let hours = (0..4).flat_map(|hour| [secs(hour * 3600); 3]);
    assert_eq!(times, hours.collect::<Vec<_>>());
    assert!(log.turns < 100, "{} turns of the loop", log.turns);
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    SynAck,
    RstAck,
    Prohibited,
}

/// What a SYN draws: answers, some of them twice and in any order, up to a minute later.
fn answers() -> impl Strategy<Value = Vec<(Kind, u64)>> {
    let kind = prop_oneof![Just(Kind::SynAck), Just(Kind::RstAck), Just(Kind::Prohibited)];
    let delay = prop_oneof![1..200u64, 200..5_000u64, 5_000..60_000u64];
    prop::collection::vec((kind, delay), 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_verdict_of_a_round_rests_on_an_answer_to_another_one(
        answers in prop::collection::vec(answers(), 1..40),
        targets in 1..5usize,
        retries in 0..3u8,
        timeout in 500..4_000u64,
        rest in 1..3_000u64,
        secret: [u8; 16],
    ) {
        let mut drawn = answers.iter().cycle();
        let rounds = Rounds {
            schedule: schedule_of(retries, millis(timeout)),
            secret,
            rest: millis(rest),
            ..Rounds::of(&remotes(targets), 12)
        };
        let log = rounds.over(|_, syn| {
            let answers = drawn.next().expect("it goes round").iter();
            answers.map(|(kind, delay)| (millis(*delay), match kind {
                Kind::SynAck => syn_ack(syn),
                Kind::RstAck => rst_ack(syn),
                Kind::Prohibited => icmp((3, 13), ROUTER, syn),
            })).collect()
        });
        prop_assert_eq!(log.outcomes().count(), targets * 12);
        log.assert_each_round_stands_for_itself();
        let late = log.acknowledged_by(SYN_ACK);
        prop_assert_eq!(log.resets(), late);
    }
}

/// A network that nothing can be sent to.
struct Unreachable;

impl Network for Unreachable {
    fn carry(&mut self, _now: Duration, _segment: &Segment) -> Vec<(Duration, Event)> {
        Vec::new()
    }

    fn route(&mut self, _remote: SocketAddr, _index: usize) -> Result<(), SendError> {
        Err(SendError::NoRoute(NoRoute::Network))
    }
}

/// The driver has nothing to do while its only target is pending. The target ends when its last SYN
/// cannot leave: with nothing to wait for, the driver must be asked for the next round.
#[test]
fn rounds_go_on_if_no_syn_can_leave() {
    for retries in [0, 2] {
        let rounds = Rounds { schedule: schedule_of(retries, secs(1)), ..Rounds::of(&[SERVER], 5) };
        let log = rounds.over_network(Unreachable);
        assert_eq!(log.states(), [PortState::Unreachable; 5], "{retries}");
    }
}
