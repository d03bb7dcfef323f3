//! One attempt at a target, as the checker wants it and engines carry it out.

use std::net::SocketAddr;

/// A SYN to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Where to.
    pub remote: SocketAddr,
    /// Counted from 0 for each target.
    pub index: usize,
    /// Where from.
    pub port: SourcePort,
    /// RFC 6528's M, in ticks of 4 µs: the time that its sequence number is made of, beside the
    /// endpoints. All attempts at a target have the same.
    pub clock: u32,
}

/// The source port of an attempt. It also decides the sequence number, which is made of a hash of
/// both endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourcePort {
    /// A port that this target has not been asked from, if there is one; so many it has been asked
    /// from. Gets past what is left of an old connection, at the server or at a firewall.
    Fresh(usize),
    /// The port of an earlier attempt: the SYN is a retransmission. Gets past equipment that drops
    /// the first SYN of a connection and admits the second.
    Same(u16),
}
