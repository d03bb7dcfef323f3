//! Targets as people write them.

mod error;
mod ports;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

pub use self::error::TargetError;
pub use self::ports::Ports;

use ipnetwork::IpNetwork;

use crate::number::whole;

/// Hosts and ports: one target, or many.
///
/// ```
/// use halfopen::target::{Target, TargetError};
///
/// let mail: Target = "192.0.2.7:25".parse()?;
/// assert_eq!(mail.count(), 1);
/// let web = Target::new("2001:db8::/126", "80,443,8000-8007")?;
/// assert_eq!(web.count(), 4 * 10);
/// assert!("192.0.2.7".parse::<Target>().is_err()); // no port
/// # Ok::<(), TargetError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The hosts.
    pub hosts: Hosts,
    /// The ports.
    pub ports: Ports,
}

/// A host, by address or by name, or a block of addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hosts {
    /// The addresses of a block, most often a single one (`/32`, `/128`). IPv4-mapped IPv6
    /// addresses are IPv4 addresses.
    Block(IpNetwork),
    /// A link-local IPv6 address and the interface behind its `%`.
    LinkLocal(IpAddr, Box<str>),
    /// A name to look up.
    Name(Box<str>),
}

impl Target {
    /// Reads HOST and PORT, each of which may stand for many.
    pub fn new(host: &str, port: &str) -> Result<Self, TargetError> {
        let hosts = host.parse().map_err(|error| match host.parse::<Self>() {
            Ok(_) => TargetError::TwoPorts(excerpt(host), excerpt(port)),
            Err(_) => error,
        })?;
        Ok(Self { hosts, ports: port.parse()? })
    }

    /// Returns how many endpoints it stands for; a name counts as one address.
    pub fn count(&self) -> u128 {
        let addresses = match &self.hosts {
            Hosts::Block(block) => {
                let free = if block.is_ipv4() { 32 } else { 128 } - u32::from(block.prefix());
                1u128.checked_shl(free).unwrap_or(u128::MAX)
            }
            Hosts::LinkLocal(..) | Hosts::Name(_) => 1,
        };
        addresses.saturating_mul(self.ports.iter().count() as u128)
    }

    /// Returns what reports call it, or its part with that port and endpoint.
    pub fn label(&self, port: u16, endpoint: Option<SocketAddr>) -> String {
        match (&self.hosts, endpoint) {
            (Hosts::Block(_), Some(endpoint)) => endpoint.to_string(),
            (Hosts::Block(block), None) => format!("{block}:{port}"),
            (Hosts::LinkLocal(address, scope), _) => format!("[{address}%{scope}]:{port}"),
            (Hosts::Name(name), _) => format!("{name}:{port}"),
        }
    }
}

impl From<SocketAddr> for Target {
    fn from(endpoint: SocketAddr) -> Self {
        Self { hosts: Hosts::Block(endpoint.ip().into()), ports: endpoint.port().into() }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    /// Reads `HOST PORT`, `HOST:PORT` or `[V6]:PORT`.
    fn from_str(text: &str) -> Result<Self, TargetError> {
        let mut words = text.split_ascii_whitespace();
        match (words.next(), words.next(), words.next()) {
            (_, None, _) => {}
            (Some(host), Some(port), None) if !port.contains(':') => return Self::new(host, port),
            _ => return Err(TargetError::TooMuch(excerpt(text))),
        }
        match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || in_brackets(host).is_some() => {
                Ok(Self { hosts: host.parse()?, ports: port.parse()? })
            }
            None if text.parse::<Ports>().is_ok() => Err(TargetError::NoHost(excerpt(text))),
            _ => Err(TargetError::NoPort(excerpt(text))),
        }
    }
}

impl Hosts {
    /// Returns the address, or the first of the block; `None` for a name.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Block(block) => Some(block.ip()),
            Self::LinkLocal(address, _) => Some(*address),
            Self::Name(_) => None,
        }
    }
}

impl fmt::Display for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block(block) => block.fmt(f),
            Self::LinkLocal(address, scope) => write!(f, "{address}%{scope}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl FromStr for Hosts {
    type Err = TargetError;

    /// Reads an address or a block of them, bare or in brackets, a link-local one with its
    /// interface behind `%`, or a name.
    fn from_str(text: &str) -> Result<Self, TargetError> {
        let bare = in_brackets(text).unwrap_or(text);
        if let Some((address, _)) = bare.split_once('/') {
            return block(bare).unwrap_or_else(|| {
                Err(match address.parse::<IpAddr>() {
                    Ok(_) => TargetError::Block(excerpt(text)),
                    Err(_) => no_host(address, text),
                })
            });
        }
        let (address, scope) = match bare.split_once('%') {
            Some((address, scope)) => (address, Some(scope)),
            None => (bare, None),
        };
        let Ok(address) = address.parse::<IpAddr>() else {
            let name = is_name(text) && !ends_in_a_number(text);
            return if name { Ok(Self::Name(text.into())) } else { Err(no_host(address, text)) };
        };
        let address = address.to_canonical();
        if !is_one_host(address) {
            return Err(TargetError::NotOneHost(address));
        }
        match scope {
            None if is_link_local(address) => Err(TargetError::NoScope(address)),
            Some(scope) if is_link_local(address) && is_interface(scope) => {
                Ok(Self::LinkLocal(address, scope.into()))
            }
            None => Ok(Self::Block(address.into())),
            Some(_) => Err(TargetError::Host(excerpt(text))),
        }
    }
}

fn in_brackets(text: &str) -> Option<&str> {
    text.strip_prefix('[')?.strip_suffix(']')
}

/// Returns false for addresses that no TCP connection can have (RFC 9293 §3.9.2.3).
pub fn is_one_host(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_multicast() || address.is_unspecified() || broadcast)
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// Reads ADDRESS/LENGTH or ADDRESS/MASK; `None` if it is not of that form.
fn block(text: &str) -> Option<Result<Hosts, TargetError>> {
    let (_, length) = text.split_once('/')?;
    if whole::<u8>(length).is_none() && length.parse::<Ipv4Addr>().is_err() {
        return None;
    }
    let written: IpNetwork = text.parse().ok()?;
    let block = match written.ip().to_canonical() {
        address @ IpAddr::V4(_) if written.is_ipv6() => {
            IpNetwork::new(address, written.prefix().checked_sub(96)?).ok()?
        }
        _ => written,
    };
    // A wider block that reaches the IPv4-mapped addresses ends with the last of them.
    let (first, last) = (block.network(), block.broadcast().to_canonical());
    Some(if first != block.ip() {
        Err(TargetError::HostBits(block))
    } else if is_link_local(first) {
        Err(TargetError::NoScope(first))
    } else if let Some(end) = [first, last].into_iter().find(|end| !is_one_host(*end)) {
        Err(TargetError::NotOneHost(end))
    } else {
        Ok(Hosts::Block(block))
    })
}

/// Returns why `text` names no host; `host` is the part of it that should.
fn no_host(host: &str, text: &str) -> TargetError {
    let ambiguous = is_name(host) && ends_in_a_number(host);
    if ambiguous { TargetError::Ambiguous(excerpt(text)) } else { TargetError::Host(excerpt(text)) }
}

/// Returns true for what some programs read as an IPv4 address: its last label is a number,
/// decimal, octal or hexadecimal (`inet_aton()`; WHATWG URL §3.5, "ends in a number checker"). The
/// name of a host does not end like that (RFC 1123 §2.1).
fn ends_in_a_number(text: &str) -> bool {
    let rooted = text.strip_suffix('.').unwrap_or(text);
    let label = rooted.rsplit('.').next().unwrap_or_default();
    match label.strip_prefix("0x").or_else(|| label.strip_prefix("0X")) {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => !label.is_empty() && label.chars().all(char::is_numeric), // of any script
    }
}

/// Returns the beginning of what was written, for a message: a line of a file may be of any length.
pub fn excerpt(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Returns true for what the kernel accepts as the name of an interface (`dev_valid_name()`),
/// except what would break a line.
pub fn is_interface(text: &str) -> bool {
    let fits = |c: char| !(c.is_whitespace() || c.is_control() || "/:".contains(c));
    (1..=15).contains(&text.len()) && text.chars().all(fits)
}

/// Returns true for letters and digits of any script, `.`, `-` and `_`: what a name service may
/// know.
fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_alphanumeric() || ".-_".contains(c);
    (1..=253).contains(&text.len()) && text.chars().all(fits) && !text.starts_with('-')
}
