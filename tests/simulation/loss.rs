//! Segments that are lost, duplicated, reordered and delayed on their way.

use std::time::Duration;

use halfopen::event::Event;
use halfopen::verdict::PortState;
use halfopen::wire::{Flags, Options, Segment, SequenceNumber};

use crate::network::{
    NOBODY, Run, SERVER, SERVER_V6, check, check_all, millis, on_syn, rst_ack, secs, syn_ack,
};

#[test]
fn an_answer_decides_when_it_comes() {
    for remote in [SERVER, SERVER_V6] {
        let run = check_all(&[remote], on_syn(|_, syn| vec![(millis(20), syn_ack(syn))]));
        let verdict = run.verdict();
        assert_eq!(verdict.state(), PortState::Open);
        assert_eq!((verdict.round_trip(), verdict.attempts), (Some(millis(20)), 1));
        assert_eq!(run.end, millis(20));
        assert_eq!(on_packet(&run), ["SYN", "SYN+ACK", "RST"]);
    }
}

#[test]
fn a_refusal_decides_when_it_comes_and_is_not_answered() {
    for remote in [SERVER, SERVER_V6] {
        let run = check_all(&[remote], on_syn(|_, syn| vec![(millis(20), rst_ack(syn))]));
        let verdict = run.verdict();
        assert_eq!(verdict.state(), PortState::Closed);
        assert_eq!((verdict.round_trip(), verdict.attempts), (Some(millis(20)), 1));
        assert_eq!(on_packet(&run), ["SYN", "RST+ACK"]);
    }
}

/// RFC 9293 §3.5.2: the sequence number of the RST is the acknowledgement number; no ACK, no
/// window, no options.
#[test]
fn the_rst_is_bare_and_takes_its_number_from_the_syn_ack() {
    let run = check(on_syn(|_, syn| vec![(millis(20), syn_ack(syn))]));
    let (_, syn) = run.syns()[0];
    let rst = Segment {
        source: syn.source,
        destination: SERVER,
        sequence: syn.sequence + 1,
        acknowledgement: SequenceNumber(0),
        flags: Flags::RST,
        window: 0,
        options: Options::default(),
    };
    assert_eq!(run.resets(), [(millis(20), rst)]);
}

/// It makes no difference to us whether the SYN was lost or its answer.
#[test]
fn any_attempts_may_be_lost_but_one() {
    for arriving in 0..8_usize {
        let run = check(on_syn(|number, syn| match arriving >> number & 1 {
            1 => vec![(millis(20), syn_ack(syn))],
            _ => vec![],
        }));
        let first = (0..3).find(|number| arriving >> number & 1 == 1);
        let Some(first) = first else {
            assert_eq!(run.verdict().state(), PortState::Filtered);
            continue;
        };
        let sent_at = [millis(0), millis(1000), millis(3000)][first];
        assert_eq!(run.verdict().state(), PortState::Open, "tries arriving: {arriving:03b}");
        // The second attempt is a retransmission of the first, and a client would have waited since
        // the first.
        let [response, round_trip] = match first {
            1 => [Some(millis(1020)), None],
            _ => [Some(millis(20)); 2],
        };
        assert_eq!(
            (run.verdict().response_time, run.verdict().round_trip()),
            (response, round_trip)
        );
        assert_eq!(run.verdict().attempts, first + 1);
        assert_eq!(run.verdict().local, Some(run.syns()[first].1.source));
        assert_eq!(run.end, sent_at + millis(20));
        assert_eq!(run.resets().len(), 1);
    }
}

#[test]
fn every_copy_of_a_syn_ack_gets_its_rst() {
    let run = check(on_syn(|_, syn| vec![(millis(20), syn_ack(syn)); 5]));
    assert_eq!(run.outcomes.len(), 1);
    assert_eq!(run.verdict().state(), PortState::Open);
    assert_eq!(run.resets().len(), 5);
    let (_, syn) = run.syns()[0];
    assert!(run.resets().iter().all(|(_, rst)| rst.sequence == syn.sequence + 1));
}

#[test]
fn an_answer_to_the_first_attempt_during_the_third_counts_from_the_first_syn() {
    let run = check(on_syn(|number, syn| match number {
        0 => vec![(millis(3500), syn_ack(syn))],
        _ => vec![],
    }));
    let verdict = run.verdict();
    assert_eq!(verdict.state(), PortState::Open);
    assert_eq!((verdict.response_time, verdict.round_trip()), (Some(millis(3500)), None));
    assert_eq!(verdict.attempts, 3);
    assert_eq!(verdict.local, Some(run.syns()[0].1.source));
    let (_, rst) = run.resets()[0];
    assert_eq!((rst.source, rst.sequence), (run.syns()[0].1.source, run.syns()[0].1.sequence + 1));
}

#[test]
fn a_late_refusal_of_the_first_attempt_is_still_a_refusal() {
    let run = check(on_syn(|number, syn| match number {
        0 => vec![(millis(6999), rst_ack(syn))],
        _ => vec![],
    }));
    assert_eq!(run.verdict().state(), PortState::Closed);
    assert_eq!(run.verdict().response_time, Some(millis(6999)));
}

#[test]
fn answers_that_overtake_each_other_each_get_their_rst() {
    let run = check_all(
        &[SERVER, NOBODY],
        on_syn(|number, syn| match (syn.destination, number) {
            (SERVER, 0) => vec![(millis(3500), syn_ack(syn))],
            (SERVER, 2) => vec![(millis(100), syn_ack(syn))],
            _ => vec![],
        }),
    );
    let verdict = run.verdict();
    assert_eq!((verdict.state(), verdict.attempts), (PortState::Open, 3));
    assert_eq!(verdict.round_trip(), Some(millis(100)));
    assert_eq!(resets_by_try(&run), [(millis(3100), 2), (millis(3500), 0)]);
    assert_eq!(run.outcome_of(1).as_ref().unwrap().state(), PortState::Filtered);
}

#[test]
fn an_answer_after_the_verdict_still_gets_its_rst() {
    let run = check_all(
        &[SERVER, NOBODY],
        on_syn(|number, syn| match (syn.destination, number) {
            (SERVER, 0) => vec![(millis(20), syn_ack(syn)), (millis(6500), syn_ack(syn))],
            _ => vec![],
        }),
    );
    assert_eq!(run.verdict().round_trip(), Some(millis(20)));
    assert_eq!(resets_by_try(&run), [(millis(20), 0), (millis(6500), 0)]);
}

#[test]
fn a_syn_ack_after_a_refusal_changes_nothing_but_gets_its_rst() {
    let run = check_all(
        &[SERVER, NOBODY],
        on_syn(|number, syn| match (syn.destination, number) {
            (SERVER, 0) => vec![(millis(20), rst_ack(syn)), (millis(30), syn_ack(syn))],
            _ => vec![],
        }),
    );
    assert_eq!(run.verdict().state(), PortState::Closed);
    assert_eq!(resets_by_try(&run), [(millis(30), 0)]);
}

/// The server repeats its SYN+ACK until an RST gets through.
#[test]
fn a_lost_rst_is_sent_again() {
    let mut lost = 0;
    let run = check_all(&[SERVER, NOBODY], move |_: Duration, segment: &Segment| {
        match (segment.destination, segment.flags) {
            (SERVER, Flags::SYN) => vec![(millis(20), syn_ack(segment))],
            (SERVER, Flags::RST) if lost < 2 => {
                lost += 1;
                vec![(secs(1), repeated_syn_ack(segment))]
            }
            _ => vec![],
        }
    });
    assert_eq!(resets_by_try(&run), [(millis(20), 0), (millis(1020), 0), (millis(2020), 0)]);
    assert_eq!(run.verdict().round_trip(), Some(millis(20)));
}

/// What has arrived by the last verdict is still handled.
#[test]
fn a_syn_ack_that_comes_with_the_last_verdict_still_gets_its_rst() {
    let mut repeated = false;
    let run = check(move |_: Duration, segment: &Segment| match segment.flags {
        Flags::SYN => vec![(millis(20), syn_ack(segment))],
        _ if !repeated => {
            repeated = true;
            vec![(Duration::ZERO, repeated_syn_ack(segment))]
        }
        _ => vec![],
    });
    assert_eq!(run.resets().len(), 2);
    assert_eq!(run.end, millis(20));
}

#[test]
fn a_server_that_answers_every_rst_cannot_hold_the_run() {
    let run = check(|_: Duration, segment: &Segment| match segment.flags {
        Flags::SYN => vec![(millis(20), syn_ack(segment))],
        _ => vec![(Duration::ZERO, repeated_syn_ack(segment))],
    });
    assert_eq!(run.verdict().state(), PortState::Open);
    assert!(run.resets().len() < 1000, "{} RSTs", run.resets().len());
}

/// A SYN+ACK like the one that `rst` answered.
fn repeated_syn_ack(rst: &Segment) -> Event {
    let syn = Segment { sequence: rst.sequence + u32::MAX, ..*rst };
    syn_ack(&syn)
}

/// Returns the RSTs, each with the number of the first attempt that left from its port.
fn resets_by_try(run: &Run) -> Vec<(Duration, usize)> {
    let syns = run.numbered_syns();
    let number = |rst: &Segment| {
        let ends = (rst.source, rst.destination);
        let reset = syns.iter().find(|(_, _, syn)| (syn.source, syn.destination) == ends);
        reset.expect("an RST to where a SYN went").1
    };
    run.resets().iter().map(|(at, rst)| (*at, number(rst))).collect()
}

/// The flags of every segment both ways.
fn on_packet(run: &Run) -> Vec<String> {
    use halfopen::event_loop::PacketEvent::{Received, Sent, SentByKernel};
    let flags = |(_, packet): &_| match packet {
        Sent(segment) | Received(Event::Segment { segment, .. }, _) => segment.flags.to_string(),
        Received(Event::Icmp(error, _), _) => error.to_string(),
        Received(Event::EchoReply { .. }, _) => "echo reply".to_owned(),
        Received(Event::WrongChecksum { .. }, _) => "wrong checksum".to_owned(),
        Received(Event::SegmentsLost(count), _) => format!("{count} lost"),
        Received(Event::Handshake { .. }, _) | SentByKernel { .. } => "the kernel's".to_owned(),
    };
    run.packets.iter().map(flags).collect()
}
