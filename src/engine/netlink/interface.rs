//! Interfaces and their addresses.

use std::net::IpAddr;

use nix::errno::Errno;
use nix::libc;

use super::Netlink;
use super::message::{address, attributes, family, u32_at};
use crate::local_error::LocalError;

/// The length of `struct ifinfomsg` and that of `struct ifaddrmsg` in bytes.
const LINK: usize = 16;
const ADDRESS: usize = 8;

/// The flags of links that look no neighbours up.
const NO_NEIGHBOURS: i32 = libc::IFF_LOOPBACK | libc::IFF_POINTOPOINT | libc::IFF_NOARP;

/// A network interface.
pub(in crate::engine) struct Interface {
    pub(in crate::engine) name: String,
    /// True if it has a link with neighbours that are found by ARP or neighbour discovery.
    pub(in crate::engine) has_neighbours: bool,
}

impl Netlink {
    /// Returns the interface with that index, or the kernel's error if there is none
    /// (`RTM_GETLINK`).
    pub(in crate::engine) fn interface(
        &self,
        index: u32,
    ) -> Result<Result<Interface, Errno>, LocalError> {
        let mut request = vec![0; LINK];
        request[4..8].copy_from_slice(&index.to_ne_bytes());
        let mut interface = Err(Errno::ENODEV);
        // The name comes first, so it does not matter if the rest is cut off.
        self.ask(libc::RTM_GETLINK, [request].into_iter(), |answer| {
            interface = answer.and_then(|link| read(link).ok_or(Errno::EBADMSG));
        })?;
        Ok(interface)
    }

    /// Returns the indices of the interfaces that have `wanted` as their own address
    /// (`RTM_GETADDR`).
    pub(in crate::engine) fn interfaces_with(
        &self,
        wanted: IpAddr,
    ) -> Result<Vec<u32>, LocalError> {
        let mut body = [0; ADDRESS];
        body[0] = family(wanted);
        let mut indices = Vec::new();
        self.list(libc::RTM_GETADDR, &body, usize::MAX, |entry| {
            let Some((head, rest)) = entry.split_at_checked(ADDRESS) else { return };
            // IPv6 addresses have the second attribute only, unless the link has two ends.
            let value = |kind| attributes(rest).find(|(other, _)| *other == kind);
            let own = value(libc::IFA_LOCAL).or_else(|| value(libc::IFA_ADDRESS));
            if own.and_then(|(_, value)| address(value)) == Some(wanted) {
                indices.push(u32_at(head, 4));
            }
        })?;
        Ok(indices)
    }
}

/// Reads a `struct ifinfomsg` and the name behind it.
fn read(link: &[u8]) -> Option<Interface> {
    let (head, rest) = link.split_at_checked(LINK)?;
    let (_, name) = attributes(rest).find(|(kind, _)| *kind == libc::IFLA_IFNAME)?;
    let name = String::from_utf8_lossy(name.strip_suffix(&[0])?).into_owned();
    let flags = u32_at(head, 8).cast_signed();
    Some(Interface { name, has_neighbours: flags & NO_NEIGHBOURS == 0 })
}
