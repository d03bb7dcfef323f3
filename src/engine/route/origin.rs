//! Whether an ICMP error comes from this machine, and why.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use nix::errno::Errno;

use super::Router;
use crate::engine::netlink::{Flow, Neighbour, Netlink, SocketOptions};
use crate::engine::sockets::port_less;
use crate::local_error::LocalError;
use crate::wire::{IcmpError, Meaning};

/// A firewall of this machine rejects a segment when it leaves. No neighbour entry fails and is
/// removed this soon.
const AT_ONCE: Duration = Duration::from_millis(100);

impl Router {
    /// Returns true if `address` is one of this machine's, as a socket with `options` sees it.
    pub(in crate::engine) fn is_here(
        &self,
        address: SocketAddr,
        options: SocketOptions,
    ) -> Result<bool, LocalError> {
        // A socket that is bound to an interface sees only that one's addresses; one in a VRF sees
        // none without its interface.
        for device in [0, options.device] {
            let options = SocketOptions { device, ..options };
            let flow = Flow { to: address, from: None, from_port: 0, options };
            if self.netlink.route(flow)?.is_ok_and(|route| route.is_local()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns true if `error` says that a segment to `remote`, which is another machine, has not
    /// left this one: it comes from here. If a hop limit was exceeded here, the segment had left
    /// and come back.
    pub(in crate::engine) fn has_not_left(
        &self,
        error: &IcmpError,
        remote: SocketAddr,
        options: SocketOptions,
    ) -> Result<bool, LocalError> {
        let offender = match error.offender {
            IpAddr::V4(v4) => SocketAddr::from((v4, 0)),
            IpAddr::V6(v6) => SocketAddrV6::new(v6, 0, 0, error.scope).into(),
        };
        Ok(error.meaning != Meaning::HopsExceeded
            && error.offender != remote.ip()
            && self.is_here(offender, options)?
            && !self.is_here(port_less(remote), options)?)
    }

    /// Returns whether a next hop of `flow`, which was sent so long ago, has failed to answer ARP
    /// or neighbour discovery since. `None` if that cannot be known, as if the SYN left just before
    /// the kernel gave up a next hop that others wait for.
    ///
    /// If no neighbour has changed since, none has failed. One that does not exist may have been
    /// removed, but not at once. Otherwise the route may be another one by now: the kernel avoids a
    /// next hop that has failed, if there is another (`rt6_score_route()`, `fib_good_nh()`). So
    /// those of every route to the target are looked at. Their routes may be gone, too.
    pub(in crate::engine) fn has_neighbour_failed(
        &self,
        flow: Flow,
        sent_ago: Duration,
    ) -> Result<Option<bool>, LocalError> {
        let neighbour = self.next_hop(flow)?;
        let by_then = |neighbour: &Neighbour| neighbour.has_failed_within(sent_ago);
        let next_hop_failed = match &neighbour {
            Some(Ok(neighbour)) => by_then(neighbour),
            _ => Some(false),
        };
        if next_hop_failed == Some(true) {
            return Ok(Some(true));
        }
        let mut changed = self.netlink.changed_neighbours(sent_ago)?;
        if changed.is_empty() {
            let is_known = match neighbour {
                Some(Err(Errno::ENOENT)) => sent_ago < AT_ONCE,
                neighbour => matches!(neighbour, Some(Ok(_))),
            };
            return Ok(is_known.then_some(false));
        }
        changed.retain(|neighbour| by_then(neighbour) != Some(false));
        let hops = if changed.is_empty() { Vec::new() } else { Netlink::hops(flow.to.ip())? };
        changed.retain(|failed| {
            failed.address.is_some_and(|address| hops.contains(&(address, failed.device)))
        });
        let is_known = matches!(neighbour, Some(Ok(_)));
        Ok(match changed.iter().map(by_then).max() {
            Some(failed) => failed,
            None if next_hop_failed.is_none() => None,
            None => is_known.then_some(false),
        })
    }

    /// Returns how often the neighbour tables have overflowed, or `None` if the next hop of `flow`
    /// has an entry: there was room for it.
    ///
    /// The entry comes first: reading the count of overflows waits for programs that configure
    /// the network (`rtnl_lock()`), as reading an entry does on older kernels.
    pub(in crate::engine) fn overflows_unless_resolved(
        &self,
        flow: Flow,
    ) -> Result<Option<u64>, LocalError> {
        let lacks_entry = matches!(self.next_hop(flow)?, Some(Err(Errno::ENOENT)));
        lacks_entry.then(|| self.netlink.neighbour_overflows()).transpose()
    }

    /// Returns the neighbour that `flow` is sent to, or the kernel's error if it knows none; `None`
    /// if there is no route.
    pub(super) fn next_hop(
        &self,
        flow: Flow,
    ) -> Result<Option<Result<Neighbour, Errno>>, LocalError> {
        let Ok(route) = self.netlink.route(flow)? else { return Ok(None) };
        let hop = route.gateway.unwrap_or(flow.to.ip());
        let neighbour = self.netlink.neighbour(hop, route.device)?;
        if neighbour.is_err() && hop.is_ipv4() {
            // On links without addresses, all of IPv4 has one entry (`arp_constructor()`).
            let all = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
            return self.netlink.neighbour(all, route.device).map(|all| Some(all.or(neighbour)));
        }
        Ok(Some(neighbour))
    }
}
