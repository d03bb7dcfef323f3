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

use super::netlink::{Flow, Traits};
use super::recv;
use super::route::Router;
use super::sockets::errno;
use crate::event::HandshakeEnd;
use crate::local_error::LocalError;
use crate::wire::{IcmpError, Meaning, Origin};

sockopt_impl!(
    /// What the kernel knows of a connection (`TCP_INFO`), in words: those that every kernel tells.
    /// `libc::tcp_info` grows, and asking an older kernel for more than it has is a panic in nix.
    Info, GetOnly, libc::IPPROTO_TCP, libc::TCP_INFO, [u32; 26]
);

/// Where in that stand the milliseconds since the last acknowledgement (`tcpi_last_ack_recv`), the
/// round-trip time in microseconds (`tcpi_rtt`), and how many segments were sent again
/// (`tcpi_total_retrans`).
const LAST_ACK: usize = 14;
const ROUND_TRIP: usize = 17;
const RETRANSMISSIONS: usize = 25;

/// The kernel's clock for that ticks every few milliseconds.
const TICKS: Duration = Duration::from_millis(20);

/// A handshake that the kernel makes for us.
pub(super) struct Handshaking {
    pub(super) socket: Socket,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) index: usize,
    pub(super) begun: Duration,
    pub(super) waited_for: bool,
}

impl Handshaking {
    /// True where there is something to be read of its end.
    pub(super) fn has_ended(&self) -> bool {
        let mut watched = [PollFd::new(self.socket.as_fd(), PollFlags::POLLOUT)];
        poll(&mut watched, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    /// How it has ended, and when; `None` where the kernel has only lost its patience with silence.
    /// Whatever came behind the SYN+ACK, an RST, a FIN or an ICMP error, the handshake was
    /// complete.
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
            // An RST that came after the SYN+ACK, not one after a bare SYN. A SYN that was sent
            // again has no measured time.
            Some(Errno::ECONNRESET | Errno::EPIPE) if self.acknowledged(now).is_some() => {
                Some((self.completed(now), HandshakeEnd::Completed))
            }
            Some(Errno::ETIMEDOUT) => None,
            _ => Some((now, HandshakeEnd::Aborted)),
        }
    }

    /// When the SYN+ACK came, which the kernel knows: neither a crowd nor a pause of this program
    /// has delayed it. It has measured the round-trip time; after a retransmission that is the one
    /// of the last SYN, by its time stamp.
    fn completed(&self, now: Duration) -> Duration {
        let measured = self.measured().filter(|_| self.retransmissions() == 0);
        let measured = measured.map(|round_trip| self.begun + round_trip);
        measured.or_else(|| self.acknowledged(now)).unwrap_or(now).min(now)
    }

    /// How often the kernel has sent the SYN again.
    pub(super) fn retransmissions(&self) -> usize {
        let count = self.info().map(|info| info[RETRANSMISSIONS]);
        count.and_then(|count| count.try_into().ok()).unwrap_or_default()
    }

    /// The round-trip time that the kernel has taken from the SYN+ACK.
    fn measured(&self) -> Option<Duration> {
        let round_trip = self.info()?[ROUND_TRIP];
        (round_trip > 0).then(|| Duration::from_micros(round_trip.into()))
    }

    /// When the kernel has last taken an acknowledgement, if it has: before the first one, its
    /// clock counts from long ago.
    fn acknowledged(&self, now: Duration) -> Option<Duration> {
        let last = Duration::from_millis(self.info()?[LAST_ACK].into());
        let at = (now + TICKS).checked_sub(last).filter(|at| *at >= self.begun)?;
        Some(at.saturating_sub(TICKS).max(self.begun))
    }

    fn info(&self) -> Option<[u32; 26]> {
        getsockopt(&self.socket, Info).ok()
    }

    /// Who sent the ICMP error that ended it.
    pub(super) fn origin(&self, error: &IcmpError, router: Option<&Router>) -> Origin {
        let Self { socket, local, remote, .. } = self;
        let asked = |router: &Router| -> Result<_, LocalError> {
            let traits = Traits::of(socket)?;
            let flow =
                Flow { to: *remote, from: Some(local.ip()), from_port: local.port(), traits };
            let from_here = router.is_from_here(error, *remote, traits)?;
            let unreachable = from_here && error.meaning == Meaning::Unreachable;
            Ok((from_here, unreachable && router.awaits_neighbour(flow)?))
        };
        // Where nobody can be asked, the address that the SYN left from is still ours.
        let ours = error.offender == local.ip() && local.ip() != remote.ip();
        let guess = (ours, ours && error.meaning == Meaning::Unreachable);
        let answer = router.and_then(|router| asked(router).ok());
        match answer.unwrap_or(guess) {
            (false, _) => Origin::Network,
            (true, false) => Origin::LocalFirewall,
            (true, true) => Origin::NoNeighbour,
        }
    }

    /// The ICMP error that ended it (kept for `IP_RECVERR` from Linux 5.9 on, `tcp_v4_err()`).
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
