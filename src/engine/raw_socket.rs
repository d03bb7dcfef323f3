//! The raw socket of one address family and the ports that its probes leave from.

mod drain;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Instant;

use nix::sys::socket::{MsgFlags, recv, setsockopt, sockopt};
use socket2::{Domain, Socket};

use super::filter::{self, LONGEST};
use super::netlink::SocketOptions;
use super::recv::Received;
use super::reserved_port::ReservedPort;
use super::route::{PacketInfo, RawRoute, Router};
use super::rst_sender::RstSender;
use super::sockets::{self, errno, port_less};
use super::{Egress, send};
use crate::attempt::{Attempt, SourcePort};
use crate::local_error::{LocalError, SendError};
use crate::wire::{Flags, Segment};

/// Segments handed over with one system call at most, and taken in where there is a crowd.
pub(super) const BATCH: usize = 64;

/// Segments taken in with one system call at most where there is one target.
const FEW: usize = 4;

/// So many RSTs at once are worth a thread.
const CROWD: usize = 16;

/// More segments than the default receive buffer has room for.
const LONGEST_QUEUE: usize = 1024;

/// What the receive queue should hold, bytes of kernel memory; a small segment takes about a
/// thousand.
const RECEIVE_BUFFER: usize = 32 << 20;

/// What may be on its way out, bytes of kernel memory: a SYN to a host of the own link that does
/// not answer ARP is kept for three seconds, 832 bytes of it.
const SEND_BUFFER: usize = 64 << 20;

/// Kernel memory that a queued answer takes at most, bytes.
const ANSWER_SIZE: usize = 1024;

/// Room for one message.
type Buffer = [u8; LONGEST as usize];

/// The raw socket of one address family and the ports that its probes leave from.
pub(super) struct RawSocket {
    domain: Domain,
    raw: Socket,
    router: Router,
    options: SocketOptions,
    /// Chooses source addresses where routes depend on them: IPv6 alone.
    chooser: Option<Socket>,
    /// What the sockets are told of the way that segments take, and of that of segments to a target
    /// from a port, where it is something else.
    default_info: PacketInfo,
    detours: HashMap<(SocketAddr, u16), PacketInfo>,
    /// Sends the RSTs of crowds. Dropped before the reserved ports: RSTs leave while the ports are
    /// ours.
    resets: RstSender,
    /// The source ports: as many as attempts, or fewer where there are no more.
    reserved_ports: Vec<ReservedPort>,
    /// How many segments are taken in with one system call.
    batch: usize,
    /// What they are read into.
    buffers: Vec<Buffer>,
    /// Answers lost to a full queue so far, as the kernel counts them.
    lost: u32,
    /// The address of this machine that answers are received at: unspecified for all of them, none
    /// before the first SYN.
    receiving: Option<IpAddr>,
    /// ICMP errors that have been read while segments were still queued: one of those may have
    /// arrived before.
    held: Vec<Received>,
}

impl RawSocket {
    /// Opens the socket, with a source port for each of `attempts` where there are so many, and
    /// buffers for crowds.
    ///
    /// Without `CAP_NET_ADMIN` the limits of the buffers are `net.core.rmem_max` and
    /// `net.core.wmem_max`.
    pub(super) fn open(
        domain: Domain,
        egress: &Egress,
        attempts: usize,
    ) -> Result<Self, LocalError> {
        let raw = sockets::raw(domain, egress)?;
        sockets::bind_nowhere(&raw, domain)?;
        if domain == Domain::IPV4 {
            setsockopt(&raw, sockopt::Ipv4RecvErr, &true)
        } else {
            setsockopt(&raw, sockopt::Ipv6RecvErr, &true)
                .and_then(|()| setsockopt(&raw, sockopt::Ipv6RecvPacketInfo, &true))
                .and_then(|()| setsockopt(&raw, sockopt::Ipv6RecvHopLimit, &true))
        }
        .map_err(LocalError::SocketSetup)?;
        // Without time stamps, segments arrive when they are read.
        let _ = setsockopt(&raw, sockopt::ReceiveTimestampns, &true);
        let _ = setsockopt(&raw, sockopt::RcvBufForce, &RECEIVE_BUFFER)
            .or_else(|_| setsockopt(&raw, sockopt::RcvBuf, &RECEIVE_BUFFER));
        let _ = setsockopt(&raw, sockopt::SndBufForce, &SEND_BUFFER)
            .or_else(|_| setsockopt(&raw, sockopt::SndBuf, &SEND_BUFFER));
        let router = Router::open(egress)?;
        let options = SocketOptions::of(&raw)?;
        let chooser =
            (domain == Domain::IPV6).then(|| sockets::deaf(domain, egress)).transpose()?;
        let default_info = router.default_info(domain);
        let resets = RstSender::new(sockets::deaf(domain, egress)?, default_info);
        let reserved_ports = sockets::reserve(attempts, || ReservedPort::open(domain, egress))?;
        let mut raw_socket = Self {
            domain,
            raw,
            router,
            options,
            chooser,
            default_info,
            detours: HashMap::new(),
            resets,
            reserved_ports,
            batch: FEW,
            buffers: Vec::new(),
            lost: 0,
            receiving: None,
            held: Vec::new(),
        };
        raw_socket.attach_filter()?;
        raw_socket.empty_queue();
        raw_socket.newly_lost(); // no answers yet
        Ok(raw_socket)
    }

    /// Makes ready for crowds; gives how many answers the receive queue holds for certain.
    pub(super) fn enable_batching(&mut self) -> usize {
        self.batch = BATCH;
        self.resets.start();
        self.raw.recv_buffer_size().unwrap_or_default() / ANSWER_SIZE
    }

    /// Where the SYN of each attempt leaves from. From now on their answers are received.
    pub(super) fn local_endpoints(
        &mut self,
        attempts: &[Attempt],
        egress: &Egress,
    ) -> Vec<Result<SocketAddr, SendError>> {
        let target = |attempt: &Attempt| (attempt.remote, self.port(attempt.port));
        let targets: Vec<_> = attempts.iter().map(target).collect();
        let routes = self.router.raw_routes(&targets, self.options, self.chooser.as_ref());
        let mut locals = Vec::with_capacity(routes.len());
        for (target, route) in targets.into_iter().zip(routes) {
            if let Ok(RawRoute { info, .. }) = &route
                && (*info != self.default_info || !self.detours.is_empty())
            {
                self.detours.insert(target, *info);
            }
            let route = self.check_not_own_port(target.0).and(route);
            let local = route.and_then(|route| {
                self.receive_at(route, egress)?;
                let mut local = route.local;
                local.set_port(target.1);
                Ok(local)
            });
            locals.push(local);
        }
        locals
    }

    fn port(&self, asked: SourcePort) -> u16 {
        match asked {
            SourcePort::Same(port) => port,
            SourcePort::Fresh(count) => {
                self.reserved_ports[count % self.reserved_ports.len()].port()
            }
        }
    }

    /// Fails where `remote` is one of the guarded ports: the guard would drop the SYN, and the port
    /// look filtered.
    fn check_not_own_port(&self, remote: SocketAddr) -> Result<(), SendError> {
        let guarded = self.reserved_ports.iter().any(|guard| guard.port() == remote.port());
        if guarded && self.router.is_here(port_less(remote), self.options)? {
            return Err(SendError::OwnPort);
        }
        Ok(())
    }

    /// What is told of the way that `segment` takes.
    pub(super) fn info(&self, segment: &Segment) -> PacketInfo {
        let of = |detours: &HashMap<_, _>| {
            detours.get(&(segment.destination, segment.source.port())).copied()
        };
        Some(&self.detours)
            .filter(|detours| !detours.is_empty())
            .and_then(of)
            .unwrap_or(self.default_info)
    }

    /// Nothing will be sent to `remote` any more.
    pub(super) fn forget(&mut self, remote: SocketAddr) {
        if !self.detours.is_empty() {
            for guard in &self.reserved_ports {
                self.detours.remove(&(remote, guard.port()));
            }
        }
    }

    /// Receives what comes to the source address of `way`, and to this machine's other addresses
    /// only once there is another source: what is passed over costs next to nothing, and is no
    /// answer anyway. A socket that is not to be told its source address is not bound to it either;
    /// and not every one can be bound to (one of a VRF, a link-local one).
    fn receive_at(&mut self, route: RawRoute, egress: &Egress) -> Result<(), LocalError> {
        let all = match route.local {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let told = egress.source.or(route.info.source.then_some(route.local.ip())).unwrap_or(all);
        if [Some(told), Some(all)].contains(&self.receiving) {
            return Ok(());
        }
        let mut address = if self.receiving.is_none() { told } else { all };
        if sockets::bind_address(&self.raw, address).is_err() {
            address = egress.source.unwrap_or(all);
            sockets::bind_address(&self.raw, address)?;
        }
        self.receiving = Some(address);
        Ok(())
    }

    /// Has the kernel drop what is not for a guarded port before it is queued: a raw socket is
    /// offered every TCP segment of the machine, and a few large ones fill its queue.
    fn attach_filter(&self) -> Result<(), LocalError> {
        let ports: Vec<_> = self.reserved_ports.iter().map(ReservedPort::port).collect();
        self.raw
            .attach_filter(&filter::to_ports(self.domain, &ports))
            .map_err(|error| LocalError::SocketSetup(errno(&error)))
    }

    /// Throws away what was queued before there was a filter, to make room for answers.
    fn empty_queue(&self) {
        let mut nothing = [0; 1];
        for _ in 0..LONGEST_QUEUE {
            if recv(self.raw.as_raw_fd(), &mut nothing, MsgFlags::MSG_DONTWAIT).is_err() {
                break;
            }
        }
    }

    /// Sends segments that have one source address and one info, a batch at most; says when each of
    /// them left, or why not.
    pub(super) fn send(&self, segments: &[Segment]) -> Vec<Result<Instant, LocalError>> {
        let info = self.info(&segments[0]);
        let crowd = segments.len() >= CROWD && segments[0].flags == Flags::RST;
        if crowd && info == self.default_info && self.resets.send(segments) {
            vec![Ok(Instant::now()); segments.len()]
        } else {
            send::send(&self.raw, segments, info)
        }
    }

    /// True while RSTs that were handed over have yet to leave.
    pub(super) fn has_pending_rsts(&self) -> bool {
        self.resets.has_pending()
    }

    /// RSTs that were handed over and found no room.
    pub(super) fn take_unsent_rsts(&self) -> Vec<Segment> {
        self.resets.take_unsent()
    }
}

impl AsFd for RawSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.raw.as_fd()
    }
}
