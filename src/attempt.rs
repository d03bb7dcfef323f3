//! Attempts at a target, as the checker asks for them and engines make them.

use std::net::SocketAddr;

/// A SYN to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// The id that the target was admitted with.
    pub id: u32,
    /// The target.
    pub remote: SocketAddr,
    /// The index of the attempt, counted from 0 for each target.
    pub index: usize,
    /// The source port.
    pub port: SourcePort,
    /// The time in the sequence number, beside the hash of the endpoints: RFC 6528's M, in ticks of
    /// 4 µs. All attempts at a target have the same.
    pub clock: u32,
}

/// The source port of an attempt. The sequence number depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourcePort {
    /// A port that no SYN to this target has left from, if there is one; the number says how many
    /// ports have been used. A fresh port avoids what is left of an old connection at the server or
    /// at a firewall.
    Fresh(usize),
    /// The port of an earlier attempt, whose SYN is retransmitted. Some equipment drops the first
    /// SYN of a connection and admits the second.
    Same(u16),
}

/// The number of SYNs that a target gets at most: 1 to 11.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts(u8);

impl Attempts {
    /// The most that there can be. Their timeouts add up to 34 minutes, and the checker tells times
    /// up to 53 minutes apart. It also keeps one bit of 16 per attempt.
    pub const MAX: Self = Self(11);

    /// Returns the number of SYNs with `retries` retransmissions after the first, or `None` if that
    /// is more than [`Attempts::MAX`].
    pub const fn with_retries(retries: u8) -> Option<Self> {
        if retries < Self::MAX.0 { Some(Self(retries + 1)) } else { None }
    }

    /// Returns the number.
    pub const fn count(self) -> usize {
        self.0 as usize
    }

    /// Returns the index of the last one.
    pub const fn last(self) -> usize {
        self.count() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_attempts_as_the_checker_can_keep() {
        let most = Attempts::with_retries(10);
        assert_eq!(most, Some(Attempts::MAX));
        assert_eq!(Attempts::with_retries(11), None);
        assert_eq!(Attempts::with_retries(u8::MAX), None);
    }
}
