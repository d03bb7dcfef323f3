//! The packets of a model.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use halfopen::event::Event;
use halfopen::wire::{Flags, Options, Segment, SequenceNumber};

use super::scenes::{Filter, Scene};
use crate::network::SYN_ACK;

/// A packet that is on its way to the host.
pub(super) struct Packet {
    pub(super) kind: Kind,
    pub(super) remote: SocketAddr,
    pub(super) hop_limit: u8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Segment(Segment),
    Echo(u32),
}

/// A packet that is on its way back, having left with `first`, and passing this many routers.
pub(super) struct Answer {
    pub(super) event: Event,
    pub(super) first: u8,
    pub(super) routers: u8,
}

pub(super) fn is_filtered(scene: &Scene, filter: &Filter, packet: &Packet) -> bool {
    let kind = match packet.kind {
        Kind::Echo(_) => return filter.whole_host,
        Kind::Segment(segment) => segment.flags,
    };
    if filter.is_stateful {
        return kind == Flags::ACK;
    }
    (filter.whole_host || packet.remote == scene.target)
        && (!filter.syns_only || kind == Flags::SYN)
}

pub(super) fn tcp_answer(packet: &Packet, flags: Flags, first: u8, routers: u8) -> Option<Answer> {
    let Kind::Segment(asked) = packet.kind else { return None };
    let segment = Segment {
        source: asked.destination,
        destination: asked.source,
        // RFC 9293 §3.5.2: the number of an RST is that of the ACK it answers.
        sequence: if flags == Flags::RST { asked.acknowledgement } else { SequenceNumber(0) },
        acknowledgement: if flags == Flags::RST { SequenceNumber(0) } else { asked.sequence + 1 },
        flags,
        window: if flags == SYN_ACK { 64_240 } else { 0 },
        options: Options::default(),
    };
    let event = Event::Segment { segment, hop_limit: 0, reset_by_kernel: false };
    Some(Answer { event, first, routers })
}

/// Returns the address of the router at this place.
pub(super) fn router(place: u8) -> IpAddr {
    Ipv4Addr::new(198, 18, 200, place).into()
}

impl Packet {
    pub(super) fn is_to(&self, remote: SocketAddr) -> bool {
        matches!(self.kind, Kind::Segment(_)) && self.remote == remote
    }

    pub(super) fn is_syn_to(&self, remote: SocketAddr) -> bool {
        self.is_to(remote) && matches!(self.kind, Kind::Segment(s) if s.flags == Flags::SYN)
    }
}
