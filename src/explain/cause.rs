//! The cause that follows from the evidence.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::evidence::{Asked, Evidence, Purpose, Reply, ReplyKind, Situation};
use super::next::{DROPPED, is_silent, unanswered_acks};
use crate::surroundings::{AnswerDrop, NeighbourState};
use crate::verdict::{NoVerdict, Reason};
use crate::wire::{IcmpError, Meaning};

/// Why a port is not open, or not what it seems to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The application hangs or is overloaded: its accept queue is full.
    AcceptQueueFull,
    /// Something drops SYNs and ACKs to the port, most often a firewall. It may drop only ACKs that
    /// belong to no connection, before an application whose accept queue is full. Or it passes both
    /// on to a host that is silent.
    FirewallDrop,
    /// ACKs reach the host, and SYNs are not answered: the accept queue is full, or something
    /// drops SYNs to the port. Both look alike from outside.
    FilterOrQueue,
    /// Nothing answers for the host's address. A firewall may hide an application that hangs.
    HostSilent,
    /// The same, on a link of this machine, or the next hop is silent.
    NeighbourSilent,
    /// Something other than the host refuses the connection, or a firewall on the host.
    RefusedOnTheWay(Refuser),
    /// The host itself refuses.
    NobodyListens,
    /// Something in front of the host answers for it.
    AnsweredInFront,
    /// This machine is at fault: how, unless the verdict or the error says it.
    ThisMachine(Option<String>),
    /// The answer comes from this other endpoint.
    BrokenNat(SocketAddr),
    /// Answers arrive with wrong checksums, and no others.
    CorruptAnswers,
    /// The evidence does not tell.
    Unknown,
}

/// What refuses a connection, if not the application's host by an RST.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refuser {
    /// A firewall on the host itself, which sends an ICMP error.
    Host,
    /// The device with this address, on or behind the way to the host.
    Device(IpAddr),
    /// The device with this address. It does not refuse, but has no way to the host.
    NoWay(IpAddr),
    /// A device that does not show its address.
    Nearer,
}

impl Cause {
    /// Returns the name that JSON uses.
    pub fn name(&self) -> &'static str {
        match self {
            Self::AcceptQueueFull => "accept-queue-full",
            Self::FirewallDrop => "firewall-drop",
            Self::FilterOrQueue => "filter-or-queue",
            Self::HostSilent => "host-silent",
            Self::NeighbourSilent => "neighbour-silent",
            Self::RefusedOnTheWay(_) => "refused-on-the-way",
            Self::NobodyListens => "nobody-listens",
            Self::AnsweredInFront => "answered-in-front",
            Self::ThisMachine(_) => "this-machine",
            Self::BrokenNat(_) => "broken-nat",
            Self::CorruptAnswers => "corrupt-answers",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AcceptQueueFull => {
                f.write_str("the application hangs or is overloaded: its accept queue is full")
            }
            Self::FirewallDrop => f.write_str(
                "a firewall drops this port, or what is behind a firewall or load balancer is \
                 silent",
            ),
            Self::FilterOrQueue => f.write_str(
                "the accept queue is full (application hangs), or a filter drops SYNs or SYN+ACKs",
            ),
            Self::HostSilent => f.write_str(
                "nothing answers at this address: the host is down, cut off, or hidden by a firewall",
            ),
            Self::NeighbourSilent => f.write_str(
                "no answer on the local link: the host, or the router to it, is down or elsewhere",
            ),
            Self::RefusedOnTheWay(refuser) => refuser.fmt(f),
            Self::NobodyListens => f.write_str(
                "the host refuses: nobody listens on this port, or a firewall at the host rejects",
            ),
            Self::AnsweredInFront => {
                f.write_str("a proxy or firewall in front answers: the server itself may be down")
            }
            Self::ThisMachine(None) => f.write_str("this machine is at fault"),
            Self::ThisMachine(Some(how)) => write!(f, "this machine is at fault: {how}"),
            Self::BrokenNat(from) => {
                write!(f, "{from} answers instead: address translation or routing is broken")
            }
            Self::CorruptAnswers => f.write_str(
                "answers arrive with wrong checksums: a broken path or card, or checksum offload",
            ),
            Self::Unknown => f.write_str("the cause cannot be told from here"),
        }
    }
}

impl fmt::Display for Refuser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => {
                f.write_str("a firewall on the host refuses, or one that uses its address")
            }
            Self::Device(address) => {
                write!(f, "a router or firewall on the way refuses: {address}")
            }
            Self::NoWay(address) => {
                write!(f, "a router on the way has no way to the host: {address}")
            }
            Self::Nearer => f.write_str(
                "a router or firewall on the way refuses, which does not show its address",
            ),
        }
    }
}

/// Returns the cause that follows from `evidence`; `None` for an open port unless something in
/// front of the host answers for it.
pub fn cause(evidence: &Evidence) -> Option<Cause> {
    Some(match evidence.situation() {
        Situation::Silent => of_silence(evidence),
        Situation::Refused(hops) => of_refusal(evidence, hops),
        Situation::Open(hops, window) => return in_front(evidence, hops, window),
        Situation::Icmp(error) => of_icmp_error(evidence, error),
        // It may have come back since.
        Situation::Other(Reason::NoNeighbour(_)) if !evidence.is_host_heard() => {
            Cause::NeighbourSilent
        }
        Situation::Other(Reason::AnsweredBy(from)) => Cause::BrokenNat(from),
        Situation::Other(Reason::NoRoute(_)) => {
            let mark = evidence.surroundings.route_with_mark;
            Cause::ThisMachine(mark.map(|mark| {
                format!("only packets with firewall mark {mark} have a route (--mark)")
            }))
        }
        Situation::None => of_no_verdict(evidence),
        Situation::Other(_) => Cause::Unknown,
    })
}

/// The number of damaged answers, and no others, that prove more than an accident.
const DAMAGED: usize = 2;

fn of_no_verdict(evidence: &Evidence) -> Cause {
    match &evidence.outcome {
        Some(Err(NoVerdict::LocalError(_))) => {
            let full = evidence.surroundings.full_conntrack;
            Cause::ThisMachine(full.map(|(count, most)| {
                format!("its connection-tracking table is full ({count} of {most})")
            }))
        }
        _ => Cause::Unknown,
    }
}

fn of_silence(evidence: &Evidence) -> Cause {
    let surroundings = &evidence.surroundings;
    if let Some(drop) = &surroundings.drops_answers {
        return Cause::ThisMachine(Some(match drop {
            AnswerDrop::ReversePath(interface) => format!(
                "{interface} drops answers, because SYNs leave by another interface (rp_filter)"
            ),
            AnswerDrop::OwnAddress(interface) => format!(
                "it has the target's address too, so {interface} drops answers (accept_local is 0)"
            ),
        }));
    }
    if let Some(from) = evidence.answered_from {
        return Cause::BrokenNat(from);
    }
    if surroundings.full_accept_queue.is_some() {
        return Cause::AcceptQueueFull;
    }
    match evidence.refusal() {
        Some(error) => of_icmp_error(evidence, error),
        None => of_answers(evidence),
    }
}

/// Returns the cause that the answers to questions about a silent port show.
fn of_answers(evidence: &Evidence) -> Cause {
    let reset = evidence.replies(Purpose::Ack).find(|(_, reply)| reply.kind == ReplyKind::Reset);
    let heard = evidence.is_host_heard();
    let host = evidence.host_hops();
    let runs_out = host.is_some_and(|hops| evidence.runs_out_at(hops));
    let answered_later = evidence.replies(Purpose::Limited).any(|(_, reply)| reply.is_of_host());
    match reset.map(|(_, reply)| reply.hops()) {
        _ if answered_later => Cause::Unknown,
        _ if evidence.damaged >= DAMAGED && reset.is_none() => Cause::CorruptAnswers,
        _ if runs_out || evidence.damaged > 0 => Cause::Unknown,
        // Both come from as far away, and what is there passes nothing on.
        Some(hops) if hops.is_some() && hops == host => Cause::FilterOrQueue,
        None if host.is_some_and(|hops| evidence.is_just_reached_past(hops))
            && evidence.has_passed_ack()
            && unanswered_acks(evidence) >= DROPPED =>
        {
            Cause::FirewallDrop
        }
        None if heard || evidence.surroundings.may_have_dropped_answers => Cause::Unknown,
        None if evidence.surroundings.neighbour == Some(NeighbourState::Unanswered) => {
            Cause::NeighbourSilent
        }
        None if is_silent(evidence) => Cause::HostSilent,
        _ => Cause::Unknown,
    }
}

/// Returns the cause of an RST that has passed `hops` routers.
fn of_refusal(evidence: &Evidence, hops: Option<u8>) -> Cause {
    let Some(hops) = hops else { return of_unlocated_refusal(evidence) };
    let host = evidence.host_hops();
    let is_nearer = host.is_some_and(|host| host > hops);
    let delivered = evidence
        .replies(Purpose::Limited)
        .any(|(_, reply)| reply.kind == ReplyKind::Reset && reply.hops() == Some(hops));
    match evidence.passed_on(hops) {
        // It comes from where the SYN is delivered, and from where the host is.
        None if delivered && host == Some(hops) => Cause::NobodyListens,
        Some(device) if !delivered && is_nearer => Cause::RefusedOnTheWay(Refuser::Device(device)),
        None if !delivered && is_nearer => Cause::RefusedOnTheWay(Refuser::Nearer),
        _ => Cause::Unknown,
    }
}

/// Returns the cause of an RST whose hop limit is not known.
fn of_unlocated_refusal(evidence: &Evidence) -> Cause {
    let refused = |(asked, reply): (&Asked, &Reply)| {
        asked.question.hop_limit == Some(1) && reply.kind == ReplyKind::Reset
    };
    let by_neighbour = evidence.host_hops() == Some(0);
    if by_neighbour && evidence.replies(Purpose::Limited).any(refused) {
        Cause::NobodyListens
    } else {
        Cause::Unknown
    }
}

fn of_icmp_error(evidence: &Evidence, error: IcmpError) -> Cause {
    let heard = evidence.is_host_heard();
    match error.meaning {
        Meaning::HopsExceeded => Cause::Unknown,
        // A load balancer has the address, and passes the port on to a host that is not there.
        Meaning::Unreachable if error.offender == evidence.remote.ip() => Cause::Unknown,
        _ if error.offender == evidence.remote.ip() => Cause::RefusedOnTheWay(Refuser::Host),
        Meaning::Unreachable if error.is_host_unreachable() && !heard => {
            if evidence.is_unreachable() { Cause::HostSilent } else { Cause::Unknown }
        }
        Meaning::Unreachable => Cause::RefusedOnTheWay(Refuser::NoWay(error.offender)),
        Meaning::Closed | Meaning::Prohibited => {
            Cause::RefusedOnTheWay(Refuser::Device(error.offender))
        }
    }
}

/// Returns the cause if a SYN+ACK that has passed `hops` routers does not come from the host.
fn in_front(evidence: &Evidence, hops: Option<u8>, window: Option<u16>) -> Option<Cause> {
    let is_nearer = evidence.host_hops().zip(hops).is_some_and(|(host, hops)| host > hops);
    let ends_there = hops.is_some_and(|hops| {
        let mut replies = evidence.replies(Purpose::Limited);
        let same = |(_, reply): (&Asked, &Reply)| {
            reply.kind == ReplyKind::SynAck && reply.hops() == Some(hops)
        };
        evidence.passed_on(hops).is_some() || replies.any(same)
    });
    let in_front = window == Some(0) || is_nearer && ends_there;
    in_front.then_some(Cause::AnsweredInFront)
}
