//! Which source address the kernel's routing chooses, or that it has no way.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Socket};

use super::Egress;
use super::sockets::{self, errno, port_less};
use crate::fault::{Fault, NoRoute, Refusal};

/// A socket that is used for nothing but to ask the routing table, so that its error is about one target alone; a raw TCP
/// socket, because policy routing may look at the protocol.
pub(super) struct Router {
    socket: Socket,
    domain: Domain,
}

impl Router {
    /// Opens the socket. Needs `CAP_NET_RAW`.
    pub(super) fn open(domain: Domain, egress: &Egress) -> Result<Self, Fault> {
        let socket = sockets::deaf(domain, egress)?;
        // Or EACCES would have two meanings.
        socket.set_broadcast(true).map_err(setup)?;
        Ok(Self { socket, domain })
    }

    /// Address, without port, from which segments to `remote` leave.
    pub(super) fn source(
        &self,
        remote: SocketAddr,
        egress: &Egress,
    ) -> Result<SocketAddr, Refusal> {
        self.socket.connect(&port_less(remote).into()).map_err(|error| {
            let errno = errno(&error);
            NoRoute::from_errno(errno)
                .map_or(Refusal::Fault(Fault::Send { to: remote, errno }), Refusal::NoRoute)
        })?;
        let local = self.socket.local_addr().map_err(setup).map_err(Refusal::Fault)?;
        // Or the source address would be kept for the next target.
        sockets::disconnect(&self.socket, egress, self.domain).map_err(Refusal::Fault)?;
        Ok(local.as_socket().expect("an internet socket"))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn setup(error: io::Error) -> Fault {
    Fault::SocketSetup(errno(&error))
}
