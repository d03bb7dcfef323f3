//! What an engine tells the checker.

use std::net::{IpAddr, SocketAddr};

use crate::wire::{IcmpError, Quote, Segment};

/// Something that an engine has received or noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A TCP segment arrived.
    Segment {
        /// The segment.
        segment: Segment,
        /// The time to live or hop limit that it arrived with.
        hop_limit: u8,
        /// True if this machine's kernel has answered it with the RST that it calls for.
        reset_by_kernel: bool,
    },
    /// A segment arrived whose checksum is wrong, or which is too long to be verified.
    WrongChecksum {
        /// The endpoint that it seems to come from.
        source: SocketAddr,
        /// The endpoint that it was sent to, one of ours.
        destination: SocketAddr,
    },
    /// An ICMP error arrived, which quotes a segment.
    Icmp(IcmpError, Quote),
    /// An ICMP echo reply arrived to a request of ours. It says nothing about a port.
    EchoReply {
        /// The host that sent it, which may be another than the request was sent to.
        remote: IpAddr,
        /// The number of the request.
        number: u32,
        /// The time to live or hop limit that it arrived with.
        hop_limit: u8,
    },
    /// A handshake that this machine's kernel makes for us has ended.
    Handshake {
        /// The endpoint that its SYN left from.
        local: SocketAddr,
        /// The target.
        remote: SocketAddr,
        /// The index of the attempt.
        index: usize,
        /// How often the kernel retransmitted the SYN.
        retransmissions: usize,
        /// How it ended.
        end: HandshakeEnd,
    },
    /// The receive queue had no room for this many segments: silence until now proves nothing.
    SegmentsLost(u32),
}

/// How a handshake ended that this machine's kernel made. The kernel has verified that the answer
/// belongs to it, and has sent the RST if one was called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeEnd {
    /// A SYN+ACK completed it.
    Completed,
    /// An RST+ACK refused it.
    Refused,
    /// An ICMP error that quotes its SYN ended it.
    Failed(IcmpError),
    /// The kernel ended it without a reason that we know.
    Aborted,
    /// We gave it up after its timeout, because another attempt needed its socket: a later answer
    /// would not have been noticed.
    GivenUp,
}
