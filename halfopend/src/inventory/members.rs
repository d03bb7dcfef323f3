//! What the targets of a pool amount to, and how that differs from before.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};

use halfopen::target::{Hosts, Target};

use crate::config::Addresses;

/// The members of a pool: its targets, or its witnesses. (A million of them take 6 MB.)
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Members {
    /// Those that have an address, sorted, each once.
    v4: Vec<SocketAddrV4>,
    v6: Vec<SocketAddrV6>,
    /// Those whose address must be found.
    pub(super) named: BTreeSet<Named>,
}

/// A target whose address must be found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Named {
    pub(super) host: Host,
    pub(super) port: u16,
    /// True if each address of the host is a target, and not only one.
    pub(super) every: bool,
}

/// What has addresses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Host {
    /// A name of the name service.
    Name(Box<str>),
    /// A link-local address, on an interface whose number may change.
    LinkLocal(IpAddr, Box<str>),
}

impl Named {
    /// Returns the label of its target; of the one with this address, if each has its own.
    ///
    /// In that case the address follows the name in brackets, as in the logs of mail servers:
    /// `web.example[192.0.2.7]:443`.
    pub(super) fn label(&self, address: Option<IpAddr>) -> Box<str> {
        let Self { host, port, every } = self;
        let label = match (host, address.filter(|_| *every)) {
            (Host::Name(name), None) => format!("{name}:{port}"),
            (Host::Name(name), Some(address)) => format!("{name}[{address}]:{port}"),
            (Host::LinkLocal(address, scope), _) => format!("[{address}%{scope}]:{port}"),
        };
        label.into()
    }
}

impl Members {
    /// Returns no members.
    pub(super) const fn none() -> Self {
        Self { v4: Vec::new(), v6: Vec::new(), named: BTreeSet::new() }
    }

    /// Returns what these targets amount to.
    pub(super) fn of(targets: &[Target], addresses: Addresses) -> Self {
        let mut members = Self::default();
        for target @ Target { hosts, ports } in targets {
            let host = match hosts {
                Hosts::Block(block) => {
                    members.reserve(block.is_ipv4(), target.count());
                    for address in block {
                        ports.iter().for_each(|port| members.push((address, port).into()));
                    }
                    continue;
                }
                Hosts::LinkLocal(address, scope) => Host::LinkLocal(*address, scope.clone()),
                Hosts::Name(name) => Host::Name(name.clone()),
            };
            let every = addresses == Addresses::All && matches!(host, Host::Name(_));
            let named = ports.iter().map(|port| Named { host: host.clone(), port, every });
            members.named.extend(named);
        }
        members.v4.sort_unstable();
        members.v4.dedup();
        members.v6.sort_unstable();
        members.v6.dedup();
        members
    }

    /// Returns true if some have an address.
    pub(super) fn has_endpoints(&self) -> bool {
        !(self.v4.is_empty() && self.v6.is_empty())
    }

    /// Returns true if this endpoint is one of them.
    pub(super) fn contains(&self, endpoint: SocketAddr) -> bool {
        match endpoint {
            SocketAddr::V4(v4) => self.v4.binary_search(&v4).is_ok(),
            SocketAddr::V6(v6) => self.v6.binary_search(&v6).is_ok(),
        }
    }

    /// Returns those that have an address.
    pub(super) fn into_endpoints(self) -> impl Iterator<Item = SocketAddr> {
        let v4 = self.v4.into_iter().map(SocketAddr::V4);
        v4.chain(self.v6.into_iter().map(SocketAddr::V6))
    }

    /// Returns the members that `other` lacks.
    pub(super) fn without(&self, other: &Self) -> Self {
        if self == other {
            return Self::default();
        }
        Self {
            v4: without(&self.v4, &other.v4),
            v6: without(&self.v6, &other.v6),
            named: self.named.difference(&other.named).cloned().collect(),
        }
    }

    /// Makes room for this many endpoints of a family. Lists that grow fragment the heap.
    fn reserve(&mut self, are_v4: bool, count: u128) {
        let count = usize::try_from(count).unwrap_or_default();
        if are_v4 {
            self.v4.reserve_exact(count);
        } else {
            self.v6.reserve_exact(count);
        }
    }

    fn push(&mut self, endpoint: SocketAddr) {
        match endpoint {
            SocketAddr::V4(v4) => self.v4.push(v4),
            SocketAddr::V6(v6) => self.v6.push(v6),
        }
    }
}

/// Returns what one list has and another, sorted one lacks.
fn without<T: Copy + Ord>(one: &[T], other: &[T]) -> Vec<T> {
    if other.is_empty() {
        return one.to_vec(); // which takes no more room than it needs
    }
    one.iter().copied().filter(|member| other.binary_search(member).is_err()).collect()
}

/// Returns a link-local address on the interface with this number.
pub(super) fn with_scope(address: IpAddr, interface: u32) -> SocketAddr {
    match address {
        IpAddr::V4(_) => (address, 0).into(),
        IpAddr::V6(v6) => SocketAddrV6::new(v6, 0, 0, interface).into(),
    }
}
