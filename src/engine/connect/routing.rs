//! What the engine asks the kernel's routing about handshakes.

use std::net::SocketAddr;

use nix::errno::Errno;
use socket2::Socket;

use super::ConnectEngine;
use super::stream::stream;
use crate::engine::netlink::{Flow, SocketOptions};
use crate::engine::route::Router;
use crate::local_error::{LocalError, SendError};
use crate::surroundings::Surroundings;

impl ConnectEngine {
    /// Returns the router, if it can be opened.
    pub(super) fn router(&mut self) -> Option<&Router> {
        if self.router.is_none() {
            self.router = Router::open(&self.egress).ok();
        }
        self.router.as_ref()
    }

    /// Checks that the routing table allows a handshake.
    pub(super) fn check_route(
        &mut self,
        to: SocketAddr,
        from_port: u16,
        socket: &Socket,
    ) -> Result<(), SendError> {
        let from = self.egress.source;
        let flow = Flow { to, from, from_port, options: SocketOptions::of(socket)? };
        self.router().map_or(Ok(()), |router| router.check_connection(flow))
    }

    /// See [`Engine::surroundings`].
    ///
    /// [`Engine::surroundings`]: crate::engine::Engine::surroundings
    pub(super) fn known_surroundings(
        &mut self,
        to: SocketAddr,
        local: Option<SocketAddr>,
    ) -> Option<Surroundings> {
        self.surveyor.as_ref()?;
        self.router()?;
        let options = SocketOptions::of(&stream(to, None, &self.egress).ok()?).ok()?;
        let (surveyor, router) = (self.surveyor.as_ref()?, self.router.as_ref()?);
        Some(surveyor.surroundings(router, to, local, options))
    }

    /// Returns why a handshake could not begin: for a reason of the routing table, or another.
    pub(super) fn send_error(
        &mut self,
        errno: Errno,
        to: SocketAddr,
        from_port: u16,
        socket: &Socket,
    ) -> SendError {
        match errno {
            Errno::EPERM => SendError::LocalError(LocalError::Firewall(to)),
            errno => {
                let refused = self.check_route(to, from_port, socket).err();
                refused.unwrap_or_else(|| self.port_error(errno, to, from_port))
            }
        }
    }

    /// Returns the meaning of an error that is not the routing table's. There may be no source port
    /// left.
    fn port_error(&self, errno: Errno, to: SocketAddr, from_port: u16) -> SendError {
        match (errno, from_port) {
            (Errno::EADDRNOTAVAIL, 0) if self.handshakes.has(to) => SendError::NoPortLeft,
            (Errno::EADDRNOTAVAIL, 0) => SendError::LocalError(LocalError::SourcePort(errno)),
            _ => SendError::LocalError(LocalError::Send { to, errno }),
        }
    }
}
