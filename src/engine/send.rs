//! Segments to `sendmmsg()`.

use std::io::IoSlice;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::Instant;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg};
use socket2::Socket;

use super::clock::departures;
use super::route::PacketInfo;
use super::sockets::port_less;
use crate::local_error::{LocalError, is_shortage};
use crate::wire::Segment;

/// How often a send is tried whose error may be that of another flow.
const SEND_ATTEMPTS: usize = 16;

/// Sends segments that have one source address and one info, a batch at most, without waiting for
/// room; says when each of them left, or why not.
///
/// With the error queue on, a send fails with the pending ICMP error of any flow of this machine
/// (`sock_error()`); that clears it, so what counts is an error that stays. The target is never to
/// blame: whether there is a route has been asked before.
pub(super) fn send(
    socket: &Socket,
    segments: &[Segment],
    info: PacketInfo,
) -> Vec<Result<Instant, LocalError>> {
    let mut results = Vec::with_capacity(segments.len());
    let (v4, v6);
    let source = match segments[0].source.ip() {
        source if info.source => source,
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let source = match source {
        IpAddr::V4(address) => {
            v4 = from_v4(address, info.device);
            ControlMessage::Ipv4PacketInfo(&v4)
        }
        IpAddr::V6(address) => {
            v6 = from_v6(address, info.device);
            ControlMessage::Ipv6PacketInfo(&v6)
        }
    };
    let control = [source];
    let mut buffers = vec![[0; Segment::LONGEST]; segments.len()];
    let bytes: Vec<_> = segments
        .iter()
        .zip(&mut buffers)
        .map(|(segment, buffer)| [IoSlice::new(segment.emit(buffer))])
        .collect();
    let to: Vec<_> = segments
        .iter()
        .map(|segment| Some(SockaddrStorage::from(port_less(segment.destination))))
        .collect();
    // Up to 36 bytes the kernel takes them on its stack (`____sys_sendmsg()`).
    let space = match segments[0].source {
        SocketAddr::V4(_) => nix::cmsg_space!(libc::in_pktinfo),
        SocketAddr::V6(_) => nix::cmsg_space!(libc::in6_pktinfo),
    };
    let mut headers = MultiHeaders::preallocate(segments.len(), Some(space));
    let (mut done, mut attempts) = (0, 0);
    while done < segments.len() {
        let raw = socket.as_raw_fd();
        let (bytes, to) = (&bytes[done..], &to[done..]);
        let begun = Instant::now();
        match sendmmsg(raw, &mut headers, bytes, to, control, MsgFlags::MSG_DONTWAIT) {
            Ok(sent) => {
                let sent = sent.count();
                results.extend(departures(begun, Instant::now(), sent).map(Ok));
                done += sent;
                attempts = 0;
            }
            Err(errno) => {
                attempts += 1;
                // A lack of room may be that of one neighbour, queue or rule: the rest are asked
                // for themselves.
                let certain = errno == Errno::EPERM || is_shortage(errno);
                if certain || attempts == SEND_ATTEMPTS {
                    results.push(Err(send_error(errno, segments[done].destination)));
                    done += 1;
                    attempts = 0;
                }
            }
        }
    }
    results
}

fn send_error(errno: Errno, to: SocketAddr) -> LocalError {
    match errno {
        Errno::EPERM => LocalError::Firewall(to),
        errno => LocalError::Send { to, errno },
    }
}

fn from_v4(source: Ipv4Addr, device: u32) -> libc::in_pktinfo {
    libc::in_pktinfo {
        ipi_ifindex: device.cast_signed(),
        ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(source.octets()) },
        ipi_addr: libc::in_addr { s_addr: 0 },
    }
}

fn from_v6(source: Ipv6Addr, device: u32) -> libc::in6_pktinfo {
    let ipi6_addr = libc::in6_addr { s6_addr: source.octets() };
    libc::in6_pktinfo { ipi6_ifindex: device, ipi6_addr }
}
