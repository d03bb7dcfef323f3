//! The raw socket of one address family and the ports that its probes leave from.

use std::collections::HashMap;
use std::io::IoSliceMut;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::socket::{
    MsgFlags, MultiHeaders, SockaddrStorage, getsockopt, recv, recvmmsg, setsockopt, sockopt,
};
use nix::{getsockopt_impl, libc, sockopt_impl};
use socket2::{Domain, Socket};

use super::filter::{self, LONGEST};
use super::guard::Guard;
use super::netlink::Traits;
use super::received::{self, Received};
use super::resets::Resets;
use super::route::{Aim, Router, Way};
use super::sockets::{self, errno, port_less};
use super::{Egress, outbox};
use crate::attempt::{Attempt, SourcePort};
use crate::fault::{Fault, Refusal};
use crate::wire::{Arrival, Flags, Meaning, Origin, Segment};

/// Segments handed over with one system call at most, and taken in where there is a crowd.
pub(super) const BATCH: usize = 64;

/// Segments taken in with one system call at most where there is one target.
const FEW: usize = 4;

/// So many RSTs at once are worth a thread.
const CROWD: usize = 16;

/// More segments than the default receive buffer has room for.
const LONGEST_QUEUE: usize = 1024;

/// How often a queue is asked before the other one has its turn.
const LOOKS: usize = 4;

/// ICMP errors that are held back at most.
const MOST_HELD: usize = 1024;

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

sockopt_impl!(
    /// What a socket holds and what it has dropped (`SO_MEMINFO`).
    MemoryInfo, GetOnly, libc::SOL_SOCKET, libc::SO_MEMINFO, [u32; 9]
);

/// Where in that the dropped messages stand (`SK_MEMINFO_DROPS` of `linux/sock_diag.h`).
const LOST: usize = 8;

/// The raw socket of one address family and the ports that its probes leave from.
pub(super) struct Lane {
    domain: Domain,
    raw: Socket,
    router: Router,
    traits: Traits,
    /// Chooses source addresses where routes depend on them: IPv6 alone.
    chooser: Option<Socket>,
    /// What the sockets are told of the way that segments take, and of that of segments to a target
    /// from a port, where it is something else.
    usual_aim: Aim,
    detours: HashMap<(SocketAddr, u16), Aim>,
    /// Sends the RSTs of crowds. Dropped before the guards: RSTs leave while the ports are ours.
    resets: Resets,
    /// The source ports: as many as tries, or fewer where there are no more.
    guards: Vec<Guard>,
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

impl Lane {
    /// Opens the lane, with a source port for each of `tries` where there are so many, and buffers
    /// for crowds.
    ///
    /// Without `CAP_NET_ADMIN` the limits of the buffers are `net.core.rmem_max` and
    /// `net.core.wmem_max`.
    pub(super) fn open(domain: Domain, egress: &Egress, tries: usize) -> Result<Self, Fault> {
        let raw = sockets::raw(domain, egress)?;
        sockets::bind_nowhere(&raw, domain)?;
        if domain == Domain::IPV4 {
            setsockopt(&raw, sockopt::Ipv4RecvErr, &true)
        } else {
            setsockopt(&raw, sockopt::Ipv6RecvErr, &true)
                .and_then(|()| setsockopt(&raw, sockopt::Ipv6RecvPacketInfo, &true))
                .and_then(|()| setsockopt(&raw, sockopt::Ipv6RecvHopLimit, &true))
        }
        .map_err(Fault::SocketSetup)?;
        // Without time stamps, segments arrive when they are read.
        let _ = setsockopt(&raw, sockopt::ReceiveTimestampns, &true);
        let _ = setsockopt(&raw, sockopt::RcvBufForce, &RECEIVE_BUFFER)
            .or_else(|_| setsockopt(&raw, sockopt::RcvBuf, &RECEIVE_BUFFER));
        let _ = setsockopt(&raw, sockopt::SndBufForce, &SEND_BUFFER)
            .or_else(|_| setsockopt(&raw, sockopt::SndBuf, &SEND_BUFFER));
        let router = Router::open(egress)?;
        let traits = Traits::of(&raw)?;
        let chooser =
            (domain == Domain::IPV6).then(|| sockets::deaf(domain, egress)).transpose()?;
        let usual_aim = router.usual_aim(domain);
        let resets = Resets::new(sockets::deaf(domain, egress)?, usual_aim);
        let guards = sockets::reserve(tries, || Guard::open(domain, egress))?;
        let mut lane = Self {
            domain,
            raw,
            router,
            traits,
            chooser,
            usual_aim,
            detours: HashMap::new(),
            resets,
            guards,
            batch: FEW,
            buffers: Vec::new(),
            lost: 0,
            receiving: None,
            held: Vec::new(),
        };
        lane.attach_filter()?;
        lane.empty_queue();
        lane.newly_lost(); // no answers yet
        Ok(lane)
    }

    /// Makes ready for crowds; gives how many answers the receive queue holds for certain.
    pub(super) fn widen(&mut self) -> usize {
        self.batch = BATCH;
        self.resets.start();
        self.raw.recv_buffer_size().unwrap_or_default() / ANSWER_SIZE
    }

    /// Where the SYN of each attempt leaves from. From now on their answers are received.
    pub(super) fn local_endpoints(
        &mut self,
        attempts: &[Attempt],
        egress: &Egress,
    ) -> Vec<Result<SocketAddr, Refusal>> {
        let target = |attempt: &Attempt| (attempt.remote, self.port(attempt.port));
        let targets: Vec<_> = attempts.iter().map(target).collect();
        let ways = self.router.ways(&targets, self.traits, self.chooser.as_ref());
        let mut locals = Vec::with_capacity(ways.len());
        for (target, way) in targets.into_iter().zip(ways) {
            if let Ok(Way { aim, .. }) = &way
                && (*aim != self.usual_aim || !self.detours.is_empty())
            {
                self.detours.insert(target, *aim);
            }
            let way = self.leave_own_port(target.0).and(way);
            let local = way.and_then(|way| {
                self.receive_at(way, egress)?;
                let mut local = way.local;
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
            SourcePort::Fresh(count) => self.guards[count % self.guards.len()].port(),
        }
    }

    /// Fails where `remote` is one of the guarded ports: the guard would drop the SYN, and the port
    /// look filtered.
    fn leave_own_port(&self, remote: SocketAddr) -> Result<(), Refusal> {
        let guarded = self.guards.iter().any(|guard| guard.port() == remote.port());
        if guarded && self.router.is_here(port_less(remote), self.traits)? {
            return Err(Refusal::OwnPort);
        }
        Ok(())
    }

    /// What is told of the way that `segment` takes.
    pub(super) fn aim(&self, segment: &Segment) -> Aim {
        let of = |detours: &HashMap<_, _>| {
            detours.get(&(segment.destination, segment.source.port())).copied()
        };
        Some(&self.detours)
            .filter(|detours| !detours.is_empty())
            .and_then(of)
            .unwrap_or(self.usual_aim)
    }

    /// Nothing will be sent to `remote` any more.
    pub(super) fn release(&mut self, remote: SocketAddr) {
        if !self.detours.is_empty() {
            for guard in &self.guards {
                self.detours.remove(&(remote, guard.port()));
            }
        }
    }

    /// Receives what comes to the source address of `way`, and to this machine's other addresses
    /// only once there is another source: what is passed over costs next to nothing, and is no
    /// answer anyway. A socket that is not to be told its source address is not bound to it either;
    /// and not every one can be bound to (one of a VRF, a link-local one).
    fn receive_at(&mut self, way: Way, egress: &Egress) -> Result<(), Fault> {
        let all = match way.local {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let told = egress.source.or(way.aim.source.then_some(way.local.ip())).unwrap_or(all);
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
    fn attach_filter(&self) -> Result<(), Fault> {
        let ports: Vec<_> = self.guards.iter().map(Guard::port).collect();
        self.raw
            .attach_filter(&filter::to_ports(self.domain, &ports))
            .map_err(|error| Fault::SocketSetup(errno(&error)))
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

    /// Sends segments that have one source address and one aim, a batch at most; says when each of
    /// them left, or why not.
    pub(super) fn send(&self, segments: &[Segment]) -> Vec<Result<Instant, Fault>> {
        let aim = self.aim(&segments[0]);
        let crowd = segments.len() >= CROWD && segments[0].flags == Flags::RST;
        if crowd && aim == self.usual_aim && self.resets.send(segments) {
            vec![Ok(Instant::now()); segments.len()]
        } else {
            outbox::send(&self.raw, segments, aim)
        }
    }

    /// Takes in a batch of what waits in the socket's queues; true when both were seen empty.
    ///
    /// No ICMP error is handed over before every segment that arrived ahead of it: the error queue
    /// is read first, and its errors wait until the other queue has been seen empty. A SYN+ACK with
    /// an ICMP error behind it is an open port.
    pub(super) fn drain(&mut self, arrivals: &mut Vec<Received>) -> bool {
        let mut held = mem::take(&mut self.held);
        // What is too much to hold stays with the kernel, which limits it.
        let all_errors = held.len() < MOST_HELD && self.read(MsgFlags::MSG_ERRQUEUE, &mut held);
        let all_segments = self.read(MsgFlags::empty(), arrivals);
        let lost = self.newly_lost().map(Arrival::Lost);
        arrivals.extend(lost.map(|arrival| Received { stamp: None, arrival }));
        if all_segments {
            arrivals.append(&mut held);
        }
        self.held = held;
        all_errors && all_segments
    }

    /// Reads a batch, or less, from one of the socket's queues; true when the queue was seen empty.
    /// Fewer messages than there was room for do not prove that, because a pending error ends a
    /// batch, too (`do_recvmmsg()`). It is that of some flow, and cleared by being returned; its
    /// story is in the error queue.
    fn read(&mut self, queue: MsgFlags, arrivals: &mut Vec<Received>) -> bool {
        let mut buffers = mem::take(&mut self.buffers);
        buffers.resize(self.batch, [0; LONGEST as usize]);
        let mut empty = false;
        for _ in 0..LOOKS {
            match self.read_batch(queue, &mut buffers, arrivals) {
                Ok(count) if count == buffers.len() => {
                    self.batch = BATCH; // somebody floods us
                    break;
                }
                Err(Errno::EAGAIN) => {
                    empty = true;
                    break;
                }
                Ok(_) | Err(_) => {}
            }
        }
        self.buffers = buffers;
        empty
    }

    /// Reads what one system call gives, and leaves out what is not for a guarded port; gives how
    /// many messages it was.
    fn read_batch(
        &self,
        queue: MsgFlags,
        buffers: &mut [Buffer],
        arrivals: &mut Vec<Received>,
    ) -> nix::Result<usize> {
        let space = nix::cmsg_space!(
            libc::sock_extended_err,
            libc::sockaddr_in6,
            libc::in6_pktinfo,
            libc::c_int,
            libc::timespec
        );
        let mut bytes: Vec<_> =
            buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(bytes.len(), Some(space));
        let flags = queue | MsgFlags::MSG_DONTWAIT;
        let messages = recvmmsg(self.raw.as_raw_fd(), &mut headers, &mut bytes, flags, None)?;
        let mut count = 0;
        for message in messages {
            count += 1;
            arrivals.extend(received::read(&message).and_then(|read| self.own(read)));
        }
        Ok(count)
    }

    /// How many messages the queue has had no room for since this was asked last. `SO_RXQ_OVFL`
    /// would tell of them with the next message that there is room for; the last ones of a burst
    /// would stay unknown.
    fn newly_lost(&mut self) -> Option<u32> {
        let lost = getsockopt(&self.raw, MemoryInfo).ok()?[LOST];
        let newly = lost.wrapping_sub(mem::replace(&mut self.lost, lost));
        (newly > 0).then_some(newly)
    }

    /// Knows whether the guard of the port that `arrival` is about leaves the RST to us, and
    /// whether an ICMP error comes from this machine.
    fn own(&self, mut received: Received) -> Option<Received> {
        let guard = |port| self.guards.iter().find(|guard| guard.port() == port);
        match &mut received.arrival {
            Arrival::Segment { segment, hop_limit, reset_by_kernel } => {
                let guard = guard(segment.destination.port())?;
                *reset_by_kernel =
                    guard.lets_kernel_reset(*hop_limit) && !segment.flags.contains(Flags::RST);
            }
            Arrival::WrongChecksum { destination, .. } => {
                guard(destination.port())?;
            }
            Arrival::Icmp(error, quote) => {
                guard(quote.local_port)?;
                match self.router.is_from_here(error, quote.remote, self.traits) {
                    Ok(false) => {}
                    // What our own firewall rejects has not left (EPERM): the next hop is meant.
                    Ok(true) if error.meaning == Meaning::Unreachable => {
                        error.origin = Origin::NoNeighbour;
                    }
                    Ok(true) => error.origin = Origin::LocalFirewall,
                    Err(_) => received.arrival = Arrival::Lost(1), // whatever it proves cannot be known
                }
            }
            Arrival::Handshake { .. } | Arrival::Lost(_) => {}
        }
        Some(received)
    }

    /// True while RSTs that were handed over have yet to leave.
    pub(super) fn owes_resets(&self) -> bool {
        self.resets.is_busy()
    }

    /// RSTs that were handed over and found no room.
    pub(super) fn take_returned(&self) -> Vec<Segment> {
        self.resets.take_returned()
    }
}

impl AsFd for Lane {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.raw.as_fd()
    }
}
