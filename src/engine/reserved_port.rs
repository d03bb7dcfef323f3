//! A reserved source port, for which the kernel sends no RST.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::sys::socket::setsockopt;
use nix::{libc, setsockopt_impl, sockopt_impl};
use socket2::{Domain, Socket, Type};

use super::sockets::{apply, bind_interface, errno};
use super::{Egress, filter};
use crate::local_error::LocalError;

/// The hop limit that the socket accepts: that of segments that have crossed no router, and were
/// sent with the highest value.
const MINIMUM_HOP_LIMIT: i32 = 255;

sockopt_impl!(
    /// Drops TCP segments that arrive with a smaller time to live (`IP_MINTTL`).
    MinimumTtl, SetOnly, libc::IPPROTO_IP, libc::IP_MINTTL, i32
);
sockopt_impl!(
    /// Drops TCP segments that arrive with a smaller hop limit (`IPV6_MINHOPCOUNT`).
    MinimumHopCount, SetOnly, libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT, i32
);

/// A listening TCP socket that receives almost nothing.
///
/// Without it, the kernel answers a SYN+ACK for a port that it does not know with an RST: two RSTs
/// would leave, the first one without our mark. With it, the kernel finds a socket for the segment
/// and drops the segment for its hop limit (`tcp_v4_rcv`, `tcp_v6_rcv`), after the raw socket has
/// received its copy. It also keeps the port from every other process. No privilege is needed.
///
/// The kernel answers a segment that arrives with hop limit 255 with an RST that carries this
/// socket's mark, but not its code point or time to live. If those are wanted, a filter makes the
/// socket drop everything, which takes `CAP_NET_ADMIN`.
pub(super) struct ReservedPort {
    _socket: Socket,
    port: u16,
    drops_everything: bool,
}

impl ReservedPort {
    /// Reserves a free port on all addresses of this machine.
    pub(super) fn open(domain: Domain, egress: &Egress) -> Result<Self, LocalError> {
        let socket = Socket::new(domain, Type::STREAM, None).map_err(source_port)?;
        apply(egress, &socket, domain)?;
        bind_interface(egress, &socket)?;
        let any = if domain == Domain::IPV4 {
            setsockopt(&socket, MinimumTtl, &MINIMUM_HOP_LIMIT).map_err(LocalError::SourcePort)?;
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
        } else {
            setsockopt(&socket, MinimumHopCount, &MINIMUM_HOP_LIMIT)
                .map_err(LocalError::SourcePort)?;
            socket.set_only_v6(true).map_err(source_port)?;
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))
        };
        let drops_everything = (egress.dscp.is_some() || egress.ttl.is_some())
            && socket.attach_filter(&filter::to_ports(domain, &[])).is_ok();
        socket.bind(&any.into()).map_err(source_port)?;
        socket.listen(1).map_err(source_port)?;
        let bound = socket.local_addr().map_err(source_port)?.as_socket();
        let port = bound.expect("an internet socket").port();
        Ok(Self { _socket: socket, port, drops_everything })
    }

    /// Returns the port, which is reserved as long as this lives.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Returns true if the kernel sends the RST that a segment with this hop limit calls for.
    pub(super) fn lets_kernel_reset(&self, hop_limit: u8) -> bool {
        !self.drops_everything && i32::from(hop_limit) >= MINIMUM_HOP_LIMIT
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn source_port(error: std::io::Error) -> LocalError {
    LocalError::SourcePort(errno(&error))
}
