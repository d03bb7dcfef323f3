//! Whatever comes back.

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
    /// An ICMP error and what it quotes.
    Icmp(IcmpError, Quote),
    /// That many answers found our own receive queue full: silence until now proves nothing.
    Lost(u32),
}
