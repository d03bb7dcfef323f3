//! The next hops of the routes in the kernel's list.

use std::net::IpAddr;

use nix::libc;

use super::flow::RTA_VIA;
use super::message::{BODY, address, attributes, u16_at, u32_at};

/// The length of `struct rtnexthop` in bytes.
const HOP: usize = 8;

/// The address of a next hop, and the index of its interface.
pub(in crate::engine) type Hop = (IpAddr, u32);

/// Adds the next hops of a route to `found` if it leads to `to`: `struct rtmsg` and attributes.
pub(super) fn find(route: &[u8], to: IpAddr, found: &mut Vec<Hop>) {
    let Some((head, options)) = route.split_at_checked(BODY) else { return };
    let prefix = attributes(options).find(|(kind, _)| *kind == libc::RTA_DST);
    let prefix = prefix.and_then(|(_, value)| address(value));
    if head[7] != libc::RTN_UNICAST || !covers(prefix, head[1], to) {
        return;
    }
    found.extend(hop(options, None, to));
    let several = attributes(options).find(|(kind, _)| *kind == libc::RTA_MULTIPATH);
    let mut rest = several.map_or(&[][..], |(_, value)| value);
    while rest.len() >= HOP {
        let length = usize::from(u16_at(rest, 0));
        let Some(options) = rest.get(HOP..length) else { return };
        found.extend(hop(options, Some(u32_at(rest, 4)), to));
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
}

/// Returns true if the first `length` bits of `to` are those of `prefix`. A default route has none.
fn covers(prefix: Option<IpAddr>, length: u8, to: IpAddr) -> bool {
    let (differing, width) = match (prefix, to) {
        (None, _) => return length == 0,
        (Some(IpAddr::V4(prefix)), IpAddr::V4(to)) => {
            (u128::from(prefix.to_bits() ^ to.to_bits()), 32)
        }
        (Some(IpAddr::V6(prefix)), IpAddr::V6(to)) => (prefix.to_bits() ^ to.to_bits(), 128),
        _ => return false,
    };
    differing.checked_shr(width - u32::from(length).min(width)).is_none_or(|bits| bits == 0)
}

/// Returns the hop that attributes name. Without a gateway, `to` is on the link of the interface.
fn hop(options: &[u8], device: Option<u32>, to: IpAddr) -> Option<Hop> {
    let mut found = (to, device);
    for (kind, value) in attributes(options) {
        match kind {
            libc::RTA_GATEWAY => found.0 = address(value)?,
            RTA_VIA => found.0 = value.get(2..).and_then(address)?, // behind its family
            libc::RTA_OIF if value.len() == 4 => found.1 = Some(u32_at(value, 0)),
            _ => {}
        }
    }
    Some((found.0, found.1?))
}
