//! Reads what `recvmsg()` returns into an [`Event`].

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::time::Duration;

use nix::libc;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, RecvMsg, SockaddrStorage};

use crate::event::Event;
use crate::wire::{IcmpError, Quote, Segment, Unsound, ipv4};

/// An event, and the kernel's timestamp: the wall clock's time since 1970.
pub(super) struct Received {
    pub(super) stamp: Option<Duration>,
    pub(super) event: Event,
}

/// Reads a message of a raw TCP socket, from its queue or its error queue. Returns `None` if it is
/// malformed.
///
/// In the queue, an IPv4 message begins with the IP header. An IPv6 message does not, and control
/// messages have what the header said. In the error queue, the message is the quoted segment, and
/// its address the one that the segment was sent to.
pub(super) fn read(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Option<Received> {
    let (mut to, mut hop_limit) = (None, None);
    let (mut error, mut stamp) = (None, None);
    for control in message.cmsgs().into_iter().flatten() {
        match control {
            ControlMessageOwned::Ipv6PacketInfo(info) => to = Some(arrived_at(&info)),
            ControlMessageOwned::Ipv6HopLimit(limit) | ControlMessageOwned::Ipv4Ttl(limit) => {
                hop_limit = u8::try_from(limit).ok();
            }
            ControlMessageOwned::ScmTimestampns(time) => stamp = Some(Duration::from(time)),
            other => error = error.or_else(|| read_error(&other)),
        }
    }
    let bytes = message.iovs().next()?;
    let from = message.address.as_ref().and_then(socket_address)?;
    let event = if message.flags.contains(MsgFlags::MSG_ERRQUEUE) {
        Event::Icmp(IcmpError { hop_limit, ..error? }, Quote::parse(from, bytes)?)
    } else {
        let parsed = match from {
            SocketAddr::V4(_) => ipv4::parse(bytes),
            SocketAddr::V6(_) => {
                let hop_limit = hop_limit?;
                Segment::parse(from, to?, bytes).map(|segment| (segment, hop_limit))
            }
        };
        verified(parsed, message.flags.contains(MsgFlags::MSG_TRUNC))?
    };
    Some(Received { stamp, event })
}

/// Returns the event of a segment, given that it was `cut` or not.
fn verified(parsed: Result<(Segment, u8), Unsound>, cut: bool) -> Option<Event> {
    match parsed {
        // Part of a segment cannot be verified.
        Ok((Segment { source, destination, .. }, _)) if cut => {
            Some(Event::WrongChecksum { source, destination })
        }
        Ok((segment, hop_limit)) => {
            Some(Event::Segment { segment, hop_limit, reset_by_kernel: false })
        }
        Err(Unsound::WrongChecksum { source, destination }) => {
            Some(Event::WrongChecksum { source, destination })
        }
        Err(Unsound::Malformed) => None,
    }
}

/// Returns the ICMP error in a control message of an error queue, or `None` for other messages, for
/// errors that do not come from the network, and for those that prove nothing about a port.
pub(super) fn read_error(control: &ControlMessageOwned) -> Option<IcmpError> {
    let (error, origin, offender, scope) = match control {
        ControlMessageOwned::Ipv4RecvErr(error, Some(offender)) => {
            let address = Ipv4Addr::from(u32::from_be(offender.sin_addr.s_addr));
            (error, libc::SO_EE_ORIGIN_ICMP, address.into(), 0)
        }
        ControlMessageOwned::Ipv6RecvErr(error, Some(offender)) => {
            let address = Ipv6Addr::from(offender.sin6_addr.s6_addr);
            (error, libc::SO_EE_ORIGIN_ICMP6, address.into(), offender.sin6_scope_id)
        }
        _ => return None,
    };
    let is_icmp = error.ee_origin == origin;
    let read = is_icmp.then(|| IcmpError::new(error.ee_type, error.ee_code, offender)).flatten()?;
    Some(IcmpError { scope, ..read })
}

/// Returns the internet address that the kernel gave.
pub(super) fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddrV4::from(*v4).into());
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddrV6::from(*v6).into()))
}

/// Returns the local address of a message. A link-local one has the index of its interface as
/// scope.
fn arrived_at(info: &libc::in6_pktinfo) -> SocketAddr {
    let address = Ipv6Addr::from(info.ipi6_addr.s6_addr);
    let scope = if address.is_unicast_link_local() { info.ipi6_ifindex } else { 0 };
    SocketAddrV6::new(address, 0, 0, scope).into()
}
