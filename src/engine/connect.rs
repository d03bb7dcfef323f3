//! The kernel's own handshake, cut short: for callers who may not open a raw socket.
//!
//! A non-blocking `connect()` sends the SYN. Delayed ACKs are enabled (`TCP_QUICKACK` off), so the
//! kernel delays the ACK of the SYN+ACK by 200 ms (`TCP_DELACK_MAX`, see
//! `tcp_rcv_synsent_state_process()`). A socket that is closed before that, with an `SO_LINGER` of
//! zero, ends the connection with RST+ACK, and the server's application never sees it.

mod handshake;
mod overflows;
mod stream;
mod table;

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use socket2::Socket;

use self::handshake::Handshake;
use self::overflows::Overflows;
use self::stream::{Port, stream};
use self::table::Handshakes;
use super::netlink::{Flow, SocketOptions};
use super::per_family::PerFamily;
use super::route::Router;
use super::sockets::{self, errno};
use super::timer::Timer;
use super::{Egress, Engine, EngineConfig, Interrupt, SentSyn};
use crate::attempt::Attempt;
use crate::descriptors::Descriptors;
use crate::event::{Event, HandshakeEnd};
use crate::local_error::{LocalError, SendError};
use crate::wire::Segment;

/// The number of handshakes whose end is read with one system call.
const BATCH: usize = 64;

/// The number of descriptors that belong neither to a handshake nor to a name look-up.
const OTHER_DESCRIPTORS: usize = 32;

/// The most handshakes at a time, however many descriptors there are: each takes almost 8 KiB of
/// kernel memory.
const MAX_HANDSHAKES: usize = 30_000;

/// An engine with a socket per attempt. `epoll` reports which handshakes have ended.
pub(super) struct ConnectEngine {
    start: Instant,
    egress: Egress,
    epoll: Epoll,
    timer: Timer,
    /// The source port of each attempt. If there are fewer ports than attempts, the kernel chooses
    /// for the rest. It may choose a port with connections, but none to that target.
    ports: PerFamily<Vec<Port>>,
    handshakes: Handshakes,
    /// Events of handshakes that were given up, not yet drained.
    given_up: Vec<(Duration, Event)>,
    overflows: Overflows,
    /// Opened when needed: a socket that was opened with `CAP_NET_ADMIN` could change routes, not
    /// only ask for them. A process that keeps that capability cannot open one later.
    router: Option<Router>,
}

impl ConnectEngine {
    /// Opens the engine. Raises the limit on open descriptors as far as possible, and keeps within
    /// it.
    pub(super) fn open(start: Instant, config: &EngineConfig) -> Result<Self, LocalError> {
        let egress = &config.egress;
        let ports = PerFamily::open(config, |domain| {
            sockets::check_source(egress.source, domain)?;
            match sockets::reserve(config.attempts.count(), || Port::reserve(domain, egress)) {
                Err(LocalError::SourcePort(Errno::EADDRINUSE)) => Ok(Vec::new()),
                ports => ports,
            }
        });
        let descriptors = Descriptors::raise().others.saturating_sub(OTHER_DESCRIPTORS);
        Ok(Self {
            start,
            egress: egress.clone(),
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(LocalError::Receive)?,
            timer: Timer::open(start)?,
            ports,
            handshakes: Handshakes::new(descriptors.clamp(1, MAX_HANDSHAKES)),
            given_up: Vec::new(),
            overflows: Overflows::default(),
            router: None,
        })
    }

    /// See [`super::OpenEngine::check_families`].
    pub(super) fn check_families(&self, v4: bool, v6: bool) -> Result<(), LocalError> {
        self.ports.check(v4, v6)
    }

    /// Begins the handshake of an attempt.
    fn begin(&mut self, attempt: &Attempt) -> Result<SentSyn, SendError> {
        let Attempt { remote, index, .. } = *attempt;
        let ports = self.ports.of(remote).map_err(SendError::LocalError)?;
        let port = ports.get(index).map(|port| port.number);
        // From its own port the socket would connect to itself.
        let port = port.filter(|port| *port != remote.port());
        let from_port = port.unwrap_or_default();
        self.handshakes.remove_attempt(remote, index);
        self.make_room();
        let socket = stream(remote, port, &self.egress).map_err(SendError::LocalError)?;
        if self.egress.source.is_some_and(|source| source.is_loopback()) {
            // IPv6 would send from it to other machines.
            self.check_route(remote, from_port, &socket)?;
        }
        let begun = self.now();
        let local = self.connect(&socket, remote, from_port)?;
        let event = EpollEvent::new(EpollFlags::EPOLLOUT, Handshakes::key(&socket));
        let watched = self.epoll.add(&socket, event);
        watched.map_err(|errno| SendError::LocalError(LocalError::Socket(errno)))?;
        self.handshakes.insert(Handshake { socket, local, remote, index, begun, timed_out: false });
        Ok(SentSyn { at: begun, local, syn: None })
    }

    /// Connects `socket`, and returns the local endpoint that the kernel chose.
    fn connect(
        &mut self,
        socket: &Socket,
        remote: SocketAddr,
        from_port: u16,
    ) -> Result<SocketAddr, SendError> {
        match socket.connect(&remote.into()).map_err(|error| errno(&error)) {
            Ok(()) | Err(Errno::EINPROGRESS) => {}
            Err(errno) => return Err(self.send_error(errno, remote, from_port, socket)),
        }
        let local = socket.local_addr().map_err(|error| SendError::LocalError(setup(&error)))?;
        let local = local.as_socket().expect("an internet socket");
        if local == remote {
            // It has connected to itself (RFC 9293 §3.5, figure 7). The next attempt leaves from
            // another port.
            let errno = Errno::EADDRINUSE;
            return Err(SendError::LocalError(LocalError::Send { to: remote, errno }));
        }
        Ok(local)
    }

    /// Returns the router, if it can be opened.
    fn router(&mut self) -> Option<&Router> {
        if self.router.is_none() {
            self.router = Router::open(&self.egress).ok();
        }
        self.router.as_ref()
    }

    /// Checks that the routing table allows a handshake.
    fn check_route(
        &mut self,
        to: SocketAddr,
        from_port: u16,
        socket: &Socket,
    ) -> Result<(), SendError> {
        let from = self.egress.source;
        let flow = Flow { to, from, from_port, options: SocketOptions::of(socket)? };
        self.router().map_or(Ok(()), |router| router.check_connection(flow))
    }

    /// Returns why a handshake could not begin: for a reason of the routing table, or another.
    fn send_error(
        &mut self,
        errno: Errno,
        to: SocketAddr,
        from_port: u16,
        socket: &Socket,
    ) -> SendError {
        match errno {
            Errno::EPERM => SendError::LocalError(LocalError::Firewall(to)),
            errno => {
                let refused = self.check_route(to, from_port, socket).err();
                refused.unwrap_or_else(|| self.port_error(errno, to, from_port))
            }
        }
    }

    /// Returns the meaning of an error that is not the routing table's. There may be no source port
    /// left.
    fn port_error(&self, errno: Errno, to: SocketAddr, from_port: u16) -> SendError {
        match (errno, from_port) {
            (Errno::EADDRNOTAVAIL, 0) if self.handshakes.has(to) => SendError::NoPortLeft,
            (Errno::EADDRNOTAVAIL, 0) => SendError::LocalError(LocalError::SourcePort(errno)),
            _ => SendError::LocalError(LocalError::Send { to, errno }),
        }
    }

    /// Makes room for another handshake, if one has timed out.
    fn make_room(&mut self) {
        let now = self.now();
        let given_up = |Handshake { local, remote, index, .. }| {
            let end = HandshakeEnd::GivenUp;
            (now, Event::Handshake { local, remote, index, retransmissions: 0, end })
        };
        self.given_up.extend(self.handshakes.make_room().into_iter().map(given_up));
    }

    /// Takes a handshake out that has ended, and closes its socket: that sends the RST.
    fn close(&mut self, ready: EpollEvent, now: Duration) -> Option<(Duration, Event)> {
        let handshake = self.handshakes.remove(ready.data())?;
        let Handshake { local, remote, index, .. } = handshake;
        let retransmissions = handshake.retransmissions();
        let (at, mut end) = handshake.end(ready.events(), now)?;
        if let HandshakeEnd::Failed(error) = &mut end {
            match handshake.origin(error, self.router(), now) {
                Some(origin) => error.origin = origin,
                None => end = HandshakeEnd::Aborted,
            }
        }
        Some((at, Event::Handshake { local, remote, index, retransmissions, end }))
    }
}

impl Engine for ConnectEngine {
    fn room(&self) -> usize {
        self.handshakes.room()
    }

    fn timed_out(&mut self, remote: SocketAddr, index: usize) {
        if index == 0 && !self.overflows.are_counted() {
            // Reads the count of overflows, if need be: only later ones concern the attempts that
            // are left.
            self.may_have_dropped_syn(remote);
        }
        self.handshakes.time_out(remote, index);
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn send_syns(
        &mut self,
        attempts: &[Attempt],
        _syn: &dyn Fn(&Attempt, SocketAddr) -> Segment,
    ) -> Vec<Result<SentSyn, SendError>> {
        attempts.iter().map(|attempt| self.begin(attempt)).collect()
    }

    /// The kernel has sent its own RSTs.
    fn send_rsts(&mut self, rsts: &[Segment]) -> Vec<Result<(), LocalError>> {
        rsts.iter().map(|_| Ok(())).collect()
    }

    /// The kernel reports no error if the neighbour table has no room for the next hop of a SYN
    /// (`neigh_alloc()`).
    fn may_have_dropped_syn(&mut self, remote: SocketAddr) -> bool {
        let Some(newest) = self.handshakes.newest(remote) else { return false };
        let (sent_at, flow) = (newest.begun, newest.flow().ok());
        let asked = flow.zip(self.router());
        let count = asked.and_then(|(flow, router)| router.overflows_unless_resolved(flow).ok()?);
        let now = self.now();
        count.is_some_and(|count| self.overflows.may_concern(sent_at, count, now))
    }

    fn cancel(&mut self, remote: SocketAddr) {
        self.handshakes.remove_all(remote);
    }

    fn wait(
        &mut self,
        deadline: Option<Duration>,
        interrupts: &[Interrupt<'_>],
    ) -> Result<(), LocalError> {
        self.timer.wait(deadline, [self.epoll.0.as_fd()].into_iter(), interrupts)
    }

    /// Closes all handshakes that have ended before anything else happens: the kernel delays their
    /// ACKs only for a short time.
    fn drain(
        &mut self,
        events: &mut Vec<(Duration, Event)>,
    ) -> Result<Option<Duration>, LocalError> {
        events.append(&mut self.given_up);
        loop {
            let now = self.now();
            let mut ready = [EpollEvent::empty(); BATCH];
            let count = match self.epoll.wait(&mut ready, EpollTimeout::ZERO) {
                Ok(count) => count,
                Err(Errno::EINTR) => return Ok(None),
                Err(errno) => return Err(LocalError::Receive(errno)),
            };
            events.extend(ready[..count].iter().filter_map(|ready| self.close(*ready, now)));
            if count < BATCH {
                return Ok(Some(now));
            }
        }
    }
}

fn setup(error: &std::io::Error) -> LocalError {
    LocalError::SocketSetup(errno(error))
}
