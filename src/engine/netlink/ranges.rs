//! Ranges of IPv4 addresses to which the kernel finds the same route.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

use nix::libc;

use super::Netlink;
use super::message::{BODY, address, attributes, family};
use crate::local_error::LocalError;

/// A longer list of routes is not read, in bytes. This is room for some 70 routes; to read a
/// hundred takes as long as to ask about each target of a batch.
const LONGEST: usize = 4 << 10;

/// An attribute of `linux/rtnetlink.h` that libc lacks for some targets.
const RTA_NH_ID: u16 = 30;

/// Addresses that the kernel treats differently whatever its routes are
/// (`ip_route_output_key_hash_rcu()`).
const SPECIAL: [(Ipv4Addr, u8); 3] =
    [(Ipv4Addr::UNSPECIFIED, 32), (Ipv4Addr::new(224, 0, 0, 0), 4), (Ipv4Addr::BROADCAST, 32)];

/// The first and the last address of a prefix.
pub(in crate::engine) type Prefix = RangeInclusive<u32>;

/// The kernel's list of IPv4 routes, unless it is long.
#[derive(Default)]
pub(in crate::engine) struct RouteList {
    socket: RefCell<Option<Netlink>>,
}

/// All IPv4 addresses, in ranges. The kernel finds the same unicast route to all addresses of one.
///
/// It looks for the longest prefix that has an address, and passes over routes for reasons that do
/// not depend on the address (`fib_table_lookup()`). So addresses differ only if some prefix has
/// one of them and not the other.
pub(in crate::engine) struct Ranges {
    /// The first address of each but the first.
    firsts: Vec<u32>,
}

impl RouteList {
    /// Prepares to read the list.
    pub(in crate::engine) fn open(&mut self) {
        self.socket = RefCell::new(Netlink::open().ok());
    }

    /// Returns the ranges, given the prefixes that routing rules name. Returns `None` if the list
    /// is not open, or there are many routes, or one with several next hops: which of them is
    /// chosen depends on the address (`fib_select_multipath()`).
    pub(in crate::engine) fn ranges(
        &self,
        mut prefixes: Vec<Prefix>,
    ) -> Result<Option<Ranges>, LocalError> {
        let mut socket = self.socket.borrow_mut();
        let Some(list) = &*socket else { return Ok(None) };
        let mut body = [0; BODY];
        body[0] = family(Ipv4Addr::UNSPECIFIED.into());
        let mut has_choice = false;
        let is_all = list.list(libc::RTM_GETROUTE, &body, LONGEST, |route| {
            let mut kinds = attributes(route.get(BODY..).unwrap_or_default()).map(|(kind, _)| kind);
            has_choice |= kinds.any(|kind| [libc::RTA_MULTIPATH, RTA_NH_ID].contains(&kind));
            prefixes.extend(prefix(route, libc::RTA_DST));
        })?;
        if !is_all {
            *socket = None; // the rest of the list was not read
        }
        Ok((is_all && !has_choice).then(|| Ranges::between(prefixes)))
    }
}

impl Ranges {
    fn between(prefixes: Vec<Prefix>) -> Self {
        let special = SPECIAL.map(|(first, length)| covered(first, length));
        let ends = |prefix: Prefix| [Some(*prefix.start()), prefix.end().checked_add(1)];
        let mut firsts: Vec<_> =
            prefixes.into_iter().chain(special).flat_map(ends).flatten().collect();
        firsts.sort_unstable();
        firsts.dedup();
        Self { firsts }
    }

    /// Returns the number of the range that has `address`.
    pub(in crate::engine) fn of(&self, address: Ipv4Addr) -> usize {
        self.firsts.partition_point(|first| *first <= address.to_bits())
    }
}

/// Returns the IPv4 prefix of a route or rule whose address is the attribute `kind`: `struct rtmsg`
/// or `struct fib_rule_hdr`, and attributes. Returns `None` if it has none, so applies to all
/// addresses.
pub(super) fn prefix(message: &[u8], kind: u16) -> Option<Prefix> {
    let (head, options) = message.split_at_checked(BODY)?;
    let (_, value) = attributes(options).find(|(attribute, _)| *attribute == kind)?;
    match address(value)? {
        IpAddr::V4(first) => Some(covered(first, head[1])),
        IpAddr::V6(_) => None,
    }
}

fn covered(first: Ipv4Addr, length: u8) -> Prefix {
    let others = u32::MAX.checked_shr(length.into()).unwrap_or_default();
    (first.to_bits() & !others)..=(first.to_bits() | others)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_range_are_in_the_same_prefixes() {
        let prefixes = [([10, 0, 0, 0], 8), ([10, 1, 0, 0], 16), ([10, 1, 2, 3], 32), ([0; 4], 0)];
        let prefixes = prefixes.map(|(first, length)| covered(first.into(), length));
        let ranges = Ranges::between(prefixes.to_vec());
        let alike = |a: [u8; 4], b: [u8; 4]| ranges.of(a.into()) == ranges.of(b.into());
        assert!(alike([10, 0, 0, 0], [10, 0, 255, 255]));
        assert!(alike([10, 1, 0, 0], [10, 1, 2, 2]));
        assert!(alike([11, 0, 0, 0], [223, 255, 255, 255]));
        assert!(alike([240, 0, 0, 0], [255, 255, 255, 254]));
        for (a, b) in [
            ([9, 255, 255, 255], [10, 0, 0, 0]),
            ([10, 0, 255, 255], [10, 1, 0, 0]),
            ([10, 1, 2, 2], [10, 1, 2, 3]),
            ([10, 1, 2, 3], [10, 1, 2, 4]),
            ([10, 255, 255, 255], [11, 0, 0, 0]),
            ([0, 0, 0, 0], [0, 0, 0, 1]),
            ([223, 255, 255, 255], [224, 0, 0, 1]),
            ([239, 255, 255, 255], [240, 0, 0, 0]),
            ([255, 255, 255, 254], [255, 255, 255, 255]),
        ] {
            assert!(!alike(a, b), "{a:?} and {b:?}");
        }
    }
}
