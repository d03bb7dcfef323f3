//! The server holds an old connection on our port and answers with a bare ACK (RFC 9293 §3.5.1, RFC
//! 5961 §4).

use halfopen::probe::DiscardReason;
use halfopen::verdict::{PortState, Reason};
use halfopen::wire::{Flags, SequenceNumber};

use crate::network::{
    NOBODY, SERVER, challenge_ack, check, check_all, check_by, icmp, millis, on_syn, ports,
    rst_ack, schedule_of, secs, syn_ack,
};

#[test]
fn the_old_connection_is_reset_and_the_next_attempt_goes_out_at_once() {
    let run = check(on_syn(|number, syn| match number {
        0 => vec![(millis(20), challenge_ack(syn))],
        _ => vec![(millis(20), syn_ack(syn))],
    }));
    let verdict = run.verdict();
    assert_eq!((verdict.state(), verdict.attempts), (PortState::Open, 2));
    assert_eq!(run.syn_times(), [0, 20]);
    assert_eq!(run.end, millis(40));

    let (at, rst) = run.resets()[0];
    let (_, syn) = run.syns()[0];
    assert_eq!(at, millis(20));
    assert_eq!((rst.source, rst.destination), (syn.source, SERVER));
    assert_eq!(rst.flags, Flags::RST);
    assert_eq!(rst.sequence, SequenceNumber(0x0bad_cafe)); // SEG.ACK
    assert_ne!(run.syns()[1].1.source.port(), syn.source.port());
}

#[test]
fn an_old_connection_on_every_port_is_stale_when_the_last_wait_is_over() {
    let run = check(on_syn(|_, syn| vec![(millis(20), challenge_ack(syn))]));
    let verdict = run.verdict();
    assert_eq!(verdict.state(), PortState::Stale);
    assert_eq!(verdict.reason, Reason::BareAck);
    assert_eq!(verdict.attempts, 3);
    assert_eq!(run.syn_times(), [0, 20, 3000]);
    assert_eq!(run.end, secs(7));
    assert_eq!(run.resets().len(), 3);
}

/// Linux limits the ACKs that it sends for an old connection (`tcp_oow_rate_limited()`).
#[test]
fn a_repeated_syn_that_draws_no_ack_is_of_the_old_connection_too() {
    for silent in 0..3 {
        let run = check(on_syn(|number, syn| {
            let answer = (millis(20), challenge_ack(syn));
            if number == silent { vec![] } else { vec![answer] }
        }));
        assert_eq!(run.verdict().state(), PortState::Stale, "no answer to SYN {silent}");
        assert_eq!(run.verdict().reason, Reason::BareAck);
    }
}

/// A bare ACK is authenticated by its ports alone; a forged one must not hide the true answer.
#[test]
fn a_syn_ack_during_the_last_wait_is_open() {
    for answered in 0..3 {
        let run = check(on_syn(|number, syn| {
            let mut arrivals = vec![(millis(20), challenge_ack(syn))];
            if number == answered {
                arrivals.push((secs(4), syn_ack(syn)));
            }
            arrivals
        }));
        assert_eq!(run.verdict().state(), PortState::Open, "try {answered} answered");
        // The last SYN repeats the second.
        assert_eq!(run.verdict().round_trip(), Some(secs(4)).filter(|_| answered == 0));
        assert_eq!(run.resets().len(), 4);
    }
}

#[test]
fn a_refusal_during_the_last_wait_is_closed() {
    let run = check(on_syn(|_, syn| {
        vec![(millis(20), challenge_ack(syn)), (millis(1000), rst_ack(syn))]
    }));
    assert_eq!(run.verdict().state(), PortState::Closed);
}

#[test]
fn more_old_acks_do_not_use_up_more_attempts() {
    let run = check(on_syn(|number, syn| match number {
        0 => vec![(millis(20), challenge_ack(syn)); 10],
        _ => vec![],
    }));
    assert_eq!(run.syn_times(), [0, 20, 3000]);
    assert_eq!(run.resets().len(), 10);
    assert_eq!(run.end, secs(7));
}

#[test]
fn an_old_ack_to_an_earlier_port_does_not_hurry_the_next_attempt() {
    let run = check_by(
        schedule_of(3, secs(15)),
        &[SERVER],
        on_syn(|number, syn| match number {
            0 => vec![(millis(3500), challenge_ack(syn))],
            _ => vec![],
        }),
    );
    assert_eq!(run.syn_times(), [0, 1000, 3000, 7000]);
    assert_eq!(run.resets().len(), 1);
    assert_eq!(run.end, secs(15));
}

/// The retransmission went to the same old connection.
#[test]
fn a_late_old_ack_to_a_port_that_was_used_twice_does_not_hurry_the_last_attempt() {
    let run = check(on_syn(|number, syn| match number {
        0 => vec![(millis(1500), challenge_ack(syn))],
        2 => vec![(millis(20), syn_ack(syn))],
        _ => vec![],
    }));
    assert_eq!(run.verdict().state(), PortState::Open);
    assert_eq!(run.syn_times(), [0, 1000, 3000]);
    assert_eq!(ports(&run), [0, 0, 1]);
}

#[test]
fn an_old_ack_after_the_verdict_is_discarded() {
    let run = check_all(
        &[SERVER, NOBODY],
        on_syn(|_, syn| match syn.destination {
            SERVER => vec![(millis(20), syn_ack(syn)), (secs(2), challenge_ack(syn))],
            _ => vec![],
        }),
    );
    assert_eq!(run.verdict().state(), PortState::Open);
    assert_eq!(run.resets().len(), 1);
    run.ignored_once(DiscardReason::NotOurs);
    let to_server = run.syns().iter().filter(|(_, syn)| syn.destination == SERVER).count();
    assert_eq!(to_server, 1);
}

/// The port has been used for another target by then, and the ACK is reset, but it says nothing
/// about this one.
#[test]
fn an_old_ack_to_a_port_this_target_was_not_tried_from_proves_nothing() {
    let run = check_all(
        &[SERVER, NOBODY],
        on_syn(|number, syn| match (syn.destination, number) {
            (NOBODY, _) => vec![(millis(20), challenge_ack(syn))],
            (SERVER, 0) => {
                let mut next_port = *syn;
                next_port.source.set_port(syn.source.port() + 1);
                vec![(millis(50), challenge_ack(&next_port))]
            }
            _ => vec![],
        }),
    );
    assert_eq!(run.verdict().reason.to_string(), "no answer to 3 SYNs in 7.0 s");
    let to_server = run.syns().into_iter().filter(|(_, syn)| syn.destination == SERVER);
    assert_eq!(to_server.map(|(at, _)| at.as_millis()).collect::<Vec<_>>(), [0, 1000, 3000]);
    assert_eq!(run.outcome_of(1).as_ref().unwrap().state(), PortState::Stale);
}

#[test]
fn without_retries_an_old_ack_leaves_only_waiting() {
    let stale = check_by(
        schedule_of(0, secs(10)),
        &[SERVER],
        on_syn(|_, syn| vec![(millis(20), challenge_ack(syn))]),
    );
    assert_eq!(stale.verdict().state(), PortState::Stale);
    assert_eq!((stale.syns().len(), stale.end), (1, secs(1)));
}

/// What was learnt last decides if no attempt is left.
#[test]
fn unreachable_on_the_last_attempt_outweighs_old_acks_before() {
    let run = check(on_syn(|number, syn| match number {
        2 => vec![(millis(20), icmp((3, 1), "198.18.0.1".parse().unwrap(), syn))],
        _ => vec![(millis(20), challenge_ack(syn))],
    }));
    assert_eq!(run.verdict().state(), PortState::Unreachable);
    assert_eq!((run.end, run.resets().len()), (secs(7), 2));
}

/// Anyone who knows our port can send an ACK, so one alone does not replace silence.
#[test]
fn an_old_ack_on_one_port_of_three_is_not_stale() {
    let run = check(on_syn(|number, syn| match number {
        0 => vec![(millis(20), challenge_ack(syn))],
        _ => vec![],
    }));
    let Reason::NoAnswer { syns, .. } = run.verdict().reason else { panic!("{:?}", run.verdict()) };
    assert_eq!((syns, run.verdict().attempts), (2, 3));
}
