//! What is wrong with a target, and what to write instead.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

/// Why a target cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// HOST without PORT.
    #[error("{0:?} has no port: write HOST PORT, HOST:PORT or [V6]:PORT")]
    NoPort(String),
    /// PORT without HOST.
    #[error("{0:?} is a port without a host: write HOST PORT or HOST:PORT")]
    NoHost(String),
    /// HOST:PORT and another PORT.
    #[error("{0:?} has a port already, and {1:?} is another: leave one of them out")]
    TwoPorts(String, String),
    /// HOST PORT and more.
    #[error("{0:?} is more than HOST PORT: write several ports as 25,80, and one target per line")]
    TooMuch(String),
    /// Not a number from 1 to 65535, nor a list or range of them.
    #[error("{0:?} is not a port: write a number from 1 to 65535, or several as 25,80,8000-8010")]
    Port(String),
    /// 080.
    #[error(
        "{0:?} is not a port: write it without leading zeros, which are octal to some programs"
    )]
    PaddedPort(String),
    /// 8010-8000.
    #[error("the range of ports {0:?} ends before it begins")]
    ReversedPorts(String),
    /// Neither an address nor a name.
    #[error("{0:?} is neither an address nor a host name")]
    Host(String),
    /// `198.18.1.010`, `198.18.1`, `0xc6120101`.
    #[error(
        "programs read {0:?} differently: write an address as four decimal numbers without \
         leading zeros, such as 192.0.2.7; a name does not end in a number"
    )]
    Ambiguous(String),
    /// `198.18.0.0/33`, `198.18.0.0/024`.
    #[error("{0:?} is not a block: write ADDRESS/LENGTH, as in 198.18.0.0/24 or 2001:db8::/120")]
    Block(String),
    /// `fe80::1` without `%eth0`.
    #[error("{0} is link-local: say on which interface, as in {0}%eth0")]
    NoScope(IpAddr),
    /// Multicast, broadcast, unspecified.
    #[error("{0} is not the address of one host")]
    NotOneHost(IpAddr),
    /// `198.18.0.1/16`.
    #[error("the block {0} has host bits: write {network}/{prefix}", network = .0.network(), prefix = .0.prefix())]
    HostBits(IpNetwork),
}
