//! Sockets as the operator wants them.

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;

use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use super::Egress;
use crate::fault::Fault;

/// A raw TCP socket that sends as `egress` says. Needs `CAP_NET_RAW`.
pub(super) fn raw(domain: Domain, egress: &Egress) -> Result<Socket, Fault> {
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::TCP))
        .map_err(|error| Fault::RawSocket(errno(&error)))?;
    apply(egress, &socket, domain)?;
    bind(egress, &socket, domain)?;
    Ok(socket)
}

/// Keeps `socket` to the interface and the source address of `egress`.
pub(super) fn bind(egress: &Egress, socket: &Socket, domain: Domain) -> Result<(), Fault> {
    bind_interface(egress, socket)?;
    let Some(address) = egress.source else { return Ok(()) };
    let source = SocketAddr::new(address, 0);
    if Domain::for_address(source) != domain {
        return Err(Fault::SourceFamily(address));
    }
    socket.bind(&source.into()).map_err(|error| Fault::Source { address, errno: errno(&error) })
}

/// Makes `socket` send as `egress` says, but for where it is bound.
pub(super) fn apply(egress: &Egress, socket: &Socket, domain: Domain) -> Result<(), Fault> {
    let v4 = domain == Domain::IPV4;
    if let Some(mark) = egress.mark {
        socket.set_mark(mark).map_err(|error| refused("--mark", mark, &error))?;
    }
    if let Some(dscp) = egress.dscp {
        let class = u32::from(dscp) << 2; // RFC 2474 §3: the upper six bits
        let set = if v4 { socket.set_tos_v4(class) } else { socket.set_tclass_v6(class) };
        set.map_err(|error| refused("--dscp", dscp, &error))?;
    }
    if let Some(ttl) = egress.ttl.map(u32::from) {
        let set = if v4 { socket.set_ttl_v4(ttl) } else { socket.set_unicast_hops_v6(ttl) };
        set.map_err(|error| refused("--ttl", ttl, &error))?;
    }
    Ok(())
}

/// Keeps `socket` to the interface of `egress`.
pub(super) fn bind_interface(egress: &Egress, socket: &Socket) -> Result<(), Fault> {
    let Some(interface) = &egress.interface else { return Ok(()) };
    socket
        .bind_device(Some(interface.as_bytes()))
        .map_err(|error| refused("--interface", interface, &error))
}

fn refused(option: &'static str, value: impl Display, error: &io::Error) -> Fault {
    Fault::Option { option, value: value.to_string(), errno: errno(error) }
}

/// The address of a raw socket, whose port field is the protocol for IPv6 and nothing for IPv4.
pub(super) fn port_less(mut address: SocketAddr) -> SocketAddr {
    address.set_port(0);
    address
}

/// The error number behind an error of a system call.
pub(super) fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw)
}
