//! A handshake that the kernel makes, and how it ended.

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::EpollFlags;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, getsockopt, recvmsg};
use nix::{getsockopt_impl, sockopt_impl};
use socket2::Socket;

use crate::engine::netlink::{Flow, SocketOptions};
use crate::engine::recv;
use crate::engine::route::Router;
use crate::engine::sockets::errno;
use crate::event::HandshakeEnd;
use crate::local_error::LocalError;
use crate::wire::{IcmpError, Meaning, Origin};

sockopt_impl!(
    /// The state of a connection (`TCP_INFO`): the 32-bit words that every kernel returns.
    /// `libc::tcp_info` grows, and nix panics if an older kernel returns less than was asked for.
    Info, GetOnly, libc::IPPROTO_TCP, libc::TCP_INFO, [u32; 26]
);

/// The index of `tcpi_last_ack_recv`, milliseconds.
const LAST_ACK: usize = 14;

/// The index of `tcpi_rtt`, microseconds.
const ROUND_TRIP: usize = 17;

/// The index of `tcpi_total_retrans`.
const RETRANSMISSIONS: usize = 25;

/// The error of `tcpi_last_ack_recv`: its clock ticks every few milliseconds.
const TICKS: Duration = Duration::from_millis(20);

/// A handshake that the kernel makes for us.
pub(super) struct Handshake {
    pub(super) socket: Socket,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) index: usize,
    pub(super) begun: Duration,
    pub(super) timed_out: bool,
}

impl Handshake {
    /// Returns true if its end can be read.
    pub(super) fn has_ended(&self) -> bool {
        let mut watched = [PollFd::new(self.socket.as_fd(), PollFlags::POLLOUT)];
        poll(&mut watched, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    /// Returns how and when it ended, or `None` if the kernel has only given up after silence. If
    /// an RST, a FIN or an ICMP error came after the SYN+ACK, the handshake was complete.
    pub(super) fn end(&self, flags: EpollFlags, now: Duration) -> Option<(Duration, HandshakeEnd)> {
        let failed = flags.intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP);
        if !failed || self.measured().is_some() {
            return Some((self.completed(now), HandshakeEnd::Completed));
        }
        if let Some(error) = self.icmp_error() {
            return Some((now, HandshakeEnd::Failed(error)));
        }
        match self.socket.take_error().ok().flatten().map(|error| errno(&error)) {
            Some(Errno::ECONNREFUSED) => Some((now, HandshakeEnd::Refused)),
            // The RST came after a SYN+ACK, not after a bare SYN. After a retransmission the kernel
            // has measured no round-trip time.
            Some(Errno::ECONNRESET | Errno::EPIPE) if self.acknowledged(now).is_some() => {
                Some((self.completed(now), HandshakeEnd::Completed))
            }
            Some(Errno::ETIMEDOUT) => None,
            _ => Some((now, HandshakeEnd::Aborted)),
        }
    }

    /// Returns when the SYN+ACK arrived. The kernel knows, so other answers and pauses of this
    /// program do not count. It has measured the round-trip time; after a retransmission that is
    /// the one of the last SYN, by its timestamp.
    fn completed(&self, now: Duration) -> Duration {
        let measured = self.measured().filter(|_| self.retransmissions() == 0);
        let measured = measured.map(|round_trip| self.begun + round_trip);
        measured.or_else(|| self.acknowledged(now)).unwrap_or(now).min(now)
    }

    /// Returns how often the kernel has retransmitted the SYN.
    pub(super) fn retransmissions(&self) -> usize {
        let count = self.info().map(|info| info[RETRANSMISSIONS]);
        count.and_then(|count| count.try_into().ok()).unwrap_or_default()
    }

    /// Returns the round-trip time that the kernel has measured by the SYN+ACK.
    fn measured(&self) -> Option<Duration> {
        let round_trip = self.info()?[ROUND_TRIP];
        (round_trip > 0).then(|| Duration::from_micros(round_trip.into()))
    }

    /// Returns when the kernel last received an acknowledgement. Before the first one, the time
    /// that it reports is far in the past.
    fn acknowledged(&self, now: Duration) -> Option<Duration> {
        let last = Duration::from_millis(self.info()?[LAST_ACK].into());
        let at = (now + TICKS).checked_sub(last).filter(|at| *at >= self.begun)?;
        Some(at.saturating_sub(TICKS).max(self.begun))
    }

    fn info(&self) -> Option<[u32; 26]> {
        getsockopt(&self.socket, Info).ok()
    }

    /// Returns what routing sees of its SYN.
    pub(super) fn flow(&self) -> Result<Flow, LocalError> {
        let Self { socket, local, remote, .. } = self;
        let options = SocketOptions::of(socket)?;
        Ok(Flow { to: *remote, from: Some(local.ip()), from_port: local.port(), options })
    }

    /// Returns who sent the ICMP error that ended it, if that can be known at `now`.
    pub(super) fn origin(
        &self,
        error: &IcmpError,
        router: Option<&Router>,
        now: Duration,
    ) -> Option<Origin> {
        let Self { local, remote, .. } = self;
        let asked = |router: &Router| -> Result<_, LocalError> {
            let flow = self.flow()?;
            if !router.has_not_left(error, *remote, flow.options)? {
                return Ok(Some(Origin::Network));
            }
            if !error.is_host_unreachable() {
                return Ok(Some(Origin::LocalFirewall));
            }
            let sent_ago = now.saturating_sub(self.begun);
            let failed = router.has_neighbour_failed(flow, sent_ago)?;
            Ok(failed
                .map(|failed| if failed { Origin::NoNeighbour } else { Origin::LocalFirewall }))
        };
        router.and_then(|router| asked(router).ok()).unwrap_or_else(|| {
            // Without a router, the address that the SYN left from is known to be ours.
            match (error.offender == local.ip(), error.is_host_unreachable()) {
                _ if local.ip() == remote.ip() || error.meaning == Meaning::HopsExceeded => {
                    Some(Origin::Network)
                }
                (false, _) => Some(Origin::Network),
                (true, false) => Some(Origin::LocalFirewall),
                (true, true) => None,
            }
        })
    }

    /// Returns the ICMP error that ended it (the kernel keeps it from Linux 5.9 on,
    /// `tcp_v4_err()`).
    fn icmp_error(&self) -> Option<IcmpError> {
        let mut space = nix::cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6);
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let descriptor = self.socket.as_raw_fd();
        let message =
            recvmsg::<SockaddrStorage>(descriptor, &mut [], Some(&mut space), flags).ok()?;
        let mut controls = message.cmsgs().ok()?;
        controls.find_map(|control: ControlMessageOwned| recv::read_error(&control))
    }
}
