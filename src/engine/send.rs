//! Sends segments with `sendmmsg()`.

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

/// How often to repeat a send whose error may be that of another flow.
const SEND_ATTEMPTS: usize = 16;

/// Sends at most a batch of segments that have one source address and one [`PacketInfo`], without
/// waiting for room. They leave with `hop_limit`, or with that of the socket. Returns when each of
/// them left, or why it did not.
pub(super) fn send(
    socket: &Socket,
    segments: &[Segment],
    info: PacketInfo,
    hop_limit: Option<u8>,
) -> Vec<Result<Instant, LocalError>> {
    let hop_limit = hop_limit.map(libc::c_int::from);
    match segments[0].source.ip() {
        IpAddr::V4(source) => {
            let source = if info.source { source } else { Ipv4Addr::UNSPECIFIED };
            let packet_info = from_v4(source, info.device);
            let mut control = vec![ControlMessage::Ipv4PacketInfo(&packet_info)];
            control.extend(hop_limit.as_ref().map(ControlMessage::Ipv4Ttl));
            // The kernel reads up to 36 bytes onto its stack (`____sys_sendmsg()`).
            let space = if hop_limit.is_none() {
                nix::cmsg_space!(libc::in_pktinfo)
            } else {
                nix::cmsg_space!(libc::in_pktinfo, libc::c_int)
            };
            send_all(socket, segments, &control, space)
        }
        IpAddr::V6(source) => {
            let source = if info.source { source } else { Ipv6Addr::UNSPECIFIED };
            let packet_info = from_v6(source, info.device);
            let mut control = vec![ControlMessage::Ipv6PacketInfo(&packet_info)];
            control.extend(hop_limit.as_ref().map(ControlMessage::Ipv6HopLimit));
            let space = if hop_limit.is_none() {
                nix::cmsg_space!(libc::in6_pktinfo)
            } else {
                nix::cmsg_space!(libc::in6_pktinfo, libc::c_int)
            };
            send_all(socket, segments, &control, space)
        }
    }
}

/// Sends segments with as few system calls as possible. `space` has room for `control`, and for no
/// more: what is left over counts as a malformed message.
///
/// With the error queue on, a send fails with the pending ICMP error of any flow of this machine
/// (`sock_error()`). That clears the error, so only one that stays counts. It is never the
/// target's: the kernel has been asked for a route before.
fn send_all(
    socket: &Socket,
    segments: &[Segment],
    control: &[ControlMessage<'_>],
    space: Vec<u8>,
) -> Vec<Result<Instant, LocalError>> {
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
    let mut results = Vec::with_capacity(segments.len());
    let mut headers = MultiHeaders::preallocate(segments.len(), Some(space));
    let mut attempts = 0;
    while results.len() < segments.len() {
        let (raw, done) = (socket.as_raw_fd(), results.len());
        let (bytes, to) = (&bytes[done..], &to[done..]);
        let begun = Instant::now();
        match sendmmsg(raw, &mut headers, bytes, to, control, MsgFlags::MSG_DONTWAIT) {
            Ok(sent) => {
                results.extend(departures(begun, Instant::now(), sent.count()).map(Ok));
                attempts = 0;
            }
            Err(errno) => {
                attempts += 1;
                // A lack of room may concern one neighbour, queue or rule, so the rest are tried.
                let certain = errno == Errno::EPERM || is_shortage(errno);
                if certain || attempts == SEND_ATTEMPTS {
                    results.push(Err(send_error(errno, segments[done].destination)));
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
