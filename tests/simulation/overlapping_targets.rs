//! Blocks, addresses and names that stand for the same endpoints, at random.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};

use halfopen::target::{Hosts, Target};
use halfopen::target_set::TargetSet;
use halfopen::verdict::{Outcome, Reason, Verdict};
use proptest::prelude::*;

proptest! {
    /// Blocks, addresses and names that overlap, resolved at any moment and answered at any other.
    #[test]
    fn every_line_gets_each_of_its_endpoints_once(
        lines in proptest::collection::vec(line(), 1..12),
        moments in proptest::collection::vec(0..40_usize, 12),
        patience in 0..6_usize,
    ) {
        let targets: Vec<Target> = lines.iter().map(Line::target).collect();
        let mut target_set = target_set(targets);
        let mut heard: Vec<BTreeMap<SocketAddr, usize>> = vec![BTreeMap::new(); lines.len()];
        let (mut given, mut pending) = (HashSet::new(), VecDeque::new());
        for step in 0.. {
            for (id, line) in (0..).zip(&lines) {
                if let (Line::Name(lasts, _), true) = (line, moments[id as usize] == step) {
                    let address = |last: &u8| SocketAddr::from(([198, 18, 0, *last], 0));
                    let addresses: Vec<_> = lasts.iter().map(address).collect();
                    for (endpoint, outcome) in target_set.resolve(id, &addresses) {
                        prop_assert_eq!(outcome, outcome_of(endpoint));
                        *heard[id as usize].entry(endpoint).or_default() += 1;
                    }
                }
            }
            let next = target_set.poll_endpoint();
            let idle = next.is_none();
            if let Some((id, endpoint)) = next {
                prop_assert!(given.insert(endpoint), "{} comes twice", endpoint);
                prop_assert!(lines[id as usize].endpoints().contains(&endpoint));
                pending.push_back(endpoint);
            }
            if (idle || pending.len() > patience) && let Some(endpoint) = pending.pop_front() {
                for id in target_set.end(endpoint, &outcome_of(endpoint)) {
                    *heard[id as usize].entry(endpoint).or_default() += 1;
                }
            }
            if idle && pending.is_empty() && step > 40 {
                break;
            }
        }
        for (line, heard) in lines.iter().zip(heard) {
            let wanted: BTreeMap<_, _> = line.endpoints().into_iter().map(|e| (e, 1)).collect();
            prop_assert_eq!(heard, wanted, "{:?}", line);
        }
    }

    /// Names that stop waiting for endpoints at any moment, as they do when another of their
    /// addresses is open.
    #[test]
    fn an_endpoint_is_never_pending_twice_and_every_line_that_waits_for_it_gets_it(
        lines in proptest::collection::vec(line(), 1..8),
        moments in proptest::collection::vec(0..30_usize, 8),
        leaves in proptest::collection::vec((0..30_usize, 0..8_u32, 0..16_u8, 1..5_u16), 0..60),
        patience in 0..6_usize,
    ) {
        let mut target_set = target_set(lines.iter().map(Line::target).collect());
        let mut pending = VecDeque::new();
        let mut waits: BTreeSet<(u32, SocketAddr)> = (0..)
            .zip(&lines)
            .filter(|(_, line)| matches!(line, Line::Block(..)))
            .flat_map(|(id, line)| line.endpoints().into_iter().map(move |e| (id, e)))
            .collect();
        for step in 0.. {
            for (id, line) in (0..).zip(&lines) {
                if let (Line::Name(lasts, _), true) = (line, moments[id as usize] == step) {
                    let address = |last: &u8| SocketAddr::from(([198, 18, 0, *last], 0));
                    waits.extend(line.endpoints().into_iter().map(|endpoint| (id, endpoint)));
                    let addresses: Vec<_> = lasts.iter().map(address).collect();
                    for (endpoint, _) in target_set.resolve(id, &addresses) {
                        prop_assert!(waits.remove(&(id, endpoint)));
                    }
                }
            }
            for (_, id, last, port) in leaves.iter().filter(|(at, ..)| *at == step) {
                let endpoint = SocketAddr::from(([198, 18, 0, *last], *port));
                let name = matches!(lines.get(*id as usize), Some(Line::Name(..)));
                if name && waits.remove(&(*id, endpoint)) && target_set.leave(*id, endpoint) {
                    prop_assert!(waits.iter().all(|(_, wanted)| *wanted != endpoint));
                    prop_assert!(pending.contains(&endpoint), "{} is not pending", endpoint);
                    pending.retain(|other| *other != endpoint);
                }
            }
            let next = target_set.poll_endpoint();
            let idle = next.is_none();
            if let Some((id, endpoint)) = next {
                prop_assert!(!pending.contains(&endpoint), "{} is pending twice", endpoint);
                prop_assert!(waits.contains(&(id, endpoint)), "nobody waits for {}", endpoint);
                pending.push_back(endpoint);
            }
            if (idle || pending.len() > patience) && let Some(endpoint) = pending.pop_front() {
                for id in target_set.end(endpoint, &outcome_of(endpoint)) {
                    prop_assert!(waits.remove(&(id, endpoint)), "{} ends for a line that does not wait for it", endpoint);
                }
            }
            if idle && pending.is_empty() && step > 30 {
                break;
            }
        }
        prop_assert!(waits.is_empty(), "forgotten: {:?}", waits);
    }
}

#[derive(Debug, Clone)]
enum Line {
    /// A block of 198.18.0.0/28 by its first address and prefix, and ports.
    Block(u8, u8, Vec<u16>),
    /// A name for addresses there.
    Name(BTreeSet<u8>, Vec<u16>),
}

fn line() -> impl Strategy<Value = Line> {
    let ports = || proptest::collection::vec(1..5_u16, 1..4);
    prop_oneof![
        (0..16_u8, 28..=32_u8, ports())
            .prop_map(|(last, prefix, ports)| Line::Block(last, prefix, ports)),
        (proptest::collection::btree_set(0..16_u8, 1..4), ports())
            .prop_map(|(lasts, ports)| Line::Name(lasts, ports)),
    ]
}

impl Line {
    fn target(&self) -> Target {
        let joined = |ports: &[u16]| {
            let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
            ports.join(",")
        };
        match self {
            Self::Block(last, prefix, ports) => {
                let first = last & (u8::MAX << (32 - prefix));
                format!("198.18.0.{first}/{prefix}:{}", joined(ports)).parse().unwrap()
            }
            Self::Name(_, ports) => format!("name:{}", joined(ports)).parse().unwrap(),
        }
    }

    fn endpoints(&self) -> BTreeSet<SocketAddr> {
        let (addresses, ports): (Vec<IpAddr>, _) = match self {
            Self::Block(_, _, ports) => {
                let Hosts::Block(block) = self.target().hosts else { unreachable!() };
                (block.iter().collect(), ports)
            }
            Self::Name(lasts, ports) => {
                (lasts.iter().map(|last| [198, 18, 0, *last].into()).collect(), ports)
            }
        };
        let on = |address| ports.iter().map(move |port| SocketAddr::new(address, *port));
        addresses.into_iter().flat_map(on).collect()
    }
}

/// An outcome that identifies the endpoint.
#[expect(clippy::unnecessary_wraps, reason = "the shape of an outcome")]
fn outcome_of(endpoint: SocketAddr) -> Outcome {
    Ok(Verdict { local: Some(endpoint), ..Verdict::without_probe(Reason::SynAck) })
}

fn target_set(targets: Vec<Target>) -> TargetSet {
    TargetSet::new(targets).expect("no interface is named")
}
