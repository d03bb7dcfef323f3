//! The kernel's own handshake, cut short: for callers who may not open a raw socket.
//!
//! A non-blocking `connect()` sends the SYN. Delayed ACKs are enabled (`TCP_QUICKACK` off), so the
//! kernel delays the ACK of the SYN+ACK by 200 ms (`TCP_DELACK_MAX`, see
//! `tcp_rcv_synsent_state_process()`). A socket that is closed before that, with an `SO_LINGER` of
//! zero, ends the connection with RST+ACK, and the server's application never sees it.

mod handshake;
mod overflows;
mod questions;
mod routing;
mod stream;
mod table;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use socket2::Socket;

use self::handshake::Handshake;
use self::overflows::Overflows;
use self::stream::{Port, setup, stream};
use self::table::Handshakes;
use super::per_family::PerFamily;
use super::ping::{self, PingSocket};
use super::recv::Received;
use super::route::Router;
use super::sockets::{self, errno};
use super::surroundings::Surveyor;
use super::timer::Timer;
use super::{Egress, Engine, EngineConfig, Interrupt, SentQuestion, SentSyn};
use crate::attempt::Attempt;
use crate::event::{Event, HandshakeEnd};
use crate::local_error::{LocalError, SendError};
use crate::question::{CannotAsk, Question, QuestionKind};
use crate::surroundings::Surroundings;
use crate::wire::Segment;

/// The number of handshakes whose end is read with one system call.
const BATCH: usize = 64;

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
    /// For echo requests, if questions will be asked.
    pings: Option<PerFamily<PingSocket>>,
    /// How many questions were asked by SYN.
    questions: usize,
    /// Those that are under way, oldest first, and when they began.
    asking: VecDeque<(SocketAddr, usize, Duration)>,
    /// If the engine was opened to explain.
    surveyor: Option<Surveyor>,
}

impl ConnectEngine {
    /// Opens the engine. Raises the limit on open descriptors as far as possible, and keeps within
    /// it, if no other engine of this process opens sockets.
    pub(super) fn open(start: Instant, config: &EngineConfig) -> Result<Self, LocalError> {
        let egress = &config.egress;
        let ports = PerFamily::open(config, |domain| {
            sockets::check_source(egress.source, domain)?;
            match sockets::reserve(config.attempts.count(), || Port::reserve(domain, egress)) {
                Err(LocalError::SourcePort(Errno::EADDRINUSE)) => Ok(Vec::new()),
                ports => ports,
            }
        });
        Ok(Self {
            start,
            egress: egress.clone(),
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(LocalError::Receive)?,
            timer: Timer::open(start)?,
            ports,
            handshakes: Handshakes::new(),
            given_up: Vec::new(),
            overflows: Overflows::default(),
            router: None,
            pings: config
                .explain
                .then(|| PerFamily::open(config, |domain| PingSocket::open(domain, egress))),
            questions: 0,
            asking: VecDeque::new(),
            surveyor: config.explain.then(Surveyor::open),
        })
    }

    /// Sets how many handshakes there may be at once.
    pub(super) fn limit(&mut self, handshakes: usize) {
        self.handshakes.limit(handshakes);
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
        self.handshakes.remove_attempt(remote, index);
        self.make_room();
        let egress = self.egress.clone();
        self.begin_from(port, &egress, remote, index)
    }

    /// Begins a handshake from `port`, or from one that the kernel chooses.
    fn begin_from(
        &mut self,
        port: Option<u16>,
        egress: &Egress,
        remote: SocketAddr,
        index: usize,
    ) -> Result<SentSyn, SendError> {
        let from_port = port.unwrap_or_default();
        let socket = stream(remote, port, egress).map_err(SendError::LocalError)?;
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

    fn ask(&mut self, question: &Question) -> Result<SentQuestion, CannotAsk> {
        match question.kind {
            QuestionKind::Ack => Err(CannotAsk::Kind("only raw sockets can".to_owned())),
            QuestionKind::Echo => {
                let left = ping::ask(self.pings.as_mut(), question)?;
                Ok(SentQuestion { at: left.saturating_duration_since(self.start), local: None })
            }
            QuestionKind::Syn => self.ask_by_syn(question),
        }
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

    fn surroundings(&mut self, _: u32, to: SocketAddr, from: Option<SocketAddr>) -> Surroundings {
        self.known_surroundings(to, from).unwrap_or_default()
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let pings = self.pings.iter().flat_map(PerFamily::iter).map(AsFd::as_fd);
        pings.chain([self.epoll.0.as_fd()]).collect()
    }

    fn cancel(&mut self, remote: SocketAddr) {
        self.handshakes.remove_all(remote);
    }

    fn wait(
        &mut self,
        deadline: Option<Duration>,
        interrupts: &[Interrupt<'_>],
    ) -> Result<(), LocalError> {
        let given_up = self.next_question_given_up();
        let deadline = deadline.into_iter().chain(given_up).min();
        self.timer.wait(deadline, self.descriptors().into_iter(), interrupts)
    }

    /// Closes all handshakes that have ended before anything else happens: the kernel delays their
    /// ACKs only for a short time.
    fn drain(
        &mut self,
        events: &mut Vec<(Duration, Event)>,
    ) -> Result<Option<Duration>, LocalError> {
        events.append(&mut self.given_up);
        let mut replies = Vec::new();
        ping::drain(self.pings.as_ref(), &mut replies);
        let now = self.now();
        events.extend(replies.into_iter().map(|Received { event, .. }| (now, event)));
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
                self.give_up_questions(now);
                return Ok(Some(now));
            }
        }
    }
}
