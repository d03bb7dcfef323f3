//! SYNs that cannot leave, because this machine has no route, or because of a local error.

use halfopen::local_error::{LocalError, NoRoute, SendError};
use halfopen::verdict::{PortState, Reason};

use crate::network::{
    Routed, Run, SERVER, challenge_ack, check, millis, on_syn, rst_ack, secs, syn_ack,
};

const NO_ROUTE: SendError = SendError::NoRoute(NoRoute::Network);
const FIREWALL: LocalError = LocalError::Firewall(SERVER);

#[test]
fn no_route_on_every_attempt_is_unreachable_when_the_last_has_failed() {
    for cause in [NoRoute::Network, NoRoute::Host, NoRoute::Prohibited, NoRoute::Blackhole] {
        let run = check_routed(|_| Err(SendError::NoRoute(cause)));
        let verdict = run.verdict();
        assert_eq!(verdict.state(), PortState::Unreachable);
        assert_eq!(verdict.reason, Reason::NoRoute(cause));
        assert_eq!((verdict.attempts, verdict.round_trip(), verdict.local), (0, None, None));
        assert_eq!(run.end, secs(3));
        assert!(run.packets.is_empty());
    }
}

#[test]
fn a_route_that_comes_back_is_used() {
    for refused in [1, 2] {
        let run = check_routed(|number| if number < refused { Err(NO_ROUTE) } else { Ok(()) });
        let verdict = run.verdict();
        assert_eq!(verdict.state(), PortState::Open);
        assert_eq!(verdict.attempts, 1);
        assert_eq!(run.syn_times(), [[1000], [3000]][refused - 1]);
    }
}

#[test]
fn a_fault_on_every_attempt_is_no_verdict_on_the_target() {
    let run = check_routed(|_| Err(SendError::LocalError(FIREWALL)));
    assert_eq!(run.outcome_of(0), &Err(FIREWALL.into()));
    assert_eq!(run.end, secs(3));
    assert!(run.packets.is_empty());
}

#[test]
fn a_fault_that_passes_leaves_no_trace() {
    let run = check_routed(|number| match number {
        0 => Err(SendError::LocalError(FIREWALL)),
        _ => Ok(()),
    });
    assert_eq!(run.verdict().state(), PortState::Open);
    assert_eq!(run.syn_times(), [1000]);
}

#[test]
fn a_fault_on_the_last_attempt_waits_for_the_syns_still_out() {
    let late_answer = |at| {
        check(Routed {
            route: |number| if number == 2 { Err(SendError::LocalError(FIREWALL)) } else { Ok(()) },
            network: on_syn(move |number, syn| match number {
                0 => vec![(at, rst_ack(syn))],
                _ => vec![],
            }),
        })
    };
    let answered = late_answer(millis(6900));
    assert_eq!(answered.verdict().state(), PortState::Closed);
    assert_eq!(answered.verdict().attempts, 2);

    // Not all SYNs could leave, so silence proves nothing.
    let silent = late_answer(secs(8));
    assert_eq!(silent.outcome_of(0), &Err(FIREWALL.into()));
    assert_eq!(silent.end, secs(7));
}

/// Nothing was sent, so nothing was learnt, in whatever order the errors came. But the answer of
/// the routing table is one about the target.
#[test]
fn no_route_and_faults_together_are_never_silence() {
    for faulty in 0..7_usize {
        let run = check_routed(|number| match faulty >> number & 1 {
            1 => Err(SendError::LocalError(FIREWALL)),
            _ => Err(NO_ROUTE),
        });
        assert_eq!(run.verdict().reason, Reason::NoRoute(NoRoute::Network), "{faulty:03b}");
    }
}

#[test]
fn an_old_connection_does_not_wait_for_an_attempt_that_cannot_leave() {
    let run = check(Routed {
        route: |number| if number == 1 { Err(NO_ROUTE) } else { Ok(()) },
        network: on_syn(|number, syn| match number {
            0 => vec![(millis(20), challenge_ack(syn))],
            _ => vec![(millis(20), syn_ack(syn))],
        }),
    });
    assert_eq!(run.verdict().state(), PortState::Open);
    assert_eq!(run.syn_times(), [0, 3000]); // the last SYN leaves at its time
}

/// A run with this routing to a server that answers.
fn check_routed(route: impl FnMut(usize) -> Result<(), SendError>) -> Run {
    check(Routed { route, network: on_syn(|_, syn| vec![(millis(20), syn_ack(syn))]) })
}
