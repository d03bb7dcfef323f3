//! Targets as people write them.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::str::FromStr;

/// A host and one of its ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
}

/// A host, by address or by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// An address; IPv4-mapped IPv6 addresses are IPv4 ones.
    Address(IpAddr),
    /// A link-local IPv6 address and the interface behind its `%`.
    LinkLocal(IpAddr, String),
    /// A name to look up.
    Name(String),
}

/// Why a target cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// HOST without PORT.
    #[error("{0:?} names no port: write HOST PORT, HOST:PORT or [V6]:PORT")]
    NoPort(String),
    /// Not a number from 1 to 65535.
    #[error("{0:?} is not a port: a number from 1 to 65535")]
    Port(String),
    /// Neither an address nor a name.
    #[error("{0:?} is neither an address nor a host name")]
    Host(String),
    /// `fe80::1` without `%eth0`.
    #[error("{0} is link-local: say on which interface, as in {0}%eth0")]
    NoScope(IpAddr),
    /// Multicast, broadcast, unspecified.
    #[error("{0} is not the address of one host")]
    NotOneHost(IpAddr),
}

impl Target {
    /// Reads HOST and PORT.
    pub fn new(host: &str, port: &str) -> Result<Self, TargetError> {
        Ok(Self { host: host.parse()?, port: parse_port(port)? })
    }
}

impl FromStr for Target {
    type Err = TargetError;

    /// Reads `HOST:PORT` or `[V6]:PORT`.
    fn from_str(text: &str) -> Result<Self, TargetError> {
        match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                Self::new(host, port)
            }
            _ => Err(TargetError::NoPort(text.to_owned())),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(address) if address.is_ipv6() => write!(f, "[{address}]:{}", self.port),
            Host::Address(address) => write!(f, "{address}:{}", self.port),
            Host::LinkLocal(address, scope) => write!(f, "[{address}%{scope}]:{}", self.port),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

impl FromStr for Host {
    type Err = TargetError;

    /// Reads an address, bare or in brackets, a link-local one with its interface behind `%`, or a name.
    fn from_str(text: &str) -> Result<Self, TargetError> {
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        let (address, scope) = match bare.split_once('%') {
            Some((address, scope)) => (address, Some(scope)),
            None => (bare, None),
        };
        let Ok(address) = address.parse::<IpAddr>() else {
            let name = is_name(text).then(|| Self::Name(text.to_owned()));
            return name.ok_or_else(|| TargetError::Host(text.to_owned()));
        };
        let address = address.to_canonical();
        if !is_one_host(address) {
            return Err(TargetError::NotOneHost(address));
        }
        let link_local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        match scope {
            None if link_local => Err(TargetError::NoScope(address)),
            Some(scope) if link_local => Ok(Self::LinkLocal(address, scope.to_owned())),
            None => Ok(Self::Address(address)),
            Some(_) => Err(TargetError::Host(text.to_owned())),
        }
    }
}

/// False for addresses that no TCP connection can have (RFC 9293 §3.9.2.3).
pub fn is_one_host(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_multicast() || address.is_unspecified() || broadcast)
}

fn parse_port(text: &str) -> Result<u16, TargetError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()); // no +80
    let port = text.parse().ok().filter(|_| digits).map(NonZeroU16::get);
    port.ok_or_else(|| TargetError::Port(text.to_owned()))
}

/// Letters, digits, `.`, `-`, `_` and anything beyond ASCII: what a name service may know. The rest is a slip of the pen.
fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c) || !c.is_ascii();
    (1..=253).contains(&text.len()) && text.chars().all(fits) && !text.starts_with('-')
}
