//! RSTs that find no room, and the SYNs that wait for them.

use std::collections::HashSet;
use std::time::Duration;

use halfopen::engine::simulated::Network;
use halfopen::event::Event;
use halfopen::local_error::LocalError;
use halfopen::verdict::{EndOfRun, NoVerdict, PortState, Verdict};
use halfopen::wire::{Flags, Segment};

use crate::network::rounds::Rounds;
use crate::network::{
    Conditions, NOBODY, SERVER, challenge_ack, check_under, millis, on_syn, remotes, schedule_of,
    secs, syn_ack,
};
use crate::shortage::{Short, no_room, under};

/// Answers SYNs after a millisecond: with an ACK of an old connection, or as an open port. The
/// kernel refuses segments.
struct Stale<S, F> {
    is_stale: S,
    has_no_room: F,
}

impl<S: FnMut(&Segment) -> bool, F: FnMut(&Segment) -> bool> Network for Stale<S, F> {
    fn carry(&mut self, _now: Duration, segment: &Segment) -> Vec<(Duration, Event)> {
        match segment.flags {
            Flags::SYN if (self.is_stale)(segment) => vec![(millis(1), challenge_ack(segment))],
            Flags::SYN => vec![(millis(1), syn_ack(segment))],
            _ => vec![],
        }
    }

    fn admit(&mut self, segment: &Segment) -> Result<(), LocalError> {
        let full = (self.has_no_room)(segment);
        if full { Err(no_room(segment.destination)) } else { Ok(()) }
    }
}

/// RSTs that find no room for a while leave afterwards, once.
#[test]
fn an_rst_without_room_is_kept_until_there_is_some() {
    let mut refused = 0;
    let run = under(
        0,
        100,
        Short(|segment: &Segment| {
            refused += usize::from(segment.flags == Flags::RST);
            segment.flags == Flags::RST && refused <= 1000
        }),
    );
    assert!(run.outcomes.iter().all(|(_, outcome)| outcome.is_ok()));
    let reset: HashSet<_> = run.resets().iter().map(|(_, rst)| rst.destination).collect();
    assert_eq!((run.resets().len(), reset.len()), (100, 100));
    assert!(run.end < millis(100), "{:?}", run.end);
}

/// Equipment on the way may admit no SYN before the RST, and a server that holds an old connection
/// answers none.
#[test]
fn no_syn_leaves_before_an_rst_that_has_to_wait_for_room() {
    let mut refused = 0;
    let mut stale = HashSet::new();
    let run = under(
        0,
        200,
        Stale {
            is_stale: |syn: &Segment| stale.insert(syn.destination),
            has_no_room: |segment: &Segment| {
                refused += usize::from(segment.flags == Flags::RST);
                segment.flags == Flags::RST && refused <= 1000
            },
        },
    );
    for (index, remote) in remotes(200).into_iter().enumerate() {
        let verdict = run.outcome_of(index).as_ref().expect("a verdict");
        assert_eq!((verdict.state(), verdict.attempts), (PortState::Open, 2));
        let to_it: Vec<_> = run.sent().into_iter().map(|(_, segment)| segment).collect();
        let to_it: Vec<_> = to_it.iter().filter(|sent| sent.destination == remote).collect();
        let flags: Vec<_> = to_it.iter().map(|segment| segment.flags).collect();
        assert_eq!(flags, [Flags::SYN, Flags::RST, Flags::SYN, Flags::RST], "{remote}");
        assert_eq!(to_it[1].source, to_it[0].source);
    }
    assert!(run.end < secs(1), "{:?}", run.end);
}

#[test]
fn an_rst_without_room_delays_no_other_target() {
    let [unlucky, ..] = remotes(200)[..] else { panic!("200 targets") };
    let run = under(
        10_000,
        200,
        Stale {
            is_stale: |syn: &Segment| syn.destination == unlucky,
            has_no_room: |segment: &Segment| {
                segment.flags == Flags::RST && segment.destination == unlucky
            },
        },
    );
    assert_eq!(run.outcome_of(0), &Err(NoVerdict::Unfinished(EndOfRun::OutOfTime)));
    for index in 1..200 {
        assert_eq!(run.outcome_of(index).as_ref().map(Verdict::state), Ok(PortState::Open));
    }
    let syns = run.syns();
    assert_eq!(syns.len(), 200, "one to the unlucky target");
    assert!(syns.iter().all(|(at, _)| *at <= millis(21)), "{:?}", syns.last());
}

/// The server still holds its half of the connection.
#[test]
fn the_next_round_waits_for_an_rst_without_room() {
    let mut refused = 0;
    let short = Short(|segment: &Segment| {
        refused += usize::from(segment.flags == Flags::RST);
        segment.flags == Flags::RST && refused <= 400
    });
    let log = Rounds::of(&[SERVER], 2).over_network(short);
    assert_eq!(log.states(), [PortState::Open; 2]);
    let sent: Vec<_> = log.sent().map(|(_, segment)| segment.flags).collect();
    assert_eq!(sent, [Flags::SYN, Flags::RST, Flags::SYN, Flags::RST]);
    let (second_round, _) = log.sent().nth(2).unwrap();
    assert!(second_round >= secs(2) && second_round < secs(3), "{second_round:?}");
}

/// If the engine finds out only later that there is no room, nothing else need wake the loop.
#[test]
fn an_rst_that_comes_back_leaves_again_soon() {
    let network = on_syn(|_, syn| {
        let answers = syn.destination == SERVER;
        answers.then(|| (millis(1), syn_ack(syn))).into_iter().collect()
    });
    let conditions = Conditions {
        returns_resets_after: Some(millis(10)),
        ..Conditions::of(schedule_of(2, secs(10)))
    };
    let run = check_under(conditions, &[SERVER, NOBODY], network);
    let [(handed_over, first), (at, again)] = run.resets()[..] else { panic!("two RSTs") };
    assert_eq!((handed_over, first), (millis(1), again));
    assert!(at <= millis(20), "{at:?}");
}

/// The loop does not wait for room that never comes.
#[test]
fn rsts_that_never_find_room_are_given_up_at_the_deadline() {
    let run = under(0, 100, Short(|segment: &Segment| segment.flags == Flags::RST));
    assert!(run.outcomes.iter().all(|(_, outcome)| outcome.is_ok()));
    assert_eq!((run.resets().len(), run.end), (0, secs(5)));
}

/// The second SYN waits for an RST, which leaves only after the end.
#[test]
fn without_a_deadline_a_syn_whose_rst_never_finds_room_is_given_up() {
    let mut refused = 0;
    let stale = Stale {
        is_stale: |_: &Segment| true,
        has_no_room: |segment: &Segment| {
            refused += usize::from(segment.flags == Flags::RST);
            segment.flags == Flags::RST && refused <= 3000
        },
    };
    let log = Rounds::of(&[SERVER], 1).over_network(stale);
    let outcomes: Vec<_> = log.outcomes().map(|(_, outcome)| outcome.clone()).collect();
    assert_eq!(outcomes, [Err(LocalError::NoRoomForRst(SERVER).into())]);
    assert_eq!(log.syns().count(), 1);
}
