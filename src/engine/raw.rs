//! Raw sockets: our own SYN and RST on the wire, answers from the raw socket, ICMP errors from its error queue.

use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{
    ControlMessage, MsgFlags, SockaddrStorage, recv, recvmsg, sendmsg, setsockopt, sockopt,
};
use nix::sys::time::TimeSpec;
use socket2::{Domain, Socket};

use super::filter::{self, LONGEST_HEADERS};
use super::guard::Guard;
use super::sockets::{self, errno, port_less};
use super::{Egress, Engine, received, route};
use crate::checker::Arrival;
use crate::fault::{Fault, Refusal};
use crate::wire::Segment;

/// Answers taken in before what they call for is sent.
const BATCH: usize = 64;

/// More segments than the default receive buffer has room for.
const LONGEST_QUEUE: usize = 1024;

/// How often a send is tried whose error may be that of another flow; see [`Lane::send`].
const SEND_ATTEMPTS: usize = 16;

/// One raw socket an address family.
pub struct RawEngine {
    start: Instant,
    egress: Egress,
    lanes: Vec<Lane>,
}

impl RawEngine {
    /// As on the command line and in reports.
    pub const NAME: &str = "raw";

    /// Opens what is needed to reach `remotes`; time counts from `start`. Needs `CAP_NET_RAW`.
    pub fn open(start: Instant, egress: Egress, remotes: &[SocketAddr]) -> Result<Self, Fault> {
        let mut lanes: Vec<Lane> = Vec::new();
        for &remote in remotes {
            let domain = Domain::for_address(remote);
            if lanes.iter().all(|lane| lane.domain != domain) {
                lanes.push(Lane::open(domain, &egress)?);
            }
        }
        Ok(Self { start, egress, lanes })
    }

    fn drain(&self, arrivals: &mut Vec<(Duration, Arrival)>) {
        for lane in &self.lanes {
            for queue in [MsgFlags::empty(), MsgFlags::MSG_ERRQUEUE] {
                lane.drain(queue, |arrival| arrivals.push((self.now(), arrival)));
            }
        }
    }

    fn lane(&self, remote: SocketAddr) -> usize {
        let domain = Domain::for_address(remote);
        let lane = self.lanes.iter().position(|lane| lane.domain == domain);
        lane.expect("opened for the family of every target")
    }
}

impl Engine for RawEngine {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn local_endpoint(&mut self, remote: SocketAddr, number: usize) -> Result<SocketAddr, Refusal> {
        let mut local = route::source(&self.egress, remote)?;
        let lane = self.lane(remote);
        let port = self.lanes[lane].guarded_port(number, &self.egress).map_err(Refusal::Fault)?;
        local.set_port(port);
        Ok(local)
    }

    fn send(&mut self, segment: &Segment) -> Result<(), Fault> {
        self.lanes[self.lane(segment.destination)].send(segment)
    }

    fn receive(
        &mut self,
        deadline: Duration,
        arrivals: &mut Vec<(Duration, Arrival)>,
    ) -> Result<(), Fault> {
        self.drain(arrivals);
        let patience = deadline.saturating_sub(self.now());
        if !arrivals.is_empty() || patience.is_zero() {
            return Ok(());
        }
        let mut watched: Vec<_> = self
            .lanes
            .iter()
            .map(|lane| PollFd::new(lane.raw.as_fd(), PollFlags::POLLIN))
            .collect();
        match ppoll(&mut watched, Some(TimeSpec::from_duration(patience)), None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(Fault::Receive(errno)),
        }
        self.drain(arrivals);
        Ok(())
    }
}

/// The raw socket of one address family and the ports that its probes leave from.
struct Lane {
    domain: Domain,
    raw: Socket,
    guards: Vec<Guard>,
}

impl Lane {
    fn open(domain: Domain, egress: &Egress) -> Result<Self, Fault> {
        let raw = sockets::raw(domain, egress)?;
        if domain == Domain::IPV4 {
            setsockopt(&raw, sockopt::Ipv4RecvErr, &true)
        } else {
            setsockopt(&raw, sockopt::Ipv6RecvErr, &true)
                .and_then(|()| setsockopt(&raw, sockopt::Ipv6RecvPacketInfo, &true))
                .and_then(|()| setsockopt(&raw, sockopt::Ipv6RecvHopLimit, &true))
        }
        .map_err(Fault::SocketSetup)?;
        Ok(Self { domain, raw, guards: Vec::new() })
    }

    /// The port of try `number`, reserved when it is first asked for.
    fn guarded_port(&mut self, number: usize, egress: &Egress) -> Result<u16, Fault> {
        while self.guards.len() <= number {
            self.guards.push(Guard::open(self.domain, egress)?);
            self.attach_filter()?;
            if self.guards.len() == 1 {
                self.empty_queue();
            }
        }
        Ok(self.guards[number].port())
    }

    /// Has the kernel drop what is not for a guarded port before it is queued: a raw socket is offered every TCP segment
    /// of the machine, and a few large ones fill its queue.
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

    /// The source address is passed along, so that it is the one in the checksum whatever routing says meanwhile.
    ///
    /// With the error queue on, a send fails with the pending ICMP error of any flow of this machine (`sock_error()`);
    /// that clears it, so what counts is an error that stays. The target is never to blame: whether there is a
    /// route has been asked before.
    fn send(&self, segment: &Segment) -> Result<(), Fault> {
        let to = SockaddrStorage::from(port_less(segment.destination));
        let mut buffer = [0; Segment::LONGEST];
        let bytes = [IoSlice::new(segment.emit(&mut buffer))];
        let (v4, v6);
        let source = match segment.source.ip() {
            IpAddr::V4(address) => {
                v4 = libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                ControlMessage::Ipv4PacketInfo(&v4)
            }
            IpAddr::V6(address) => {
                v6 = libc::in6_pktinfo {
                    ipi6_ifindex: 0,
                    ipi6_addr: libc::in6_addr { s6_addr: address.octets() },
                };
                ControlMessage::Ipv6PacketInfo(&v6)
            }
        };
        let control = [source];
        let mut last = Errno::UnknownErrno;
        for _ in 0..SEND_ATTEMPTS {
            let raw = self.raw.as_raw_fd();
            match sendmsg(raw, &bytes, &control, MsgFlags::MSG_DONTWAIT, Some(&to)) {
                Ok(_) => return Ok(()),
                Err(Errno::EPERM) => return Err(Fault::Firewall(segment.destination)),
                Err(errno) => last = errno,
            }
        }
        Err(match last {
            Errno::EACCES => Fault::Broadcast(segment.destination.ip()),
            errno => Fault::Send { to: segment.destination, errno },
        })
    }

    /// Takes in what waits in the socket's queue, or with `MSG_ERRQUEUE` in its error queue, a batch at most, and leaves
    /// out what is not for a guarded port. An error is the pending one of some flow, cleared by being returned; its
    /// story is in the error queue.
    fn drain(&self, queue: MsgFlags, mut take: impl FnMut(Arrival)) {
        let mut buffer = [0; LONGEST_HEADERS as usize];
        let mut control = nix::cmsg_space!(
            libc::sock_extended_err,
            libc::sockaddr_in6,
            libc::in6_pktinfo,
            libc::c_int
        );
        for _ in 0..BATCH {
            let mut bytes = [IoSliceMut::new(&mut buffer)];
            let flags = queue | MsgFlags::MSG_DONTWAIT;
            match recvmsg(self.raw.as_raw_fd(), &mut bytes, Some(&mut control), flags) {
                Ok(message) => {
                    let arrival = received::read(&message);
                    arrival.and_then(|arrival| self.own(arrival)).into_iter().for_each(&mut take);
                }
                Err(Errno::EAGAIN) => return,
                Err(_) => {}
            }
        }
    }

    /// Knows whether the guard of the port that `arrival` is about leaves the RST to us.
    fn own(&self, mut arrival: Arrival) -> Option<Arrival> {
        let guard = self.guards.iter().find(|guard| guard.port() == arrival.local_port())?;
        if let Arrival::Segment { hop_limit, reset_by_kernel, .. } = &mut arrival {
            *reset_by_kernel = guard.lets_kernel_reset(*hop_limit);
        }
        Some(arrival)
    }
}
