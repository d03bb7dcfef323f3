//! From a [`Target`] to its endpoints: the only name look-up.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use dns_lookup::{AddrInfoHints, LookupErrorKind, getaddrinfo};
use nix::libc;
use nix::net::if_::if_nametoindex;

use crate::fault::Fault;
use crate::target::{Host, Target, is_one_host};
use crate::verdict::LookupFailure;

/// Which address families may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Family {
    /// Whichever the resolver names first.
    #[default]
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

impl Family {
    /// True when `address` is of this family.
    pub fn admits(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
}

/// Why there is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unresolved {
    /// What the name service said.
    Name(LookupFailure),
    /// What is wrong on this machine or its command line.
    Fault(Fault),
}

/// The endpoints of `target` of that family, in the resolver's order; never empty.
///
/// The system's name service may hang for as long as it likes: it runs on a thread of its own, which is left behind
/// after `limit` and ends with the program.
pub fn resolve(
    target: &Target,
    family: Family,
    limit: Duration,
) -> Result<Vec<SocketAddr>, Unresolved> {
    match &target.host {
        Host::Address(address) | Host::LinkLocal(address, _) if !family.admits(*address) => {
            Err(Unresolved::Fault(Fault::Family(*address)))
        }
        Host::Address(address) => Ok(vec![SocketAddr::new(*address, target.port)]),
        Host::LinkLocal(address, scope) => {
            let index = interface_index(scope).map_err(Unresolved::Fault)?;
            let mut endpoint = SocketAddr::new(*address, target.port);
            if let SocketAddr::V6(v6) = &mut endpoint {
                v6.set_scope_id(index);
            }
            Ok(vec![endpoint])
        }
        Host::Name(name) => {
            let mut endpoints =
                look_up_within(limit, name.clone(), family).map_err(Unresolved::Name)?;
            for endpoint in &mut endpoints {
                endpoint.set_port(target.port);
            }
            Ok(endpoints)
        }
    }
}

/// By name or by number (RFC 4007 §11.2).
fn interface_index(scope: &str) -> Result<u32, Fault> {
    let by_number = scope.parse().map(NonZeroU32::get);
    by_number.or_else(|_| if_nametoindex(scope)).map_err(|_| Fault::Interface(scope.to_owned()))
}

fn look_up_within(
    limit: Duration,
    name: String,
    family: Family,
) -> Result<Vec<SocketAddr>, LookupFailure> {
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new()
        .name("name look-up".to_owned())
        .spawn(move || sender.send(look_up(&name, family)))
        .map_err(|_| LookupFailure::Failed)?;
    receiver.recv_timeout(limit).map_err(|_| LookupFailure::TimedOut)?
}

fn look_up(name: &str, family: Family) -> Result<Vec<SocketAddr>, LookupFailure> {
    let hints = AddrInfoHints {
        address: match family {
            Family::Any => libc::AF_UNSPEC,
            Family::V4 => libc::AF_INET,
            Family::V6 => libc::AF_INET6,
        },
        socktype: libc::SOCK_STREAM,
        ..AddrInfoHints::default()
    };
    let found = getaddrinfo(Some(name), None, Some(hints)).map_err(|error| match error.kind() {
        LookupErrorKind::NoName | LookupErrorKind::NoData | LookupErrorKind::Family => {
            LookupFailure::NotFound
        }
        LookupErrorKind::Again => LookupFailure::Temporary,
        _ => LookupFailure::Failed,
    })?;
    let endpoints: Vec<_> =
        found.flatten().map(|info| info.sockaddr).filter(|found| is_one_host(found.ip())).collect();
    if endpoints.is_empty() { Err(LookupFailure::NotFound) } else { Ok(endpoints) }
}
