//! The kernel's own handshake, cut short: for those who may not open a raw socket.
//!
//! A non-blocking `connect()` sends the SYN. Delayed ACKs are asked for (`TCP_QUICKACK` off), so
//! the kernel keeps the ACK of the SYN+ACK back for 200 ms (`TCP_DELACK_MAX`, see
//! `tcp_rcv_synsent_state_process()`); closed before that, with `SO_LINGER` of zero, the connection
//! ends with RST+ACK, and the server's application never hears of it.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use socket2::Socket;

use super::handshaking::Handshaking;
use super::netlink::{Flow, Traits};
use super::per_family::PerFamily;
use super::route::Router;
use super::sockets::{self, errno};
use super::stream::{Port, stream};
use super::timer::Timer;
use super::{Egress, Engine, EngineConfig, Interrupt, SentSyn};
use crate::attempt::Attempt;
use crate::descriptors::Descriptors;
use crate::event::{Event, HandshakeEnd};
use crate::local_error::{LocalError, SendError};
use crate::wire::Segment;

/// Handshakes whose end is taken in at once.
const BATCH: usize = 64;

/// Descriptors that are neither a handshake's nor a name look-up's.
const OWN: usize = 32;

/// Handshakes at once at most, where descriptors abound: each takes almost 8 KiB of kernel memory.
const MOST: usize = 30_000;

/// A socket for each attempt; `epoll` tells which handshakes have ended.
pub(super) struct ConnectEngine {
    start: Instant,
    egress: Egress,
    /// Sockets that may be open at once, each an attempt's.
    limit: usize,
    epoll: Epoll,
    timer: Timer,
    /// The source port of each attempt. Where there are fewer ports, the kernel chooses for the
    /// rest: it knows ports that have connections, but none to that target.
    ports: PerFamily<Vec<Port>>,
    /// By descriptor, as `epoll` names them.
    handshakes: HashMap<u64, Handshaking>,
    of_remote: HashMap<SocketAddr, Vec<u64>>,
    /// Those that have been waited for, and when they began: another may have taken the place of
    /// one since.
    waited_for: VecDeque<(u64, Duration)>,
    /// How many handshakes have been waited for, and go on.
    spare: usize,
    /// What is to be told of those that were given up.
    given_up: Vec<(Duration, Event)>,
    /// Opened when it is needed: a socket opened with `CAP_NET_ADMIN` would be good for more than
    /// questions as long as that is kept. With it none can be opened then.
    router: Option<Router>,
    /// How often neighbour tables had been too full when this was asked last.
    overflows: Option<u64>,
}

impl ConnectEngine {
    /// Raises the limit on open descriptors as far as it may be, and keeps within it.
    pub(super) fn open(start: Instant, config: &EngineConfig) -> Result<Self, LocalError> {
        let egress = &config.egress;
        let ports = PerFamily::open(config, |domain| {
            sockets::check_source(egress.source, domain)?;
            match sockets::reserve(config.attempts(), || Port::reserve(domain, egress)) {
                Err(LocalError::SourcePort(Errno::EADDRINUSE)) => Ok(Vec::new()),
                ports => ports,
            }
        });
        Ok(Self {
            start,
            egress: egress.clone(),
            limit: Descriptors::raise().others.saturating_sub(OWN).clamp(1, MOST),
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(LocalError::Receive)?,
            timer: Timer::open(start)?,
            ports,
            handshakes: HashMap::new(),
            of_remote: HashMap::new(),
            waited_for: VecDeque::new(),
            spare: 0,
            given_up: Vec::new(),
            router: None,
            overflows: None,
        })
    }

    /// See [`super::OpenEngine::check_families`].
    pub(super) fn check_families(&self, v4: bool, v6: bool) -> Result<(), LocalError> {
        self.ports.check(v4, v6)
    }

    fn begin(&mut self, attempt: &Attempt) -> Result<SentSyn, SendError> {
        let Attempt { remote, index, .. } = *attempt;
        let ports = self.ports.of(remote).map_err(SendError::LocalError)?;
        let port = ports.get(index).map(|port| port.number);
        // From its own port it would shake hands with itself.
        let port = port.filter(|port| *port != remote.port());
        let from_port = port.unwrap_or_default();
        if self.overflows.is_none() {
            self.overflows = self.count_overflows();
        }
        self.abandon(remote, index);
        self.make_room();
        let socket = stream(remote, port, &self.egress).map_err(SendError::LocalError)?;
        if self.egress.source.is_some_and(|source| source.is_loopback()) {
            // IPv6 would send from it to other machines.
            self.may_begin(remote, from_port, &socket)?;
        }
        let begun = self.now();
        match socket.connect(&remote.into()).map_err(|error| errno(&error)) {
            Ok(()) | Err(Errno::EINPROGRESS) => {}
            Err(errno) => return Err(self.send_error(errno, remote, from_port, &socket)),
        }
        let local = socket.local_addr().map_err(|error| SendError::LocalError(setup(&error)))?;
        let local = local.as_socket().expect("an internet socket");
        if local == remote {
            // It has shaken hands with itself (RFC 9293 §3.5, figure 7): the next attempt asks from
            // another port.
            return Err(SendError::LocalError(LocalError::Send {
                to: remote,
                errno: Errno::EADDRINUSE,
            }));
        }
        let key = u64::try_from(socket.as_raw_fd()).expect("descriptors are not negative");
        let watched = self.epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLOUT, key));
        watched.map_err(|errno| SendError::LocalError(LocalError::Socket(errno)))?;
        let handshaking = Handshaking { socket, local, remote, index, begun, waited_for: false };
        self.handshakes.insert(key, handshaking);
        self.of_remote.entry(remote).or_default().push(key);
        Ok(SentSyn { at: begun, local, syn: None })
    }

    /// Who can be asked for routes, if anybody.
    fn router(&mut self) -> Option<&Router> {
        if self.router.is_none() {
            self.router = Router::open(&self.egress).ok();
        }
        self.router.as_ref()
    }

    /// Gives up the handshake of an attempt that is made again: the same endpoints have only one.
    fn abandon(&mut self, remote: SocketAddr, index: usize) {
        let mut keys = self.of_remote.get(&remote).into_iter().flatten();
        let same = |key: &&u64| {
            self.handshakes.get(key).is_some_and(|handshaking| handshaking.index == index)
        };
        if let Some(key) = keys.find(same).copied() {
            self.remove(key);
        }
    }

    fn count_overflows(&mut self) -> Option<u64> {
        self.router().and_then(|router| router.neighbour_overflows().ok())
    }

    /// Fails where the routing table has something against a handshake.
    fn may_begin(
        &mut self,
        to: SocketAddr,
        from_port: u16,
        socket: &Socket,
    ) -> Result<(), SendError> {
        let from = self.egress.source;
        let flow = Flow { to, from, from_port, traits: Traits::of(socket)? };
        self.router().and_then(|router| router.send_error(flow)).map_or(Ok(()), Err)
    }

    /// Why a handshake could not begin: what the routing table says, or nothing that it knows of.
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
                let refused = self.may_begin(to, from_port, socket).err();
                refused.unwrap_or_else(|| self.without_port(errno, to, from_port))
            }
        }
    }

    /// What it means that routing has nothing to do with the error: it may be that there is no
    /// source port.
    fn without_port(&self, errno: Errno, to: SocketAddr, from_port: u16) -> SendError {
        let asked = self.of_remote.get(&to).is_some_and(|keys| !keys.is_empty());
        match (errno, from_port) {
            (Errno::EADDRNOTAVAIL, 0) if asked => SendError::NoPortLeft,
            (Errno::EADDRNOTAVAIL, 0) => SendError::LocalError(LocalError::SourcePort(errno)),
            _ => SendError::LocalError(LocalError::Send { to, errno }),
        }
    }

    /// Makes room for another handshake, if there is one that has been waited for. One that has
    /// ended meanwhile is not given up: what became of it is about to be read.
    fn make_room(&mut self) {
        while self.handshakes.len() >= self.limit
            && let Some((key, begun)) = self.waited_for.pop_front()
        {
            let there = self.handshakes.get(&key).filter(|waiting| waiting.begun == begun);
            if there.is_none_or(Handshaking::has_ended) {
                continue;
            }
            let Some(Handshaking { local, remote, index, .. }) = self.remove(key) else {
                continue;
            };
            let end = HandshakeEnd::GivenUp;
            let event = Event::Handshake { local, remote, index, retransmissions: 0, end };
            self.given_up.push((self.now(), event));
        }
    }

    fn remove(&mut self, key: u64) -> Option<Handshaking> {
        let removed = self.handshakes.remove(&key)?;
        self.spare -= usize::from(removed.waited_for);
        if let Some(of_remote) = self.of_remote.get_mut(&removed.remote) {
            of_remote.retain(|other| *other != key);
        }
        Some(removed)
    }

    fn close(&mut self, ready: EpollEvent, now: Duration) -> Option<(Duration, Event)> {
        let handshaking = self.remove(ready.data())?;
        let Handshaking { local, remote, index, .. } = handshaking;
        let retransmissions = handshaking.retransmissions();
        let (at, mut end) = handshaking.end(ready.events(), now)?;
        if let HandshakeEnd::Failed(error) = &mut end {
            error.origin = handshaking.origin(error, self.router());
        }
        Some((at, Event::Handshake { local, remote, index, retransmissions, end }))
    }
}

impl Engine for ConnectEngine {
    fn room(&self) -> usize {
        (self.limit + self.spare).saturating_sub(self.handshakes.len())
    }

    fn timed_out(&mut self, remote: SocketAddr, index: usize) {
        for key in self.of_remote.get(&remote).into_iter().flatten() {
            let handshaking = self.handshakes.get_mut(key);
            let newly = |waiting: &&mut Handshaking| waiting.index == index && !waiting.waited_for;
            if let Some(waiting) = handshaking.filter(newly) {
                waiting.waited_for = true;
                self.spare += 1;
                self.waited_for.push_back((*key, waiting.begun));
            }
        }
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

    /// The kernel has sent its own.
    fn send_rsts(&mut self, rsts: &[Segment]) -> Vec<Result<(), LocalError>> {
        rsts.iter().map(|_| Ok(())).collect()
    }

    /// The kernel does not tell when the neighbour table had no room for the next hop of a SYN
    /// (`neigh_alloc()`).
    fn may_have_dropped_syns(&mut self) -> bool {
        let before = self.overflows;
        self.overflows = self.count_overflows();
        before.zip(self.overflows).is_some_and(|(before, now)| now != before)
    }

    fn cancel(&mut self, remote: SocketAddr) {
        for key in self.of_remote.remove(&remote).into_iter().flatten() {
            self.remove(key);
        }
    }

    fn wait(
        &mut self,
        deadline: Option<Duration>,
        interrupts: &[Interrupt<'_>],
    ) -> Result<(), LocalError> {
        self.timer.wait(deadline, [self.epoll.0.as_fd()].into_iter(), interrupts)
    }

    /// Takes in handshakes that have ended, and closes them: that sends the RST. All of them before
    /// anything else is done, because the kernel's patience with their ACKs is short.
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
