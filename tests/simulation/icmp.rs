//! ICMP errors: final ones, ones that may be a routing flap, and ones about other segments.

use std::net::IpAddr;

use halfopen::event::Event;
use halfopen::local_error::LocalError;
use halfopen::probe::DiscardReason;
use halfopen::verdict::{PortState, Reason};
use halfopen::wire::{IcmpError, Origin, Quote, Segment};

use crate::network::{
    Run, SERVER, SERVER_V6, SYN_ACK, answer, check, check_all, icmp, millis, on_syn, quote,
    rst_ack, secs, syn_ack,
};

const ROUTER: &str = "198.18.0.1";
const ROUTER_V6: &str = "2001:db8::99";

/// What the contract calls final: port unreachable and administratively prohibited, of either
/// family.
#[test]
fn final_errors_decide_at_once() {
    let v4 =
        [((3, 3), PortState::Closed), ((3, 9), FILTERED), ((3, 10), FILTERED), ((3, 13), FILTERED)];
    let v6 =
        [((1, 4), PortState::Closed), ((1, 1), FILTERED), ((1, 5), FILTERED), ((1, 6), FILTERED)];
    for (remote, router, errors) in [(SERVER, ROUTER, v4), (SERVER_V6, ROUTER_V6, v6)] {
        for (error, state) in errors {
            let router: IpAddr = router.parse().unwrap();
            let run =
                check_all(&[remote], on_syn(|_, syn| vec![(millis(20), icmp(error, router, syn))]));
            let verdict = run.verdict();
            assert_eq!(verdict.state(), state, "{error:?} from {router}");
            assert_eq!((verdict.round_trip(), verdict.attempts), (Some(millis(20)), 1));
            assert_eq!(run.end, millis(20));
            assert!(run.resets().is_empty());
            let Reason::Icmp(error) = verdict.reason else { panic!("{:?}", verdict.reason) };
            assert_eq!(error.offender, router);
        }
    }
}

/// The verdict on each attempt's failure: all attempts go out, and the last one to fail decides at
/// once.
#[test]
fn transient_errors_decide_when_the_last_attempt_has_failed() {
    for (remote, router, error, state) in SOFT {
        let router: IpAddr = router.parse().unwrap();
        let run =
            check_all(&[remote], on_syn(|_, syn| vec![(millis(20), icmp(error, router, syn))]));
        assert_eq!(run.verdict().state(), state, "{error:?} from {router}");
        assert_eq!(run.verdict().attempts, 3);
        assert_eq!(run.syn_times(), [0, 1000, 3000]);
        assert_eq!(run.end, millis(3020));
    }
}

#[test]
fn a_routing_flap_does_not_decide() {
    for (remote, router, error, _) in SOFT {
        let router: IpAddr = router.parse().unwrap();
        for failing in [1, 2] {
            let run = check_all(
                &[remote],
                on_syn(|number, syn| match number {
                    _ if number < failing => vec![(millis(20), icmp(error, router, syn))],
                    _ => vec![(millis(30), syn_ack(syn))],
                }),
            );
            assert_eq!(run.verdict().state(), PortState::Open);
            // The second attempt is a retransmission of the first.
            let round_trip = Some(millis(30)).filter(|_| failing == 2);
            assert_eq!(run.verdict().round_trip(), round_trip);
            assert_eq!(run.verdict().attempts, failing + 1);
        }
    }
}

/// The two SYNs may have taken different routes.
#[test]
fn a_syn_ack_to_an_attempt_that_also_drew_an_error_is_open() {
    let run = check(on_syn(|number, syn| match number {
        0 => vec![
            (millis(20), icmp((3, 1), ROUTER.parse().unwrap(), syn)),
            (millis(40), syn_ack(syn)),
        ],
        _ => vec![],
    }));
    assert_eq!(run.verdict().state(), PortState::Open);
    assert_eq!(run.syn_times(), [0]);
}

#[test]
fn an_error_about_an_earlier_attempt_does_not_end_the_last_one() {
    let run = check(on_syn(|number, syn| match number {
        1 => vec![(millis(2500), icmp((3, 0), ROUTER.parse().unwrap(), syn))], // at 3.5 s
        2 => vec![(millis(1500), rst_ack(syn))],                               // at 4.5 s
        _ => vec![],
    }));
    assert_eq!(run.verdict().state(), PortState::Closed);
    assert_eq!(run.end, millis(4500));
}

#[test]
fn an_error_about_the_last_attempt_decides_when_the_others_have_been_waited_for() {
    let run = check(on_syn(|number, syn| match number {
        2 => vec![(millis(20), icmp((11, 0), ROUTER.parse().unwrap(), syn))],
        _ => vec![],
    }));
    assert_eq!(run.verdict().state(), PortState::Filtered);
    assert_eq!(run.verdict().reason.to_string(), "ICMP TTL exceeded from 198.18.0.1");
    assert_eq!(run.end, secs(7));
}

/// Two next hops, one slow and one dead, chosen by the source port.
#[test]
fn a_late_answer_counts_after_the_last_attempt_has_failed() {
    let run = check(on_syn(|number, syn| match number {
        0 => vec![(millis(3500), syn_ack(syn))],
        1 => vec![],
        _ => vec![(millis(20), icmp((3, 1), ROUTER.parse().unwrap(), syn))],
    }));
    assert_eq!(run.verdict().state(), PortState::Open);
    assert_eq!(run.end, millis(3500));
}

#[test]
fn an_error_is_remembered_through_silence() {
    let run = check(on_syn(|number, syn| match number {
        0 => vec![(millis(20), icmp((3, 1), ROUTER.parse().unwrap(), syn))],
        _ => vec![],
    }));
    assert_eq!(run.verdict().state(), PortState::Unreachable);
    assert_eq!(run.end, secs(7));
}

#[test]
fn a_quote_of_another_segment_proves_nothing() {
    let forgeries: [fn(Quote) -> Quote; 5] = [
        |quote| Quote { sequence: quote.sequence + 1, ..quote },
        |quote| Quote { sequence: quote.sequence + 0x4000_0000, ..quote },
        |quote| Quote { local_port: quote.local_port + 1, ..quote },
        |quote| Quote { remote: (quote.remote.ip(), 26).into(), ..quote },
        |quote| Quote { remote: ([198, 18, 0, 8], 25).into(), ..quote },
    ];
    for forge in forgeries {
        for error in [(3, 3), (3, 13), (3, 1), (11, 0)] {
            let error = IcmpError::new(error.0, error.1, ROUTER.parse().unwrap()).unwrap();
            let run = check(on_syn(|number, syn| match number {
                0 => vec![(millis(20), Event::Icmp(error, forge(quote(syn))))],
                _ => vec![],
            }));
            run.ignored_once(DiscardReason::IcmpNotOurs);
            assert_eq!(run.verdict().reason.to_string(), "no answer to 3 SYNs in 7.0 s");
        }
    }
}

/// Its sequence number is one more than the SYN's.
#[test]
fn an_error_about_our_rst_proves_nothing() {
    let run = check_all(
        &[SERVER, crate::network::NOBODY],
        |_: std::time::Duration, segment: &Segment| match segment.flags {
            _ if segment.destination != SERVER => vec![],
            halfopen::wire::Flags::SYN => vec![(millis(20), syn_ack(segment))],
            _ => vec![(millis(20), icmp((3, 13), ROUTER.parse().unwrap(), segment))],
        },
    );
    assert_eq!(run.verdict().state(), PortState::Open);
    run.ignored_once(DiscardReason::IcmpNotOurs);
}

/// The kernel sends an error to itself when the next hop does not answer ARP or neighbour
/// discovery.
#[test]
fn our_own_host_unreachable_means_no_neighbour() {
    for (remote, error, said) in [
        (SERVER, (3, 1), "no answer to ARP"),
        (SERVER_V6, (1, 3), "no answer to neighbour discovery"),
    ] {
        let run = check_all(
            &[remote],
            on_syn(|_, syn| vec![(secs(3), icmp_from_here(error, Origin::NoNeighbour, syn))]),
        );
        let verdict = run.verdict();
        assert_eq!(verdict.state(), PortState::Unreachable);
        assert_eq!(verdict.reason.to_string(), said);
        assert_eq!((verdict.attempts, run.end), (3, secs(6)));
    }
}

#[test]
fn whatever_our_own_firewall_says_is_no_verdict() {
    for error in [(3, 0), (3, 1), (3, 3), (3, 13), (11, 0)] {
        let run = check(on_syn(|_, syn| {
            vec![(millis(20), icmp_from_here(error, Origin::LocalFirewall, syn))]
        }));
        assert_eq!(run.outcome_of(0), &Err(LocalError::Firewall(SERVER).into()), "{error:?}");
        assert_eq!(run.syn_times(), [0, 1000, 3000]);
    }
}

/// An ICMP error of this machine.
fn icmp_from_here(error: (u8, u8), origin: Origin, syn: &Segment) -> Event {
    let Event::Icmp(error, quote) = icmp(error, syn.source.ip(), syn) else { unreachable!() };
    Event::Icmp(IcmpError { origin, ..error }, quote)
}

#[test]
fn host_unreachable_from_the_target_itself_is_no_missing_neighbour() {
    let run = check(on_syn(|_, syn| vec![(millis(20), icmp((3, 1), SERVER.ip(), syn))]));
    assert_eq!(run.verdict().reason.to_string(), "ICMP host unreachable from 198.18.0.7");
}

#[test]
fn an_error_after_the_verdict_changes_nothing() {
    let run = run_with_nobody(|syn| {
        vec![(millis(20), syn_ack(syn)), (millis(30), icmp((3, 3), SERVER.ip(), syn))]
    });
    assert_eq!(run.verdict().state(), PortState::Open);
    assert_eq!(run.outcomes.len(), 2);
}

#[test]
fn a_syn_ack_after_a_final_error_still_gets_its_rst() {
    let run = run_with_nobody(|syn| {
        vec![(millis(20), icmp((3, 13), ROUTER.parse().unwrap(), syn)), (millis(30), syn_ack(syn))]
    });
    assert_eq!(run.verdict().state(), PortState::Filtered);
    let (_, syn) = run.syns()[0];
    let (at, rst) = run.resets()[0];
    assert_eq!((at, rst.sequence), (millis(30), answer(&syn, SYN_ACK).acknowledgement));
}

const FILTERED: PortState = PortState::Filtered;
const UNREACHABLE: PortState = PortState::Unreachable;

/// What the contract says may be a routing flap.
const SOFT: [(std::net::SocketAddr, &str, (u8, u8), PortState); 7] = [
    (SERVER, ROUTER, (3, 0), UNREACHABLE),
    (SERVER, ROUTER, (3, 1), UNREACHABLE),
    (SERVER, ROUTER, (3, 2), UNREACHABLE),
    (SERVER, ROUTER, (11, 0), FILTERED),
    (SERVER_V6, ROUTER_V6, (1, 0), UNREACHABLE),
    (SERVER_V6, ROUTER_V6, (1, 3), UNREACHABLE),
    (SERVER_V6, ROUTER_V6, (3, 0), FILTERED),
];

/// A run that continues after the verdict on the server, because another target is silent.
fn run_with_nobody(mut rule: impl FnMut(&Segment) -> Vec<(std::time::Duration, Event)>) -> Run {
    check_all(
        &[SERVER, crate::network::NOBODY],
        on_syn(|_, syn| if syn.destination == SERVER { rule(syn) } else { vec![] }),
    )
}
