//! A network that loses, duplicates, delays and forges segments at random: what must hold in every
//! run.
//!
//! It forges segments without knowing our sequence numbers, like an attacker who does not see our
//! SYNs.

mod decisive;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use halfopen::engine::simulated::Network;
use halfopen::event::Event;
use halfopen::event_loop::PacketEvent;
use halfopen::verdict::PortState;
use halfopen::wire::{Flags, IcmpError, Quote, Segment, SequenceNumber};
use proptest::collection::vec;
use proptest::prelude::*;

use self::decisive::first_decisive;
use crate::network::{
    AttemptCounts, Run, SYN_ACK, answer, arrive, challenge_ack, check_all, icmp, millis, quote,
    rst_ack, secs, syn_ack,
};

const TRIES: usize = 3;
/// The last attempt is made once more if it fails together with another that was left.
const MOST_SYNS: usize = TRIES + 1;

proptest! {
    #[test]
    fn every_target_ends_in_exactly_one_outcome(network in networks()) {
        let run = network.run();
        let ended: HashSet<_> = run.outcomes.iter().map(|(target, _)| *target).collect();
        prop_assert_eq!(run.outcomes.len(), network.hosts.len());
        prop_assert_eq!(ended.len(), network.hosts.len());
        prop_assert!(run.end <= secs(7), "ended at {:?}", run.end);
    }

    /// The first final answer to one of our SYNs decides, never a forged one.
    #[test]
    fn only_true_answers_decide(network in networks()) {
        let run = network.run();
        for (index, outcome) in &run.outcomes {
            let verdict = outcome.as_ref().expect("this machine has no faults");
            if let Some(decisive) = first_decisive(&run, remote(*index)) {
                prop_assert_eq!(verdict.state(), decisive.state);
                prop_assert_eq!(verdict.round_trip(), decisive.round_trip);
            } else {
                let undecided = [PortState::Filtered, PortState::Unreachable, PortState::Stale];
                prop_assert!(undecided.contains(&verdict.state()), "{}", verdict.state());
                prop_assert_eq!(verdict.round_trip(), None);
            }
        }
    }

    /// There is an RST for each SYN+ACK that acknowledges one of our SYNs, before and after the
    /// verdict, and for each other SYN+ACK or bare ACK to one of our ports that counted as an
    /// answer, and for nothing else.
    #[test]
    fn every_answer_that_needs_an_rst_gets_one(network in networks()) {
        let run = network.run();
        let mut wanted: Vec<_> = received(&run)
            .filter(|(_, segment, taken)| calls_for_reset(&run, segment, *taken))
            .map(|(at, segment, _)| (at, segment.destination, segment.source, segment.acknowledgement.0))
            .collect();
        let mut sent: Vec<_> = run
            .resets()
            .iter()
            .map(|(at, rst)| (*at, rst.source, rst.destination, rst.sequence.0))
            .collect();
        wanted.sort_unstable();
        sent.sort_unstable();
        prop_assert_eq!(sent, wanted);
    }

    #[test]
    fn no_target_is_sent_more_than_its_attempts(network in networks()) {
        let run = network.run();
        for index in 0..network.hosts.len() {
            let syns = run.syns().into_iter().filter(|(_, syn)| syn.destination == remote(index));
            let syns: Vec<_> = syns.map(|(_, syn)| (syn.source.port(), syn.sequence.0)).collect();
            prop_assert!((1..=MOST_SYNS).contains(&syns.len()), "{} SYNs", syns.len());
            for (port, sequence) in &syns {
                let again = syns.iter().filter(|(other, _)| other == port);
                let most = if syns.len() > TRIES { 3 } else { 2 };
                prop_assert!(again.clone().count() <= most, "one retransmission: {:?}", syns);
                prop_assert!(again.clone().all(|(_, other)| other == sequence), "{:?}", syns);
            }
        }
    }

    #[test]
    fn time_never_goes_backwards(network in networks()) {
        prop_assert!(network.run().packets.is_sorted_by_key(|(at, _)| *at));
    }
}

/// What each target's host, or equipment on the path, answers to each attempt.
#[derive(Debug, Clone)]
struct Hostile {
    hosts: Vec<[Vec<Reaction>; MOST_SYNS]>,
    attempts: AttemptCounts,
    /// What follows one of our RSTs.
    after_reset: Vec<Reaction>,
}

/// Something that arrives some milliseconds after a SYN.
#[derive(Debug, Clone)]
struct Reaction {
    after: u64,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    /// An answer to this SYN.
    SynAck,
    RstAck,
    PortUnreachable,
    Prohibited,
    HostUnreachable,
    ChallengeAck,
    /// A segment by an attacker who has not seen the SYN.
    Forged {
        flags: u8,
        acknowledgement: u32,
        sequence: u32,
    },
    /// An ICMP error likewise.
    ForgedIcmp {
        kind: u8,
        code: u8,
        sequence: u32,
    },
    /// An answer to a port that nothing has left from.
    OtherPort {
        flags: u8,
        ports_up: u16,
    },
}

fn networks() -> impl Strategy<Value = Hostile> {
    let hosts = vec([reactions(4), reactions(4), reactions(4), reactions(4)], 1..12);
    // An answer to an RST may draw another RST, so these are slow enough that this ends.
    let after_reset = reactions(2).prop_map(|mut reactions| {
        for reaction in &mut reactions {
            reaction.after += 200;
        }
        reactions
    });
    (hosts, after_reset).prop_map(|(hosts, after_reset)| Hostile {
        hosts,
        attempts: AttemptCounts::default(),
        after_reset,
    })
}

fn reactions(most: usize) -> impl Strategy<Value = Vec<Reaction>> {
    let what = prop_oneof![
        Just(What::SynAck),
        Just(What::RstAck),
        Just(What::PortUnreachable),
        Just(What::Prohibited),
        Just(What::HostUnreachable),
        Just(What::ChallengeAck),
        any::<(u8, u32, u32)>().prop_map(|(flags, acknowledgement, sequence)| What::Forged {
            flags,
            acknowledgement,
            sequence
        }),
        Just(What::Forged { flags: 0x12, acknowledgement: 0, sequence: 0 }),
        Just(What::Forged { flags: 0x14, acknowledgement: 0, sequence: 0 }),
        (0..16_u8, any::<u32>()).prop_map(|(code, sequence)| What::ForgedIcmp {
            kind: 3,
            code,
            sequence
        }),
        (any::<u8>(), 4..100_u16).prop_map(|(flags, ports_up)| What::OtherPort { flags, ports_up }),
    ];
    // Short delays, long ones, and the exact moments at which something else is due.
    let after = prop_oneof![0..50_u64, 0..9000_u64, Just(1000), Just(2000), Just(4000)];
    vec((after, what).prop_map(|(after, what)| Reaction { after, what }), 0..most)
}

impl Hostile {
    fn run(&self) -> Run {
        let remotes: Vec<_> = (0..self.hosts.len()).map(remote).collect();
        check_all(&remotes, self.clone())
    }
}

impl Network for Hostile {
    fn carry(&mut self, _now: Duration, segment: &Segment) -> Vec<(Duration, Event)> {
        let reactions = match segment.flags {
            Flags::SYN => &self.hosts[index(segment.destination)][self.attempts.number(segment)],
            _ => &self.after_reset,
        };
        let arrivals = reactions
            .iter()
            .map(|reaction| (millis(reaction.after), reaction.what.arrival(segment)));
        arrivals.filter_map(|(after, arrival)| Some((after, arrival?))).collect()
    }
}

impl What {
    /// What arrives because of `sent`, a SYN or an RST.
    fn arrival(&self, sent: &Segment) -> Option<Event> {
        let router = [198, 19, 0, 2].into();
        Some(match *self {
            Self::SynAck => syn_ack(sent),
            Self::RstAck => rst_ack(sent),
            Self::PortUnreachable => icmp((3, 3), router, sent),
            Self::Prohibited => icmp((3, 13), router, sent),
            Self::HostUnreachable => icmp((3, 1), router, sent),
            Self::ChallengeAck => challenge_ack(sent),
            Self::Forged { flags, acknowledgement, sequence } => arrive(Segment {
                acknowledgement: SequenceNumber(acknowledgement),
                sequence: SequenceNumber(sequence),
                ..answer(sent, Flags(flags))
            }),
            Self::ForgedIcmp { kind, code, sequence } => Event::Icmp(
                IcmpError::new(kind, code, router)?,
                Quote { sequence: SequenceNumber(sequence), ..quote(sent) },
            ),
            Self::OtherPort { flags, ports_up } => {
                let mut segment = answer(sent, Flags(flags));
                segment.destination.set_port(sent.source.port() + ports_up);
                arrive(segment)
            }
        })
    }
}

fn remote(index: usize) -> SocketAddr {
    ([198, 18, 0, u8::try_from(index).unwrap()], 25).into()
}

fn index(remote: SocketAddr) -> usize {
    let SocketAddr::V4(v4) = remote else { unreachable!("all of IPv4") };
    v4.ip().octets()[3].into()
}

/// The segments that came, and whether they were taken for answers.
fn received(run: &Run) -> impl Iterator<Item = (Duration, Segment, bool)> {
    run.packets.iter().filter_map(|(at, packet)| match packet {
        PacketEvent::Received(Event::Segment { segment, .. }, handled) => {
            Some((*at, *segment, handled.is_ok()))
        }
        _ => None,
    })
}

/// RFC 9293 §3.5.2, for one of our ports.
fn calls_for_reset(run: &Run, segment: &Segment, taken: bool) -> bool {
    let syn = run
        .syns()
        .into_iter()
        .find(|(_, syn)| syn.destination == segment.source && syn.source == segment.destination);
    let Some((_, syn)) = syn else { return false };
    match segment.flags.0 & 0x17 {
        0x10 => taken,
        flags => flags == SYN_ACK.0 && (taken || segment.acknowledgement == syn.sequence + 1),
    }
}
