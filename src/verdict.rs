//! The result for a target: the state of its port, and the evidence.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::family::WrongFamily;
use crate::local_error::{LocalError, NoRoute};
use crate::wire::{IcmpError, Meaning};

/// How a target ends: a verdict, or why there is none.
pub type Outcome = Result<Verdict, NoVerdict>;

/// The result of probing one target.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The evidence.
    pub reason: Reason,
    /// The time from the SYN to the decisive answer; from the first SYN if it was retransmitted, as
    /// a client waits. `None` if silence or this machine decided.
    pub response_time: Option<Duration>,
    /// How often the SYN that was answered had been retransmitted.
    pub retransmissions: usize,
    /// How many SYNs were sent before the verdict.
    pub attempts: usize,
    /// The source of the SYN that was answered, or of the last one.
    pub local: Option<SocketAddr>,
}

impl Verdict {
    /// Creates a verdict that was reached before a SYN could leave.
    pub fn without_probe(reason: Reason) -> Self {
        Self { reason, response_time: None, retransmissions: 0, attempts: 0, local: None }
    }

    /// Returns the response time, unless the SYN was retransmitted: then it is unknown which of
    /// them was answered (Karn's algorithm, RFC 6298 §3).
    pub fn round_trip(&self) -> Option<Duration> {
        self.response_time.filter(|_| self.retransmissions == 0)
    }

    /// Returns the state that the evidence shows.
    pub fn state(&self) -> PortState {
        self.reason.state()
    }
}

/// Why there is no verdict on a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoVerdict {
    /// This machine could not probe it.
    #[error(transparent)]
    LocalError(#[from] LocalError),
    /// The run ended after the first SYN and before the verdict.
    #[error("{}", .0.before_the_verdict())]
    Unfinished(EndOfRun),
    /// The run ended before the first SYN.
    #[error("not probed: {} before its first SYN", .0.event())]
    NotProbed(EndOfRun),
    /// The endpoint was already being probed.
    #[error("not probed: it is being probed already")]
    AlreadyPending,
    /// None of a name's addresses can be used.
    #[error("{cause}; the name has no other address: {}", list(addresses))]
    NoAddressFits {
        /// All of them.
        addresses: Vec<IpAddr>,
        /// Why the first of them cannot be used.
        cause: Unusable,
    },
    /// A name has more addresses than are probed.
    #[error("the name has {addresses} addresses, of which {probed} are probed")]
    TooManyAddresses {
        /// How many there are.
        addresses: usize,
        /// How many are probed.
        probed: usize,
    },
}

/// Why a run ended before all of its targets had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndOfRun {
    /// The operator, or a supervisor, asked for it.
    Interrupted,
    /// The deadline passed.
    OutOfTime,
}

/// Why an address of a name cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub enum Unusable {
    /// The operator asked for the other family.
    Family(#[from] WrongFamily),
    /// This machine cannot send to its family.
    LocalError(#[from] LocalError),
}

impl NoVerdict {
    /// Returns the reason for a target whose first SYN never left, given that of the others.
    #[must_use]
    pub fn before_the_first_syn(&self) -> Self {
        match self {
            Self::Unfinished(end) => Self::NotProbed(*end),
            other => other.clone(),
        }
    }
}

impl EndOfRun {
    fn event(self) -> &'static str {
        match self {
            Self::Interrupted => "interrupted",
            Self::OutOfTime => "the deadline came",
        }
    }

    fn before_the_verdict(self) -> &'static str {
        match self {
            Self::Interrupted => "interrupted before the verdict",
            Self::OutOfTime => "the deadline came before the last SYN was sent and waited for",
        }
    }
}

/// Returns the first few addresses, and how many more there are.
fn list(addresses: &[IpAddr]) -> String {
    const NAMED: usize = 4;
    let named: Vec<_> = addresses.iter().take(NAMED).map(IpAddr::to_string).collect();
    match addresses.len().saturating_sub(NAMED) {
        0 => named.join(" "),
        more => format!("{} and {more} more", named.join(" ")),
    }
}

/// The state of a TCP port as a half-open check sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortState {
    /// It answered SYN with SYN+ACK.
    Open,
    /// Its host refuses connections to it.
    Closed,
    /// Something on the path drops or rejects the SYN, or the host is too busy to answer it.
    Filtered,
    /// There is no path to its host.
    Unreachable,
    /// The server still holds an old connection on every port tried.
    Stale,
}

impl PortState {
    /// All states.
    pub const ALL: [Self; 5] =
        [Self::Open, Self::Closed, Self::Filtered, Self::Unreachable, Self::Stale];

    /// Returns the name of the state.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Filtered => "filtered",
            Self::Unreachable => "unreachable",
            Self::Stale => "stale",
        }
    }
}

impl fmt::Display for PortState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The evidence behind a verdict.
#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    /// A SYN+ACK that acknowledges the SYN.
    SynAck,
    /// An RST+ACK that acknowledges the SYN.
    RstAck,
    /// Only ACKs without SYN: the server takes the SYN for a segment of an old connection (RFC 9293
    /// §3.5.1).
    BareAck,
    /// Only SYN+ACKs that acknowledge something else, perhaps with bare ACKs.
    WrongAcknowledgement,
    /// Only a SYN+ACK that acknowledges the SYN but comes from this other endpoint.
    AnsweredBy(SocketAddr),
    /// Nothing listens: the endpoint is a source port of this check itself.
    OwnPort,
    /// An ICMP error that quotes the SYN.
    Icmp(IcmpError),
    /// This machine's own ICMP error: no answer to ARP or neighbour discovery for the next hop.
    NoNeighbour(IcmpError),
    /// This machine has no route.
    NoRoute(NoRoute),
    /// The name gave no address.
    NameNotResolved(LookupFailure),
    /// Silence.
    NoAnswer {
        /// How many SYNs were sent.
        syns: usize,
        /// The time from the first SYN to the verdict.
        waited: Duration,
    },
}

impl Reason {
    /// Returns the state that the evidence shows.
    pub fn state(&self) -> PortState {
        match self {
            Self::SynAck => PortState::Open,
            Self::RstAck | Self::OwnPort => PortState::Closed,
            Self::BareAck => PortState::Stale,
            Self::NoAnswer { .. } | Self::WrongAcknowledgement | Self::AnsweredBy(_) => {
                PortState::Filtered
            }
            Self::NoNeighbour(_) | Self::NoRoute(_) | Self::NameNotResolved(_) => {
                PortState::Unreachable
            }
            Self::Icmp(error) => match error.meaning {
                Meaning::Closed => PortState::Closed,
                Meaning::Prohibited | Meaning::HopsExceeded => PortState::Filtered,
                Meaning::Unreachable => PortState::Unreachable,
            },
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SynAck => f.write_str("SYN+ACK"),
            Self::RstAck => f.write_str("RST+ACK"),
            Self::BareAck => f.write_str("ACK without SYN (old connection)"),
            Self::WrongAcknowledgement => {
                f.write_str("SYN+ACK with a wrong acknowledgement number")
            }
            Self::AnsweredBy(address) => write!(f, "SYN+ACK from {address} instead (NAT?)"),
            Self::OwnPort => f.write_str("this check's own source port, nobody listens"),
            Self::Icmp(error) => error.fmt(f),
            Self::NoNeighbour(error) if error.offender.is_ipv4() => f.write_str("no answer to ARP"),
            Self::NoNeighbour(_) => f.write_str("no answer to neighbour discovery"),
            Self::NoRoute(cause) => cause.fmt(f),
            Self::NameNotResolved(failure) => failure.fmt(f),
            Self::NoAnswer { syns, waited } => {
                let plural = if *syns == 1 { "" } else { "s" };
                write!(f, "no answer to {syns} SYN{plural} in {}", Rough(*waited))
            }
        }
    }
}

/// Why a name gave no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LookupFailure {
    /// There is no such name (NXDOMAIN).
    #[error("name does not resolve: not found")]
    NotFound,
    /// The name exists, but has no address of the family that was asked for.
    #[error("name does not resolve: no address")]
    NoAddress,
    /// The name service could not answer now (`EAI_AGAIN`).
    #[error("name does not resolve: temporary failure")]
    Temporary,
    /// The name service refused, or its answer was malformed.
    #[error("name does not resolve: name service failed")]
    Failed,
    /// Not a name in any script (UTS #46).
    #[error("name does not resolve: not an international domain name")]
    NotAName,
    /// An unspecified, broadcast or multicast address.
    #[error("name does not resolve: {0} is not the address of one host")]
    NotOneHost(IpAddr),
    /// No answer from the name service before the deadline.
    #[error("name does not resolve: no answer in time")]
    TimedOut,
}

/// Displays a duration for people: `7.0 s`, `250 ms`.
struct Rough(Duration);

impl fmt::Display for Rough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        if seconds < 0.9995 {
            write!(f, "{:.0} ms", seconds * 1e3)
        } else {
            write!(f, "{seconds:.1} s")
        }
    }
}
