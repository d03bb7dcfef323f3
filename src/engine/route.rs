//! Which source address the kernel's routing chooses, or that it has no way.

use std::io;
use std::net::SocketAddr;

use super::Egress;
use super::sockets::{self, errno, port_less};
use crate::fault::{Fault, NoRoute, Refusal};
use socket2::Domain;

/// Address, without port, from which segments to `remote` leave.
///
/// Asked of a socket that is used for nothing else, so that its error is about this target alone; of a raw TCP socket,
/// because policy routing may look at the protocol.
pub(super) fn source(egress: &Egress, remote: SocketAddr) -> Result<SocketAddr, Refusal> {
    let socket = sockets::raw(Domain::for_address(remote), egress).map_err(Refusal::Fault)?;
    socket.set_broadcast(true).map_err(setup)?; // or EACCES would have two meanings
    socket.connect(&port_less(remote).into()).map_err(|error| {
        let errno = errno(&error);
        NoRoute::from_errno(errno)
            .map_or(Refusal::Fault(Fault::Send { to: remote, errno }), Refusal::NoRoute)
    })?;
    let local = socket.local_addr().map_err(setup)?;
    Ok(local.as_socket().expect("an internet socket"))
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn setup(error: io::Error) -> Refusal {
    Refusal::Fault(Fault::SocketSetup(errno(&error)))
}
