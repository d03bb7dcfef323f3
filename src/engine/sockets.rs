//! Opens sockets and sets their options as the operator wants them.

use std::fmt::Display;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{SockaddrIn, SockaddrStorage, connect, setsockopt, sockopt};
use nix::{libc, setsockopt_impl, sockopt_impl};
use socket2::{Domain, Protocol, Socket, Type};

use super::Egress;
use crate::local_error::LocalError;

sockopt_impl!(
    /// Leaves the choice of the port to `connect()`, which may take one that other connections have
    /// (`IP_BIND_ADDRESS_NO_PORT`).
    BindAddressNoPort, SetOnly, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, bool
);
sockopt_impl!(
    /// Whether routers may fragment datagrams (`IP_MTU_DISCOVER`).
    PathMtuDiscovery, SetOnly, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, i32
);

/// Opens a raw TCP socket that sends as `egress` says, which takes `CAP_NET_RAW`.
pub(super) fn raw(domain: Domain, egress: &Egress) -> Result<Socket, LocalError> {
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::TCP))
        .map_err(|error| LocalError::RawSocket(errno(&error)))?;
    if domain == Domain::IPV4 {
        // The DF bit is set in any case. This saves the kernel from choosing an identification
        // (`__ip_select_ident()`), a tenth of the cost of a SYN. An atomic datagram needs none (RFC
        // 6864 §4.1).
        setsockopt(&socket, PathMtuDiscovery, &libc::IP_PMTUDISC_PROBE)
            .map_err(LocalError::SocketSetup)?;
    }
    apply(egress, &socket, domain)?;
    bind_interface(egress, &socket)?;
    check_source(egress.source, domain)?;
    bind_source(&socket, egress.source)?;
    Ok(socket)
}

/// Fails if `address` is not one of this machine's. `bind()` takes any other as well if
/// `net.ipv4.ip_nonlocal_bind` is set.
pub(super) fn check_own_address(address: IpAddr) -> Result<(), LocalError> {
    let mut interfaces = getifaddrs().map_err(LocalError::SocketSetup)?;
    let assigned = interfaces.any(|interface| interface.address.and_then(ip) == Some(address));
    if assigned || address.is_loopback() || is_locally_routed(address)? {
        Ok(())
    } else {
        Err(LocalError::Source { address, errno: Errno::EADDRNOTAVAIL })
    }
}

fn ip(address: SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| v4.ip().into());
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| v6.ip().into()))
}

/// Reserves `count` source ports, or fewer if there are no more. Fails if there is none.
pub(super) fn reserve<T>(
    count: usize,
    mut port: impl FnMut() -> Result<T, LocalError>,
) -> Result<Vec<T>, LocalError> {
    let mut ports = Vec::with_capacity(count);
    while ports.len() < count {
        match port() {
            Err(LocalError::SourcePort(Errno::EADDRINUSE)) if !ports.is_empty() => break,
            one => ports.push(one?),
        }
    }
    Ok(ports)
}

/// Returns true if `address` is in a block that routing delivers to this machine (`ip route add
/// local`): segments to such an address also leave from it.
fn is_locally_routed(address: IpAddr) -> Result<bool, LocalError> {
    let there = SocketAddr::new(address, 0);
    let socket = datagram(Domain::for_address(there))?;
    let connected = socket.connect(&there.into()).and_then(|()| socket.local_addr());
    let local = connected.ok().and_then(|local| local.as_socket());
    Ok(local.is_some_and(|local| local.ip() == address))
}

/// Returns true if the privilege that is left is enough to mark another socket, and to bind it to
/// an interface, as `egress` says. Kernels differ (`sk_setsockopt()`: `CAP_NET_RAW` may mark from
/// Linux 5.17 on, and binding takes no privilege from 5.7 on).
pub(super) fn can_open_another(egress: &Egress) -> bool {
    let Egress { mark, interface, .. } = egress;
    if mark.is_none() && interface.is_none() {
        return true;
    }
    // The family does not matter to these options.
    let socket = [Domain::IPV4, Domain::IPV6].into_iter().find_map(|domain| datagram(domain).ok());
    socket.is_some_and(|socket| {
        mark.is_none_or(|mark| socket.set_mark(mark).is_ok())
            && bind_interface(egress, &socket).is_ok()
    })
}

/// Opens a socket to look up routes with, which takes no privilege.
pub(super) fn datagram(domain: Domain) -> Result<Socket, LocalError> {
    Socket::new(domain, Type::DGRAM, None).map_err(|error| LocalError::Socket(errno(&error)))
}

/// Opens a raw TCP socket that sends, but receives nothing.
pub(super) fn send_only(domain: Domain, egress: &Egress) -> Result<Socket, LocalError> {
    let socket = raw(domain, egress)?;
    disconnect(&socket, egress.source)?;
    // Without that, a segment that finds no room counts as sent (`raw_send_hdrinc()`).
    if domain == Domain::IPV4 {
        setsockopt(&socket, sockopt::Ipv4RecvErr, &true)
    } else {
        setsockopt(&socket, sockopt::Ipv6RecvErr, &true)
    }
    .map_err(LocalError::SocketSetup)?;
    Ok(socket)
}

/// Forgets the peer of `socket`, its source address, and everything that it is bound to, and takes
/// it off the list of sockets that receive segments (`__udp_disconnect()`). The interface, even if
/// a preloaded hook has set it, and `source` are set again.
pub(super) fn disconnect(socket: &Socket, source: Option<IpAddr>) -> Result<(), LocalError> {
    let device = socket.device().map_err(|error| LocalError::SocketSetup(errno(&error)))?;
    let nobody = SockaddrIn::from(libc::sockaddr_in {
        sin_family: libc::AF_UNSPEC.try_into().expect("zero"),
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: 0 },
        sin_zero: [0; 8],
    });
    connect(socket.as_raw_fd(), &nobody).map_err(LocalError::SocketSetup)?;
    if device.is_some() {
        socket
            .bind_device(device.as_deref())
            .map_err(|error| LocalError::SocketSetup(errno(&error)))?;
    }
    bind_source(socket, source)
}

/// Binds `socket` to `source`, if there is one.
fn bind_source(socket: &Socket, source: Option<IpAddr>) -> Result<(), LocalError> {
    source.map_or(Ok(()), |source| bind_address(socket, source))
}

/// Binds `socket` to an address of this machine, or to none if it is the unspecified one. Takes no
/// privilege.
pub(super) fn bind_address(socket: &Socket, address: IpAddr) -> Result<(), LocalError> {
    let source = SocketAddr::new(address, 0);
    socket
        .bind(&source.into())
        .map_err(|error| LocalError::Source { address, errno: errno(&error) })
}

/// Binds `socket` to an address to which nothing is sent: a reserved multicast address (RFC 5771
/// §4, RFC 4291 §2.7.1). The kernel offers every segment of the machine to each raw socket, and
/// copies it before the socket's filter sees it; but not to one that is bound like this
/// (`raw_v4_match()`, `raw_v6_match()`). A socket that was taken off the list could not be put on
/// it again.
pub(super) fn bind_nowhere(socket: &Socket, domain: Domain) -> Result<(), LocalError> {
    let nowhere = if domain == Domain::IPV4 {
        Ipv4Addr::new(224, 0, 0, 0).into()
    } else {
        Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0).into()
    };
    let nowhere = SocketAddr::new(nowhere, 0);
    socket.bind(&nowhere.into()).map_err(|error| LocalError::SocketSetup(errno(&error)))
}

/// Fails if there is a source address that is not of the family of `domain`.
pub(super) fn check_source(source: Option<IpAddr>, domain: Domain) -> Result<(), LocalError> {
    match source {
        Some(source) if Domain::for_address(SocketAddr::new(source, 0)) != domain => {
            Err(LocalError::SourceFamily(source))
        }
        _ => Ok(()),
    }
}

/// Sets the options of `egress` on `socket`, except those that bind it.
pub(super) fn apply(egress: &Egress, socket: &Socket, domain: Domain) -> Result<(), LocalError> {
    let v4 = domain == Domain::IPV4;
    if let Some(mark) = egress.mark {
        socket.set_mark(mark).map_err(|error| refused("mark", mark, &error))?;
    }
    if let Some(dscp) = egress.dscp {
        let class = u32::from(dscp) << 2; // RFC 2474 §3: the upper six bits
        let set = if v4 { socket.set_tos_v4(class) } else { socket.set_tclass_v6(class) };
        set.map_err(|error| refused("dscp", dscp, &error))?;
    }
    if let Some(ttl) = egress.ttl.map(u32::from) {
        let set = if v4 { socket.set_ttl_v4(ttl) } else { socket.set_unicast_hops_v6(ttl) };
        set.map_err(|error| refused("ttl", ttl, &error))?;
    }
    Ok(())
}

/// Binds `socket` to the interface of `egress`.
pub(super) fn bind_interface(egress: &Egress, socket: &Socket) -> Result<(), LocalError> {
    let Some(interface) = &egress.interface else { return Ok(()) };
    socket
        .bind_device(Some(interface.as_bytes()))
        .map_err(|error| refused("interface", interface, &error))
}

/// Returns the index of the interface that `socket` is bound to, by this program or a preloaded
/// hook, or 0.
pub(super) fn device(socket: &Socket) -> Result<u32, LocalError> {
    let name = socket.device().map_err(|error| LocalError::SocketSetup(errno(&error)))?;
    name.map_or(Ok(0), |name| if_nametoindex(&*name).map_err(LocalError::SocketSetup))
}

fn refused(option: &'static str, value: impl Display, error: &io::Error) -> LocalError {
    LocalError::Option { option, value: value.to_string(), errno: errno(error) }
}

/// Returns the address of a raw socket, which has no port. (For IPv6 the field is the protocol.)
pub(super) fn port_less(mut address: SocketAddr) -> SocketAddr {
    address.set_port(0);
    address
}

/// Returns the error number of a failed system call.
pub(super) fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw)
}
