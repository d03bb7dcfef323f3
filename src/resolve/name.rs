//! Looks up one name by the system's name service.

use std::borrow::Cow;
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use dns_lookup::{AddrInfoHints, LookupError, LookupErrorKind, getaddrinfo};
use nix::errno::Errno;
use nix::libc;

use super::{Addresses, NoAddress, errno};
use crate::family::{Family, WrongFamily};
use crate::local_error::LocalError;
use crate::target::is_one_host;
use crate::verdict::{LookupFailure, NoVerdict};

/// Returns the addresses of `name` that are of `family`.
///
/// If it has only addresses of the other family, the error says so.
pub(super) fn look_up(name: &str, family: Family) -> Addresses {
    let Some(name) = ascii(name) else { return Err(LookupFailure::NotAName.into()) };
    let found = resolve(&name, family);
    let is_absent = |failure: LookupFailure| found == Err(failure.into());
    if family == Family::Any
        || !(is_absent(LookupFailure::NotFound) || is_absent(LookupFailure::NoAddress))
    {
        return found;
    }
    // They may include IPv4-mapped addresses, which are of the family.
    let (fitting, others): (Vec<_>, Vec<_>) =
        resolve(&name, Family::Any)?.into_iter().partition(|address| family.admits(address.ip()));
    match others.first() {
        Some(other) if fitting.is_empty() => Err(NoAddress::Unusable(NoVerdict::NoAddressFits {
            addresses: others.iter().map(SocketAddr::ip).collect(),
            cause: WrongFamily(other.ip()).into(),
        })),
        _ => Ok(fitting),
    }
}

fn resolve(name: &str, family: Family) -> Addresses {
    let hints = AddrInfoHints {
        address: match family {
            Family::Any => libc::AF_UNSPEC,
            Family::V4 => libc::AF_INET,
            Family::V6 => libc::AF_INET6,
        },
        socktype: libc::SOCK_STREAM,
        ..AddrInfoHints::default()
    };
    let found = getaddrinfo(Some(name), None, Some(hints));
    let addresses = found.map_err(no_address)?.flatten().map(|info| canonical(info.sockaddr));
    let mut known = HashSet::new();
    let (hosts, others): (Vec<_>, Vec<_>) = addresses
        .filter(|address| family.admits(address.ip()) && known.insert(*address))
        .partition(|address| is_one_host(address.ip()));
    match others.first() {
        _ if !hosts.is_empty() => Ok(hosts),
        Some(other) => Err(LookupFailure::NotOneHost(other.ip()).into()),
        None => Err(LookupFailure::NoAddress.into()),
    }
}

/// Returns the name as name services know it: international names in ASCII (UTS #46), except those
/// of multicast DNS (RFC 6762 §16). `None` if it is not a name.
fn ascii(name: &str) -> Option<Cow<'_, str>> {
    let last = name.trim_end_matches('.').rsplit('.').next();
    let multicast = last.is_some_and(|label| label.eq_ignore_ascii_case("local"));
    if name.is_ascii() || multicast {
        return Some(Cow::Borrowed(name));
    }
    idna::domain_to_ascii(name).ok().map(Cow::Owned)
}

/// Returns the IPv4 address for an IPv4-mapped one, and others as they are.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        v4 @ IpAddr::V4(_) => SocketAddr::new(v4, address.port()),
        IpAddr::V6(_) => address,
    }
}

fn no_address(error: LookupError) -> NoAddress {
    match error.kind() {
        LookupErrorKind::NoName => LookupFailure::NotFound.into(),
        LookupErrorKind::NoData | LookupErrorKind::Family => LookupFailure::NoAddress.into(),
        LookupErrorKind::Again => LookupFailure::Temporary.into(),
        LookupErrorKind::Memory => LocalError::Lookup(Errno::ENOMEM).into(),
        LookupErrorKind::System => match errno(&error.into()) {
            errno @ (Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM) => {
                LocalError::Lookup(errno).into()
            }
            _ => LookupFailure::Failed.into(),
        },
        _ => LookupFailure::Failed.into(),
    }
}
