//! Handshakes that this machine's kernel makes for us: what each way to end means.

use std::net::SocketAddr;
use std::time::Duration;

use halfopen::attempt::Attempt;
use halfopen::engine::simulated::{FIRST_PORT, Network};
use halfopen::event::{Event, HandshakeEnd};
use halfopen::local_error::LocalError;
use halfopen::verdict::{PortState, Reason};
use halfopen::wire::{IcmpError, Origin, Segment};

use crate::network::{
    Conditions, SERVER, SERVER_V6, check, check_all, check_under, millis, on_syn, schedule_of, secs,
};

const ROUTER: &str = "198.19.0.2";

#[test]
fn a_handshake_that_completes_is_open_and_one_that_is_refused_closed() {
    for (end, state, reason) in [
        (HandshakeEnd::Completed, PortState::Open, Reason::SynAck),
        (HandshakeEnd::Refused, PortState::Closed, Reason::RstAck),
    ] {
        for remote in [SERVER, SERVER_V6] {
            let run = check_all(
                &[remote],
                by_kernel(move |number, syn| vec![(millis(20), ended(number, syn, end))]),
            );
            let verdict = run.verdict();
            assert_eq!((verdict.state(), &verdict.reason), (state, &reason));
            assert_eq!((verdict.attempts, verdict.round_trip()), (1, Some(millis(20))));
            assert_eq!(run.end, millis(20));
            assert!(run.resets().is_empty(), "the kernel has sent the RST");
        }
    }
}

#[test]
fn a_final_icmp_error_decides_at_once() {
    for (code, state) in
        [(3, PortState::Closed), (9, PortState::Filtered), (13, PortState::Filtered)]
    {
        let error = icmp_error(3, code, ROUTER);
        let run =
            check(by_kernel(move |number, syn| vec![(millis(20), failed(number, syn, error))]));
        assert_eq!((run.verdict().state(), &run.verdict().reason), (state, &Reason::Icmp(error)));
        assert_eq!((run.syn_times(), run.end), (vec![0], millis(20)));
    }
}

#[test]
fn a_transient_icmp_error_does_not_end_the_other_attempts() {
    for (kind, code, state) in [
        (3, 0, PortState::Unreachable),
        (3, 1, PortState::Unreachable),
        (11, 0, PortState::Filtered),
    ] {
        let error = icmp_error(kind, code, ROUTER);
        let passing = check(by_kernel(move |number, syn| match number {
            2 => vec![(millis(20), ended(number, syn, HandshakeEnd::Completed))],
            _ => vec![(millis(20), failed(number, syn, error))],
        }));
        assert_eq!(passing.verdict().state(), PortState::Open);
        assert_eq!(passing.syn_times(), [0, 1000, 3000]);

        let lasting =
            check(by_kernel(move |number, syn| vec![(millis(20), failed(number, syn, error))]));
        assert_eq!(
            (lasting.verdict().state(), &lasting.verdict().reason),
            (state, &Reason::Icmp(error))
        );
        assert_eq!((lasting.verdict().attempts, lasting.end), (3, millis(3020)));
    }
}

/// What the kernel reports if a neighbour does not answer.
#[test]
fn host_unreachable_from_this_machine_is_a_dead_neighbour() {
    let error = IcmpError { origin: Origin::NoNeighbour, ..icmp_error(3, 1, "198.19.0.1") };
    let run = check(by_kernel(move |number, syn| vec![(millis(20), failed(number, syn, error))]));
    assert_eq!(run.verdict().reason, Reason::NoNeighbour(error));
}

/// With raw sockets the send fails with `EPERM` instead.
#[test]
fn a_port_that_this_machine_refuses_is_an_error_and_not_a_state() {
    for code in [3, 13] {
        let error =
            IcmpError { origin: Origin::LocalFirewall, ..icmp_error(3, code, "198.19.0.1") };
        let run =
            check(by_kernel(move |number, syn| vec![(millis(20), failed(number, syn, error))]));
        assert_eq!(run.outcome_of(0), &Err(LocalError::Firewall(SERVER).into()));
        assert_eq!(run.syn_times(), [0, 1000, 3000], "the firewall may change its mind");
    }
}

#[test]
fn a_target_on_this_machine_may_be_closed_by_icmp() {
    let own = SocketAddr::from(([198, 19, 0, 1], 25));
    let error = icmp_error(3, 3, "198.19.0.1");
    let run = check_all(
        &[own],
        by_kernel(move |number, syn| vec![(millis(20), failed(number, syn, error))]),
    );
    assert_eq!(run.verdict().state(), PortState::Closed);
}

#[test]
fn a_late_end_of_an_earlier_attempt_counts_from_its_own_syn() {
    let run = check(by_kernel(|number, syn| match number {
        0 => vec![(millis(1500), ended(number, syn, HandshakeEnd::Completed))],
        _ => Vec::new(),
    }));
    let verdict = run.verdict();
    assert_eq!((verdict.state(), verdict.attempts), (PortState::Open, 2));
    assert_eq!(verdict.round_trip(), Some(millis(1500)));
    assert_eq!(run.end, millis(1500));
}

/// It is unknown which of its SYNs was answered.
#[test]
fn a_syn_that_the_kernel_repeated_gives_no_round_trip_time() {
    for end in [HandshakeEnd::Completed, HandshakeEnd::Refused] {
        let run = check(by_kernel(move |number, syn| match number {
            0 => {
                let (local, remote) = (syn.source, syn.destination);
                let ended = Event::Handshake { local, remote, index: 0, retransmissions: 2, end };
                vec![(millis(1020), ended)]
            }
            _ => Vec::new(),
        }));
        let verdict = run.verdict();
        assert_eq!((verdict.response_time, verdict.round_trip()), (Some(millis(1020)), None));
        assert_eq!(verdict.attempts, 4, "two of ours, two of the kernel's");
    }
}

/// The kernel gives up at times, by itself or because of an answer that proves nothing.
#[test]
fn an_attempt_that_the_kernel_abandons_counts_as_not_sent() {
    for abandoned in [0, 1] {
        let run = check(by_kernel(move |number, syn| match number {
            2 => vec![(millis(20), ended(number, syn, HandshakeEnd::Completed))],
            _ if number >= abandoned => {
                vec![(millis(20), ended(number, syn, HandshakeEnd::Aborted))]
            }
            _ => Vec::new(),
        }));
        assert_eq!(run.verdict().state(), PortState::Open);
        assert_eq!(run.syn_times(), [0, 1000, 3000]);
    }
}

/// The kernel gave up a next hop that the first two had waited for. By the time that we look, the
/// next hop has answered.
#[test]
fn after_attempts_that_the_kernel_abandons_together_the_last_one_is_made_once_more() {
    let run = check(by_kernel(move |number, syn| {
        let aborted = |after| vec![(millis(after), ended(number, syn, HandshakeEnd::Aborted))];
        match number {
            0 => aborted(3050),
            1 => aborted(2050),
            2 => aborted(50),
            _ => vec![(millis(20), ended(2, syn, HandshakeEnd::Completed))],
        }
    }));
    assert_eq!(run.verdict().state(), PortState::Open);
    assert_eq!(run.syn_times(), [0, 1000, 3000, 3050]);
}

/// Not all SYNs could leave, so silence proves nothing.
#[test]
fn silence_beside_an_abandoned_attempt_is_no_verdict() {
    for abandoned in 0..3 {
        let run = check(by_kernel(move |number, syn| {
            if number == abandoned {
                vec![(millis(20), ended(number, syn, HandshakeEnd::Aborted))]
            } else {
                Vec::new()
            }
        }));
        assert_eq!(
            run.outcome_of(0),
            &Err(LocalError::Abandoned(SERVER).into()),
            "try {abandoned}"
        );
        assert_eq!(run.end, secs(7), "the others are waited for");
    }
}

#[test]
fn an_abandoned_last_attempt_does_not_cut_short_the_wait_for_those_before_it() {
    let run = check(by_kernel(|number, syn| match number {
        0 => vec![(millis(6900), ended(number, syn, HandshakeEnd::Refused))],
        2 => vec![(millis(20), ended(number, syn, HandshakeEnd::Aborted))],
        _ => Vec::new(),
    }));
    assert_eq!(run.verdict().state(), PortState::Closed);
}

#[test]
fn when_the_kernel_abandons_every_attempt_nothing_was_learnt() {
    let run = check(by_kernel(|number, syn| {
        vec![(millis(20), ended(number, syn, HandshakeEnd::Aborted))]
    }));
    assert_eq!(run.outcome_of(0), &Err(LocalError::Abandoned(SERVER).into()));
    assert_eq!((run.syn_times(), run.end), (vec![0, 1000, 3000], millis(3020)));
}

/// The answer to one attempt outweighs that the kernel gave no reason for the end of another.
#[test]
fn an_icmp_error_outweighs_an_abandoned_attempt() {
    let error = icmp_error(3, 1, ROUTER);
    let run = check(by_kernel(move |number, syn| match number {
        0 => vec![(millis(20), failed(number, syn, error))],
        _ => vec![(millis(20), ended(number, syn, HandshakeEnd::Aborted))],
    }));
    assert_eq!(run.verdict().reason, Reason::Icmp(error));
    assert_eq!(run.end, millis(3020), "nothing was left to wait for");
}

#[test]
fn ends_of_unknown_handshakes_decide_nothing() {
    type Change = fn(&mut SocketAddr);
    let strangers: [Change; 2] =
        [|remote| remote.set_port(26), |remote| remote.set_ip([198, 18, 0, 8].into())];
    for change in strangers {
        for end in [HandshakeEnd::Completed, HandshakeEnd::Refused, HandshakeEnd::Aborted] {
            let run = check(by_kernel(move |number, syn| {
                let mut elsewhere = *syn;
                change(&mut elsewhere.destination);
                vec![(millis(20), ended(number, &elsewhere, end))]
            }));
            assert_eq!(run.verdict().reason, Reason::NoAnswer { syns: 3, waited: secs(7) });
        }
    }
}

/// The attempt is in the schedule, but its SYN has not left yet.
#[test]
fn the_end_of_an_attempt_that_has_not_begun_decides_nothing() {
    let run = check(by_kernel(|number, syn| {
        let end = ended(1, syn, HandshakeEnd::Completed);
        if number == 0 { vec![(millis(20), end)] } else { Vec::new() }
    }));
    assert_eq!(run.verdict().state(), PortState::Filtered);
}

/// Both are handled together: the first decides, and the other counts as ours.
#[test]
fn ends_after_the_verdict_change_nothing() {
    for (first, second, state) in [
        (HandshakeEnd::Completed, HandshakeEnd::Refused, PortState::Open),
        (HandshakeEnd::Refused, HandshakeEnd::Completed, PortState::Closed),
        (HandshakeEnd::Completed, HandshakeEnd::Aborted, PortState::Open),
    ] {
        let run = check(by_kernel(move |number, syn| match number {
            0 => vec![(millis(1020), ended(number, syn, first))],
            _ => vec![(millis(20), ended(number, syn, second))],
        }));
        assert_eq!((run.verdict().state(), run.verdict().attempts), (state, 2));
        assert_eq!(run.outcomes.len(), 1);
        assert_eq!(run.released, [SERVER]);
        assert!(run.discarded.is_empty(), "{:?}", run.discarded);
    }
}

/// A handshake that ends at the deadline is still handled.
#[test]
fn an_end_in_the_last_moment_counts() {
    let conditions =
        Conditions { deadline: millis(500), ..Conditions::of(schedule_of(0, secs(1))) };
    let network =
        by_kernel(|number, syn| vec![(millis(500), ended(number, syn, HandshakeEnd::Completed))]);
    assert_eq!(check_under(conditions, &[SERVER], network).verdict().state(), PortState::Open);
}

/// An engine whose kernel makes the handshakes, with this rule for each attempt. Each attempt has a
/// port of its own.
fn by_kernel(
    rule: impl FnMut(usize, &Segment) -> Vec<(Duration, Event)>,
) -> ByKernel<impl FnMut(Duration, &Segment) -> Vec<(Duration, Event)>> {
    ByKernel(on_syn(rule))
}

struct ByKernel<N>(N);

impl<N: Network> Network for ByKernel<N> {
    fn carry(&mut self, now: Duration, segment: &Segment) -> Vec<(Duration, Event)> {
        self.0.carry(now, segment)
    }

    fn port(&self, attempt: &Attempt) -> u16 {
        FIRST_PORT + u16::try_from(attempt.index).expect("few attempts")
    }
}

fn ended(index: usize, syn: &Segment, end: HandshakeEnd) -> Event {
    Event::Handshake { local: syn.source, remote: syn.destination, index, retransmissions: 0, end }
}

fn failed(index: usize, syn: &Segment, error: IcmpError) -> Event {
    ended(index, syn, HandshakeEnd::Failed(error))
}

fn icmp_error(kind: u8, code: u8, offender: &str) -> IcmpError {
    let offender = offender.parse().expect("an address");
    IcmpError::new(kind, code, offender).expect("an error about a port")
}
