//! Equipment that admits a client only after the client has sent the RST that a wrong SYN+ACK calls
//! for ("safe reset"), or a retransmission.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use halfopen::engine::simulated::Network;
use halfopen::event::Event;
use halfopen::verdict::{PortState, Reason};
use halfopen::wire::{Flags, Segment, SequenceNumber};

use crate::network::{
    SERVER, SERVER_V6, SYN_ACK, answer, arrive, challenge_ack, check, check_all, check_by, millis,
    on_syn, ports, schedule_of, secs, syn_ack,
};

/// The RST takes its number from the wrong acknowledgement (RFC 9293 §3.10.7.3), and the next SYN
/// leaves at once.
#[test]
fn a_client_that_resets_the_wrong_syn_ack_is_admitted() {
    for remote in [SERVER, SERVER_V6] {
        let run = check_all(&[remote], SafeReset::default());
        let verdict = run.verdict();
        assert_eq!((verdict.state(), verdict.attempts), (PortState::Open, 2));
        assert_eq!(verdict.round_trip(), Some(millis(20)));
        assert_eq!((run.syn_times(), run.end), (vec![0, 20], millis(40)));
        assert_eq!(ports(&run), [0, 1]);
        let (at, rst) = run.resets()[0];
        assert_eq!((at, rst.source, rst.destination), (millis(20), run.syns()[0].1.source, remote));
        assert_eq!((rst.flags, rst.sequence), (Flags::RST, COOKIE));
    }
}

#[test]
fn a_retransmission_is_admitted_if_first_syns_are_dropped() {
    for (retries, limit) in [(1, secs(10)), (2, secs(10)), (2, millis(200)), (4, secs(1))] {
        let mut seen = Vec::new();
        let schedule = schedule_of(retries, limit);
        let run = check_by(
            schedule,
            &[SERVER],
            on_syn(move |_, syn| {
                let again = seen.contains(syn);
                seen.push(*syn);
                if again { vec![(millis(1), syn_ack(syn))] } else { Vec::new() }
            }),
        );
        let verdict = run.verdict();
        assert_eq!((verdict.state(), verdict.attempts), (PortState::Open, 2));
        let waited = schedule.waits().next().unwrap() + millis(1);
        let response_time = verdict.response_time.unwrap();
        assert!(response_time.abs_diff(waited) <= Duration::from_micros(1), "{response_time:?}");
        assert_eq!(verdict.round_trip(), None, "it is unknown which SYN was answered");
    }
}

/// A firewall that still knows an old connection on the port, and drops the SYN.
#[test]
fn a_fresh_port_is_tried_if_the_first_is_dropped() {
    let run = check(on_syn(|number, syn| match number {
        0 | 1 => Vec::new(),
        _ => vec![(millis(20), syn_ack(syn))],
    }));
    assert_eq!((run.verdict().state(), run.verdict().attempts), (PortState::Open, 3));
    assert_eq!(run.verdict().round_trip(), Some(millis(20)));
    assert_eq!(ports(&run), [0, 0, 1]);
}

/// Equipment that authenticates each connection, not each source, admits the SYN that comes again
/// after the RST, as a client's does. The last SYN leaves at its time, because a server sends one
/// ACK per connection and half a second (`tcp_invalid_ratelimit`), and SYNs get lost.
#[test]
fn a_port_that_was_reset_is_tried_again() {
    for challenge in [wrong_syn_ack, challenge_ack] {
        let challenged = RefCell::new(BTreeSet::new());
        let run = check(on_syn(|_, syn| {
            let first = challenged.borrow_mut().insert(syn.source.port());
            vec![(millis(20), if first { challenge(syn) } else { syn_ack(syn) })]
        }));
        assert_eq!(run.verdict().state(), PortState::Open);
        assert_eq!((run.syn_times(), ports(&run)), (vec![0, 20, 3000], vec![0, 1, 1]));
    }
}

/// Anyone who knows our endpoints can send one. It brings the next attempt forward, as a bare ACK
/// does, and does not shorten the last wait.
#[test]
fn wrong_syn_acks_decide_nothing_before_the_last_wait_is_over() {
    let run = check(on_syn(|_, syn| vec![(millis(20), wrong_syn_ack(syn))]));
    assert_eq!(run.verdict().reason, Reason::WrongAcknowledgement);
    assert_eq!((run.verdict().state(), run.verdict().attempts), (PortState::Filtered, 3));
    assert_eq!((run.syn_times(), run.end), (vec![0, 20, 3000], secs(7)));
    assert_eq!((ports(&run), run.resets().len()), (vec![0, 1, 1], 3));

    for answered in 0..3 {
        let run = check(on_syn(|number, syn| {
            let mut arrivals = vec![(millis(20), wrong_syn_ack(syn))];
            if number == answered {
                arrivals.push((secs(4), syn_ack(syn)));
            }
            arrivals
        }));
        assert_eq!(run.verdict().state(), PortState::Open, "try {answered} answered");
    }
}

#[test]
fn a_wrong_syn_ack_does_the_same_as_a_bare_ack() {
    type Answer = fn(&Segment) -> Event;
    let both: [Answer; 2] = [challenge_ack, wrong_syn_ack];
    for count in [1, 10] {
        for disputed in 0..8_usize {
            let [ack, syn_ack] = both.map(|answer| {
                check(on_syn(move |number, syn| match disputed >> number & 1 {
                    1 => vec![(millis(20), answer(syn)); count],
                    _ => Vec::new(),
                }))
            });
            assert_eq!((ack.syn_times(), ack.end), (syn_ack.syn_times(), syn_ack.end));
            assert_eq!(ports(&ack), ports(&syn_ack));
            assert_eq!(ack.resets().len(), syn_ack.resets().len());
        }
    }
}

#[test]
fn one_wrong_syn_ack_hides_no_silence() {
    let run = check(on_syn(|number, syn| match number {
        0 => vec![(millis(20), wrong_syn_ack(syn))],
        _ => Vec::new(),
    }));
    assert_eq!(run.verdict().reason, Reason::NoAnswer { syns: 2, waited: secs(7) });
    assert_eq!(ports(&run), [0, 1, 1]);
}

/// The server, or equipment on the way, takes at least one SYN for what it is.
#[test]
fn old_acks_beside_a_wrong_syn_ack_are_not_stale() {
    for disputed in 1..8_usize {
        let run = check(on_syn(|number, syn| {
            let ack = (millis(20), challenge_ack(syn));
            let wrong = (millis(30), wrong_syn_ack(syn));
            if disputed >> number & 1 == 1 { vec![ack, wrong] } else { vec![ack] }
        }));
        let verdict = run.verdict();
        assert_eq!(verdict.reason, Reason::WrongAcknowledgement, "{disputed:03b}");
        assert_eq!(verdict.state(), PortState::Filtered);
    }
}

/// Acknowledges a number that equipment chose.
const COOKIE: SequenceNumber = SequenceNumber(0x5afe_5e71);

fn wrong_syn_ack(syn: &Segment) -> Event {
    arrive(Segment { acknowledgement: COOKIE, ..answer(syn, SYN_ACK) })
}

/// Admits clients that have sent the right RST.
#[derive(Default)]
struct SafeReset {
    admits: bool,
}

impl Network for SafeReset {
    fn carry(&mut self, _now: Duration, segment: &Segment) -> Vec<(Duration, Event)> {
        match segment.flags {
            Flags::SYN if self.admits => vec![(millis(20), syn_ack(segment))],
            Flags::SYN => vec![(millis(20), wrong_syn_ack(segment))],
            _ => {
                self.admits |= segment.sequence == COOKIE;
                Vec::new()
            }
        }
    }
}

/// In a pool, such a number may be that of the SYN to another target, made some ticks earlier.
#[test]
fn a_syn_ack_that_acknowledges_less_than_the_syn_is_a_wrong_one_in_a_pool_too() {
    let remotes: Vec<_> = (0..100).map(|port| SocketAddr::new(SERVER.ip(), 1000 + port)).collect();
    for less in [1, 2, 100, 60_000] {
        let run = check_all(
            &remotes,
            on_syn(|_, syn| {
                let acknowledgement = SequenceNumber((syn.sequence + 1).0.wrapping_sub(less));
                let segment = Segment { acknowledgement, ..answer(syn, SYN_ACK) };
                vec![(millis(20), arrive(segment))]
            }),
        );
        for target in 0..remotes.len() {
            let verdict = run.outcome_of(target).as_ref().expect("a verdict");
            assert_eq!(verdict.reason, Reason::WrongAcknowledgement, "{less} less");
        }
    }
}
