//! ICMP errors and the SYN that they quote (RFC 792, RFC 1812 §5.2.7, RFC 4443 §3).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::SequenceNumber;

/// An ICMP error that says something about a TCP port, and who sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IcmpError {
    /// What it means for the port.
    pub meaning: Meaning,
    /// The name that the protocol gives it.
    pub name: &'static str,
    /// The host that sent it.
    pub offender: IpAddr,
    /// The index of the interface whose link `offender` is on if that is a link-local address, else
    /// 0.
    pub scope: u32,
    /// The time to live or hop limit that it arrived with; `None` if that is not known.
    pub hop_limit: Option<u8>,
    /// Whose host that is.
    pub origin: Origin,
}

/// Who sent an ICMP error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The target, or a router on the way to it.
    Network,
    /// This machine, which is not the target: its firewall rejected the segment.
    LocalFirewall,
    /// This machine: the next hop did not answer ARP or neighbour discovery.
    NoNeighbour,
}

impl IcmpError {
    /// Returns the ICMP error with this type (`kind`) and `code`, from the network. The family of
    /// `offender` tells the version of ICMP.
    ///
    /// Returns `None` for messages that prove nothing about a port: packet too big, source quench,
    /// redirects, reassembly timeouts, and anything that is not an error.
    pub fn new(kind: u8, code: u8, offender: IpAddr) -> Option<Self> {
        use Meaning::{Closed, HopsExceeded, Prohibited, Unreachable};
        let (meaning, name) = match (offender, kind, code) {
            (IpAddr::V4(_), 3, 0) => (Unreachable, "net unreachable"),
            (IpAddr::V4(_), 3, 1) => (Unreachable, "host unreachable"),
            (IpAddr::V4(_), 3, 2) => (Unreachable, "protocol unreachable"),
            (IpAddr::V4(_), 3, 3) | (IpAddr::V6(_), 1, 4) => (Closed, "port unreachable"),
            (IpAddr::V4(_), 3, 5) => (Unreachable, "source route failed"),
            (IpAddr::V4(_), 3, 6) => (Unreachable, "net unknown"),
            (IpAddr::V4(_), 3, 7) => (Unreachable, "host unknown"),
            (IpAddr::V4(_), 3, 8) => (Unreachable, "source host isolated"),
            (IpAddr::V4(_), 3, 9) => (Prohibited, "net prohibited"),
            (IpAddr::V4(_), 3, 10) => (Prohibited, "host prohibited"),
            (IpAddr::V4(_), 3, 11) => (Unreachable, "net unreachable for type of service"),
            (IpAddr::V4(_), 3, 12) => (Unreachable, "host unreachable for type of service"),
            (IpAddr::V4(_), 3, 13) | (IpAddr::V6(_), 1, 1) => {
                (Prohibited, "administratively prohibited")
            }
            (IpAddr::V4(_), 3, 14) => (Unreachable, "host precedence violation"),
            (IpAddr::V4(_), 3, 15) => (Unreachable, "precedence cutoff in effect"),
            (IpAddr::V4(_), 11, 0) => (HopsExceeded, "TTL exceeded"),
            (IpAddr::V6(_), 1, 0) => (Unreachable, "no route"),
            (IpAddr::V6(_), 1, 2) => (Unreachable, "beyond scope of source address"),
            (IpAddr::V6(_), 1, 3) => (Unreachable, "address unreachable"),
            (IpAddr::V6(_), 1, 5) => (Prohibited, "source address failed policy"),
            (IpAddr::V6(_), 1, 6) => (Prohibited, "reject route"),
            (IpAddr::V6(_), 1, 7) => (Unreachable, "error in source routing header"),
            (IpAddr::V6(_), 3, 0) => (HopsExceeded, "hop limit exceeded"),
            (IpAddr::V6(_), 4, 1) => (Unreachable, "unrecognized next header"),
            _ => return None,
        };
        let (scope, hop_limit, origin) = (0, None, Origin::Network);
        Some(Self { meaning, name, offender, scope, hop_limit, origin })
    }

    /// Returns true for what a host sends when nobody answers ARP or neighbour discovery (RFC 1812
    /// §5.3.3, RFC 4861 §7.2.2).
    pub fn is_host_unreachable(&self) -> bool {
        matches!(self.name, "host unreachable" | "address unreachable")
    }
}

impl fmt::Display for IcmpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ICMP {} from {}", self.name, self.offender)
    }
}

/// What an ICMP error means for a TCP port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The host is there, but not the port. Final.
    Closed,
    /// A firewall forbids it. Final.
    Prohibited,
    /// There is no way to the host. Routes may be changing.
    Unreachable,
    /// The segment went in circles, or its time to live was too small. Routes may be changing.
    HopsExceeded,
}

/// The start of the segment that an ICMP error quotes, which proves whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    /// The endpoint that the segment was sent to.
    pub remote: SocketAddr,
    /// The port that it was sent from.
    pub local_port: u16,
    /// SEG.SEQ.
    pub sequence: SequenceNumber,
}

impl Quote {
    /// Reads the quoted TCP header, sent to the address of `remote`, whose port is replaced by the
    /// one in the header. Returns `None` for less than the 8 bytes that RFC 792 promises.
    pub fn parse(mut remote: SocketAddr, bytes: &[u8]) -> Option<Self> {
        let &[s0, s1, d0, d1, q0, q1, q2, q3, ..] = bytes else {
            return None;
        };
        remote.set_port(u16::from_be_bytes([d0, d1]));
        Some(Self {
            remote,
            local_port: u16::from_be_bytes([s0, s1]),
            sequence: SequenceNumber(u32::from_be_bytes([q0, q1, q2, q3])),
        })
    }
}
