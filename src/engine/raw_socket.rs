//! The raw socket of one address family, and the source ports of its SYNs.

mod drain;
mod sending;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::sys::socket::{MsgFlags, recv, setsockopt, sockopt};
use socket2::{Domain, Socket};

use super::filter::{self, LONGEST};
use super::netlink::SocketOptions;
use super::recv::Received;
use super::reserved_port::ReservedPort;
use super::route::{PacketInfo, RawRoute, Router};
use super::rst_sender::RstSender;
use super::sockets::{self, errno, port_less};
use super::surroundings::Surveyor;
use super::{Egress, EngineConfig};
use crate::attempt::{Attempt, SourcePort};
use crate::local_error::{LocalError, SendError};
use crate::surroundings::Surroundings;

/// The most segments per system call: that are sent, and that are received if there are many
/// targets.
pub(super) const BATCH: usize = 64;

/// The most segments that are received per system call if there is one target.
const FEW: usize = 4;

/// The most segments that the default receive buffer holds, rounded up.
const LONGEST_QUEUE: usize = 1024;

/// The size of the receive buffer in bytes of kernel memory. A small segment takes about a
/// thousand.
const RECEIVE_BUFFER: usize = 32 << 20;

/// The size of the send buffer in bytes of kernel memory. A SYN to a host on this link that does
/// not answer ARP takes 832 bytes of it for three seconds.
const SEND_BUFFER: usize = 64 << 20;

/// The most kernel memory that a queued answer takes, in bytes.
const ANSWER_SIZE: usize = 1024;

/// Room for one message.
type Buffer = [u8; LONGEST as usize];

/// The raw socket of one address family, and the source ports of its SYNs.
pub(super) struct RawSocket {
    domain: Domain,
    raw: Socket,
    router: Router,
    options: SocketOptions,
    /// Finds source addresses if routes depend on them, which is so in IPv6 only.
    chooser: Option<Socket>,
    /// What the sockets are told about the route of a segment by default.
    default_info: PacketInfo,
    /// What they are told instead for segments to a target from a port, if that differs.
    detours: HashMap<(SocketAddr, u16), PacketInfo>,
    /// Sends RSTs if there are many. Dropped before the reserved ports, so that RSTs leave while
    /// the ports are ours.
    rst_sender: RstSender,
    /// The source ports: one per attempt, or fewer if there are no more.
    reserved_ports: Vec<ReservedPort>,
    /// Ports that other engines of this process have reserved.
    others: Vec<u16>,
    /// How many segments are received per system call.
    batch: usize,
    /// Where received segments are written.
    buffers: Vec<Buffer>,
    /// How many answers found the queue full, as the kernel counts them.
    lost: u32,
    /// How many of them have yet to be reported.
    newly_lost: u32,
    /// The address of this machine that the socket receives at: unspecified for all addresses,
    /// `None` before the first SYN.
    receiving: Option<IpAddr>,
    /// ICMP errors that were read while segments were still queued, which may have arrived earlier.
    held_errors: Vec<Received>,
}

impl RawSocket {
    /// Opens the socket with the source ports that `config` needs, or fewer if there are no more,
    /// and with buffers for many answers.
    ///
    /// Without `CAP_NET_ADMIN`, `net.core.rmem_max` and `net.core.wmem_max` limit the buffers.
    pub(super) fn open(domain: Domain, config: &EngineConfig) -> Result<Self, LocalError> {
        let egress = &config.egress;
        let raw = sockets::raw(domain, egress)?;
        prepare(&raw, domain, config.explain)?;
        let router = Router::open(egress)?;
        let options = SocketOptions::of(&raw)?;
        let chooser =
            (domain == Domain::IPV6).then(|| sockets::send_only(domain, egress)).transpose()?;
        let default_info = router.default_info(domain);
        let rst_sender = RstSender::new(sockets::send_only(domain, egress)?, default_info);
        let reserved_ports =
            sockets::reserve(config.ports(), || ReservedPort::open(domain, egress))?;
        let mut raw_socket = Self {
            domain,
            raw,
            router,
            options,
            chooser,
            default_info,
            detours: HashMap::new(),
            rst_sender,
            reserved_ports,
            others: Vec::new(),
            batch: FEW,
            buffers: Vec::new(),
            lost: 0,
            newly_lost: 0,
            receiving: None,
            held_errors: Vec::new(),
        };
        raw_socket.attach_filter()?;
        raw_socket.empty_queue();
        raw_socket.is_empty();
        raw_socket.newly_lost = 0; // not answers
        Ok(raw_socket)
    }

    /// Prepares for many targets. Returns how many answers the receive queue is certain to hold.
    pub(super) fn enable_batching(&mut self, with_rst_thread: bool) -> usize {
        self.batch = BATCH;
        if self.domain == Domain::IPV4 {
            self.router.open_list();
        }
        if with_rst_thread {
            self.rst_sender.start();
        }
        self.raw.recv_buffer_size().unwrap_or_default() / ANSWER_SIZE
    }

    /// Returns where the SYN of each attempt leaves from. The answers are received from now on.
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

    /// Returns the source port that an attempt asks for.
    fn port(&self, asked: SourcePort) -> u16 {
        match asked {
            SourcePort::Same(port) => port,
            SourcePort::Fresh(count) => {
                self.reserved_ports[count % self.reserved_ports.len()].port()
            }
        }
    }

    /// Returns the reserved ports, with their family.
    pub(super) fn reserved_ports(&self) -> impl Iterator<Item = (Domain, u16)> {
        self.reserved_ports.iter().map(|reserved| (self.domain, reserved.port()))
    }

    /// See [`super::raw::RawEngine::avoid`].
    pub(super) fn avoid(&mut self, reserved: &[(Domain, u16)]) {
        let alike = reserved.iter().filter(|(domain, _)| *domain == self.domain);
        self.others.extend(alike.map(|(_, port)| *port));
    }

    /// Fails if `remote` is one of the reserved ports: its socket would drop the SYN, and the port
    /// would look filtered.
    fn check_not_own_port(&self, remote: SocketAddr) -> Result<(), SendError> {
        let port = remote.port();
        let is_ours = self.reserved_ports.iter().any(|reserved| reserved.port() == port)
            || self.others.contains(&port);
        if is_ours && self.router.is_here(port_less(remote), self.options)? {
            return Err(SendError::OwnPort);
        }
        Ok(())
    }

    /// See [`super::Engine::surroundings`].
    pub(super) fn surroundings(
        &self,
        to: SocketAddr,
        local: Option<SocketAddr>,
        surveyor: &Surveyor,
    ) -> Surroundings {
        surveyor.surroundings(&self.router, to, local, self.options)
    }

    /// Makes the socket receive at the source address of `route`; at all addresses of this machine
    /// once there is a second one. Segments to other addresses are no answers, and passing them
    /// over costs next to nothing. A socket that is not told its source address is not bound to it
    /// either. Some addresses cannot be bound to: those of a VRF, and link-local ones.
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

    /// Makes the kernel drop what is not for a reserved port before it is queued: the kernel offers
    /// every TCP segment to a raw socket, and a few large ones fill its queue.
    fn attach_filter(&self) -> Result<(), LocalError> {
        let ports: Vec<_> = self.reserved_ports.iter().map(ReservedPort::port).collect();
        self.raw
            .attach_filter(&filter::to_ports(self.domain, &ports))
            .map_err(|error| LocalError::SocketSetup(errno(&error)))
    }

    /// Discards what was queued before the filter was attached.
    fn empty_queue(&self) {
        let mut nothing = [0; 1];
        for _ in 0..LONGEST_QUEUE {
            if recv(self.raw.as_raw_fd(), &mut nothing, MsgFlags::MSG_DONTWAIT).is_err() {
                break;
            }
        }
    }
}

impl AsFd for RawSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.raw.as_fd()
    }
}

/// Sets the options of a raw socket that receives. With `hop_limits` it also tells those of ICMP
/// errors over IPv4.
fn prepare(raw: &Socket, domain: Domain, hop_limits: bool) -> Result<(), LocalError> {
    sockets::bind_nowhere(raw, domain)?;
    if domain == Domain::IPV4 {
        setsockopt(raw, sockopt::Ipv4RecvErr, &true)
            .and_then(|()| setsockopt(raw, sockopt::Ipv4RecvTtl, &hop_limits))
    } else {
        setsockopt(raw, sockopt::Ipv6RecvErr, &true)
            .and_then(|()| setsockopt(raw, sockopt::Ipv6RecvPacketInfo, &true))
            .and_then(|()| setsockopt(raw, sockopt::Ipv6RecvHopLimit, &true))
    }
    .map_err(LocalError::SocketSetup)?;
    // Without timestamps, segments count as arriving when they are read.
    let _ = setsockopt(raw, sockopt::ReceiveTimestampns, &true);
    let _ = setsockopt(raw, sockopt::RcvBufForce, &RECEIVE_BUFFER)
        .or_else(|_| setsockopt(raw, sockopt::RcvBuf, &RECEIVE_BUFFER));
    let _ = setsockopt(raw, sockopt::SndBufForce, &SEND_BUFFER)
        .or_else(|_| setsockopt(raw, sockopt::SndBuf, &SEND_BUFFER));
    Ok(())
}
