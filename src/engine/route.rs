//! Which source address the kernel's routing chooses, or that it has no way.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use nix::libc;
use nix::sys::socket::{SockaddrIn, connect};
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
        let socket = sockets::raw(domain, egress)?;
        // Or EACCES would have two meanings.
        socket.set_broadcast(true).map_err(setup)?;
        let router = Self { socket, domain };
        router.disconnect(egress)?;
        Ok(router)
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
        self.disconnect(egress).map_err(Refusal::Fault)?;
        Ok(local.as_socket().expect("an internet socket"))
    }

    /// Forgets the source address of the last target, and with it what the operator chose (`__udp_disconnect()`). A raw
    /// socket is no longer offered segments after that, connected or not: nobody reads them here.
    fn disconnect(&self, egress: &Egress) -> Result<(), Fault> {
        let nobody = SockaddrIn::from(libc::sockaddr_in {
            sin_family: libc::AF_UNSPEC.try_into().expect("zero"),
            sin_port: 0,
            sin_addr: libc::in_addr { s_addr: 0 },
            sin_zero: [0; 8],
        });
        connect(self.socket.as_raw_fd(), &nobody).map_err(Fault::SocketSetup)?;
        sockets::bind(egress, &self.socket, self.domain)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn setup(error: io::Error) -> Fault {
    Fault::SocketSetup(errno(&error))
}
