//! The sockets of the kernel's handshakes, and the source ports that are reserved for them.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Socket, Type};

use crate::engine::Egress;
use crate::engine::sockets::{self, errno};
use crate::local_error::LocalError;

/// How often to look for a source port.
const RESERVATIONS: usize = 16;

/// A source port that no other program can take, and that the attempts with one index at all
/// targets share.
pub(super) struct Port {
    pub(super) number: u16,
    _held: Socket,
}

impl Port {
    /// Finds a free port, and takes it for sockets that share it.
    pub(super) fn reserve(domain: Domain, egress: &Egress) -> Result<Self, LocalError> {
        let any = match domain {
            Domain::IPV4 => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            _ => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let mut attempts = 0;
        loop {
            let found = bound(any, PortUse::Exclusive, egress)?
                .local_addr()
                .map_err(|error| setup(&error))?;
            let found = found.as_socket().expect("an internet socket");
            // The port is free again, so another program may take it first. The kernel offers an
            // exclusive port to no socket that shares ports, and a shared one to no other socket.
            attempts += 1;
            match bound(found, PortUse::Shared, egress) {
                Err(LocalError::SourcePort(Errno::EADDRINUSE)) if attempts < RESERVATIONS => {}
                held => return Ok(Self { number: found.port(), _held: held? }),
            }
        }
    }
}

/// Returns a socket that is ready to connect to `remote`. Without `port`, the kernel chooses one.
pub(super) fn stream(
    remote: SocketAddr,
    port: Option<u16>,
    egress: &Egress,
) -> Result<Socket, LocalError> {
    let (domain, any) = match remote {
        SocketAddr::V4(_) => (Domain::IPV4, Ipv4Addr::UNSPECIFIED.into()),
        SocketAddr::V6(_) => (Domain::IPV6, Ipv6Addr::UNSPECIFIED.into()),
    };
    let local = SocketAddr::new(egress.source.unwrap_or(any), port.unwrap_or_default());
    let socket = bound(local, PortUse::Shared, egress)?;
    socket.set_nonblocking(true).map_err(|error| setup(&error))?;
    socket.set_tcp_quickack(false).map_err(|error| setup(&error))?;
    socket.set_linger(Some(Duration::ZERO)).map_err(|error| setup(&error))?;
    match domain {
        Domain::IPV4 => setsockopt(&socket, sockopt::Ipv4RecvErr, &true),
        _ => setsockopt(&socket, sockopt::Ipv6RecvErr, &true),
    }
    .map_err(LocalError::SocketSetup)?;
    Ok(socket)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PortUse {
    /// No other socket has the port.
    Exclusive,
    /// Other sockets that share it may have it, too.
    Shared,
}

/// Returns a TCP socket that is bound to `local`. A shared port 0 leaves the choice to `connect()`,
/// which may also take a port that has other connections.
fn bound(local: SocketAddr, port: PortUse, egress: &Egress) -> Result<Socket, LocalError> {
    let shared = port == PortUse::Shared;
    let domain = Domain::for_address(local);
    let socket = Socket::new(domain, Type::STREAM, None)
        .map_err(|error| LocalError::Socket(errno(&error)))?;
    sockets::apply(egress, &socket, domain)?;
    sockets::bind_interface(egress, &socket)?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(true).map_err(|error| setup(&error))?;
    }
    socket.set_reuse_address(shared).map_err(|error| setup(&error))?;
    if shared && local.port() == 0 {
        setsockopt(&socket, sockets::BindAddressNoPort, &true).map_err(LocalError::SocketSetup)?;
    }
    match socket.bind(&local.into()).map_err(|error| errno(&error)) {
        Ok(()) => Ok(socket),
        Err(errno) if local.ip().is_unspecified() => Err(LocalError::SourcePort(errno)),
        Err(errno) => Err(LocalError::Source { address: local.ip(), errno }),
    }
}

pub(super) fn setup(error: &std::io::Error) -> LocalError {
    LocalError::SocketSetup(errno(error))
}
