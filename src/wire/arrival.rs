//! Whatever comes back.

use std::net::SocketAddr;

use super::{IcmpError, Quote, Segment};

/// What came off the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// A TCP segment.
    Segment {
        /// What it says.
        segment: Segment,
        /// The time to live or hop limit that it had left.
        hop_limit: u8,
        /// True when this machine's kernel has answered it with the RST that it calls for.
        reset_by_kernel: bool,
    },
    /// A segment whose checksum is wrong, or that is too long to be verified.
    WrongChecksum {
        /// Where it seems to come from.
        source: SocketAddr,
        /// One of our ports.
        destination: SocketAddr,
    },
    /// An ICMP error and what it quotes.
    Icmp(IcmpError, Quote),
    /// The end of a handshake that this machine's kernel made for us.
    Handshake {
        /// Where its SYN left from.
        local: SocketAddr,
        /// The target.
        remote: SocketAddr,
        /// The number of the attempt.
        attempt: usize,
        /// How often the kernel sent the SYN again.
        retransmissions: usize,
        /// How it ended.
        end: Handshake,
    },
    /// That many answers found our own receive queue full: silence until now proves nothing.
    Lost(u32),
}

/// How a handshake ended that this machine's kernel made for us. What belongs to it the kernel
/// knows; an RST has left where one was called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    /// By SYN+ACK.
    Completed,
    /// By RST+ACK.
    Refused,
    /// By an ICMP error quoting its SYN.
    Failed(IcmpError),
    /// The kernel does not say why.
    Abandoned,
    /// By us: its wait was over, and another attempt needed its socket. An answer would not have
    /// been heard since.
    GivenUp,
}
