//! Whether an ICMP error comes from this machine, and why.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use nix::errno::Errno;
use nix::libc;

use super::Router;
use crate::engine::netlink::{Flow, SocketOptions};
use crate::engine::sockets::port_less;
use crate::local_error::LocalError;
use crate::wire::IcmpError;

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

    /// Returns how often this machine's neighbour tables have had no room for an entry.
    pub(in crate::engine) fn neighbour_overflows(&self) -> Result<u64, LocalError> {
        self.netlink.neighbour_overflows()
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

    /// Returns true if the next hop of `flow` has not answered ARP or neighbour discovery.
    pub(in crate::engine) fn awaits_neighbour(&self, flow: Flow) -> Result<bool, LocalError> {
        let Ok(route) = self.netlink.route(flow)? else { return Ok(false) };
        let hop = route.gateway.unwrap_or(flow.to.ip());
        Ok(match self.netlink.neighbour(hop, route.device)? {
            Ok(state) => state & (libc::NUD_INCOMPLETE | libc::NUD_FAILED) != 0,
            Err(Errno::ENOENT) => false,
            Err(_) => true, // before Linux 5.0 the kernel cannot be asked about one neighbour
        })
    }
}
