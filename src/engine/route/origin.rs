//! Whether an ICMP error comes from this machine, and why.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;

use super::Router;
use crate::engine::netlink::{Flow, NeighbourStatistics, SocketOptions};
use crate::engine::sockets::port_less;
use crate::local_error::LocalError;
use crate::wire::IcmpError;

/// How exactly the kernel says when a neighbour changed: in its own ticks, then in hundredths of a
/// second.
const GRANULARITY: Duration = Duration::from_millis(20);

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

    /// Returns what this machine's neighbour tables have counted.
    pub(in crate::engine) fn neighbour_statistics(
        &self,
    ) -> Result<NeighbourStatistics, LocalError> {
        self.netlink.neighbour_statistics()
    }

    /// Returns true if `error`, about a segment to `remote`, comes from this machine and `remote`
    /// is another machine.
    pub(in crate::engine) fn is_from_here(
        &self,
        error: &IcmpError,
        remote: SocketAddr,
        options: SocketOptions,
    ) -> Result<bool, LocalError> {
        let offender = match error.offender {
            IpAddr::V4(v4) => SocketAddr::from((v4, 0)),
            IpAddr::V6(v6) => SocketAddrV6::new(v6, 0, 0, error.scope).into(),
        };
        Ok(error.offender != remote.ip()
            && self.is_here(offender, options)?
            && !self.is_here(port_less(remote), options)?)
    }

    /// Returns whether the next hop of `flow`, which was sent so long ago, has failed to answer ARP
    /// or neighbour discovery since. `None` if that cannot be known. `failures_before` counts the
    /// neighbours that had failed before.
    ///
    /// The kernel notes when it gives up (`neigh_timer_handler()`): an entry that has not changed
    /// since the segment left has not failed. One that has changed to another state, or is gone,
    /// may have failed before that.
    pub(in crate::engine) fn has_neighbour_failed(
        &self,
        flow: Flow,
        sent_ago: Duration,
        failures_before: Option<u64>,
    ) -> Result<Option<bool>, LocalError> {
        if failures_before == Some(self.netlink.neighbour_statistics()?.failures) {
            return Ok(Some(false));
        }
        let Ok(route) = self.netlink.route(flow)? else { return Ok(None) };
        let hop = route.gateway.unwrap_or(flow.to.ip());
        let neighbour = match self.netlink.neighbour(hop, route.device)? {
            Ok(neighbour) => neighbour,
            Err(Errno::ENOENT) => return Ok(None),
            Err(_) => return Ok(Some(true)), // before Linux 5.0 one neighbour cannot be asked about
        };
        let is_silent = neighbour.state & (libc::NUD_INCOMPLETE | libc::NUD_FAILED) != 0;
        let has_changed = neighbour.unchanged_for <= sent_ago + GRANULARITY;
        Ok(match (has_changed, is_silent) {
            (false, _) => Some(false),
            (true, true) => Some(true),
            (true, false) => None,
        })
    }
}
