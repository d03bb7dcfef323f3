//! Many targets at once, each in a network of its own: none affects the others.

use std::collections::HashSet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use halfopen::engine::simulated::Network;
use halfopen::event::Event;
use halfopen::local_error::{LocalError, NoRoute, SendError};
use halfopen::verdict::{Outcome, PortState};
use halfopen::wire::{Flags, Segment};

use crate::network::{
    AttemptCounts, Run, answer, arrive, challenge_ack, check_all, icmp, millis, on_syn, rst_ack,
    secs, syn_ack,
};

const TARGETS: usize = 5000;

/// Targets of every kind, in turn.
const KINDS: usize = 16;

#[test]
fn each_of_many_targets_ends_as_it_does_alone() {
    let remotes: Vec<_> = (0..TARGETS).map(remote).collect();
    let together = check_all(&remotes, Mixed::default());
    assert_eq!(together.outcomes.len(), TARGETS);
    let outcomes = by_target(&together);
    for (index, outcome) in outcomes.iter().enumerate() {
        let alone = check_all(&[remotes[index]], Mixed::default());
        assert_eq!(outcome, alone.outcome_of(0), "{}", remotes[index]);
    }
}

#[test]
fn each_of_many_targets_is_what_it_is() {
    let remotes: Vec<_> = (0..TARGETS).map(remote).collect();
    let run = check_all(&remotes, Mixed::default());
    for (index, outcome) in by_target(&run).iter().enumerate() {
        let state = outcome.as_ref().ok().map(halfopen::verdict::Verdict::state);
        assert_eq!(state, state_of_kind(index % KINDS), "{}", remotes[index]);
    }
}

#[test]
fn a_crowd_takes_no_longer_than_its_slowest() {
    let remotes: Vec<_> = (0..TARGETS).map(remote).collect();
    let run = check_all(&remotes, Mixed::default());
    assert_eq!(run.end, secs(7));
    assert!(run.packets.is_sorted_by_key(|(at, _)| *at), "time goes backwards");
}

#[test]
fn each_target_of_a_crowd_has_sequence_numbers_of_its_own() {
    let remotes: Vec<_> = (0..TARGETS).map(remote).collect();
    let syns = check_all(&remotes, Mixed::default()).syns();
    let connections: HashSet<_> =
        syns.iter().map(|(_, syn)| (syn.destination, syn.source.port())).collect();
    let distinct: HashSet<_> = syns.iter().map(|(_, syn)| syn.sequence.0).collect();
    // Among ten thousand random numbers of 32 bits, two are equal in one run of a hundred.
    let (distinct, all) = (distinct.len(), connections.len());
    assert!((all - 2..=all).contains(&distinct), "{distinct} of {all}");
}

#[test]
fn the_ports_of_one_host_are_distinguished() {
    let remotes: Vec<_> = (1..=2000_u16).map(|port| ([198, 18, 0, 7], port).into()).collect();
    let router = Ipv4Addr::new(198, 19, 0, 2).into();
    let run = check_all(
        &remotes,
        on_syn(|_, syn| match syn.destination.port() % 4 {
            0 => vec![(millis(5), syn_ack(syn))],
            1 => vec![(millis(5), rst_ack(syn))],
            2 => vec![(millis(5), icmp((3, 13), router, syn))],
            _ => vec![(millis(5), challenge_ack(syn))],
        }),
    );
    for (remote, outcome) in remotes.iter().zip(by_target(&run)) {
        let state = match remote.port() % 4 {
            0 => PortState::Open,
            1 => PortState::Closed,
            2 => PortState::Filtered,
            _ => PortState::Stale,
        };
        assert_eq!(outcome.unwrap().state(), state, "{remote}");
    }
}

/// Targets of both families, alternating.
fn remote(index: usize) -> SocketAddr {
    let [.., high, low] = u32::try_from(index).unwrap().to_be_bytes();
    if (index / KINDS).is_multiple_of(2) {
        (Ipv4Addr::new(198, 18, high, low), 25).into()
    } else {
        let last = u16::from_be_bytes([high, low]);
        (Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, last), 25).into()
    }
}

fn kind(remote: SocketAddr) -> usize {
    let low = match remote {
        SocketAddr::V4(v4) => v4.ip().octets()[3],
        SocketAddr::V6(v6) => v6.ip().octets()[15],
    };
    usize::from(low) % KINDS
}

/// A network whose hosts behave by their addresses alone.
#[derive(Default)]
struct Mixed {
    attempts: AttemptCounts,
}

impl Network for Mixed {
    fn carry(&mut self, _now: Duration, segment: &Segment) -> Vec<(Duration, Event)> {
        if segment.flags != Flags::SYN {
            return vec![];
        }
        let delay = millis(1 + u64::from(segment.destination.ip().is_ipv6()));
        let router = match segment.source {
            SocketAddr::V4(_) => Ipv4Addr::new(198, 19, 0, 2).into(),
            SocketAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2).into(),
        };
        let error = |v4, v6| icmp(if segment.source.is_ipv4() { v4 } else { v6 }, router, segment);
        match (kind(segment.destination), self.attempts.number(segment)) {
            (0 | 1, _) | (2, 1) | (3, 2) => vec![(delay, syn_ack(segment))],
            (4, 0) => vec![(secs(5), syn_ack(segment))],
            (5, _) => vec![(delay, rst_ack(segment))],
            (6, 2) => vec![(millis(3999), rst_ack(segment))],
            (7, _) => vec![(delay, error((3, 3), (1, 4)))],
            (8, _) => vec![(delay, error((3, 13), (1, 1)))],
            (9, _) => vec![(delay, error((3, 1), (1, 3)))],
            (10, _) | (11, 0) => vec![(delay, challenge_ack(segment))],
            (11, _) => vec![(delay, syn_ack(segment)); 3],
            (12, _) => vec![(delay, arrive(answer(segment, Flags::RST)))],
            (13, 0) => vec![(delay, error((11, 0), (3, 0))), (delay * 2, syn_ack(segment))],
            _ => vec![], // 14 and 15 have no route and a fault, the rest is silent
        }
    }

    fn route(&mut self, remote: SocketAddr, _number: usize) -> Result<(), SendError> {
        match kind(remote) {
            14 => Err(SendError::NoRoute(NoRoute::Host)),
            15 => Err(SendError::LocalError(LocalError::Firewall(remote))),
            _ => Ok(()),
        }
    }
}

fn state_of_kind(kind: usize) -> Option<PortState> {
    match kind {
        0..=4 | 11 | 13 => Some(PortState::Open),
        5..=7 => Some(PortState::Closed),
        8 | 12 => Some(PortState::Filtered),
        9 | 14 => Some(PortState::Unreachable),
        10 => Some(PortState::Stale),
        _ => None,
    }
}

/// Returns the outcomes in the order of the targets, one for each.
fn by_target(run: &Run) -> Vec<Outcome> {
    let mut outcomes = vec![None; run.outcomes.len()];
    for (target, outcome) in &run.outcomes {
        assert!(outcomes[*target].is_none(), "target {target} ends twice");
        outcomes[*target] = Some(outcome.clone());
    }
    outcomes.into_iter().map(|outcome| outcome.expect("an outcome for each")).collect()
}
