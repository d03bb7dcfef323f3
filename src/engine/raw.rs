//! Raw sockets: our own SYN and RST on the wire, answers from the raw socket, ICMP errors from its
//! error queue.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use socket2::Domain;

use super::clock::Clock;
use super::per_family::PerFamily;
use super::ping::{self, PingSocket};
use super::raw_socket::{BATCH, RawSocket};
use super::recv::Received;
use super::surroundings::Surveyor;
use super::timer::Timer;
use super::{Egress, Engine, EngineConfig, Interrupt, SentQuestion, SentSyn, sockets};
use crate::attempt::Attempt;
use crate::event::Event;
use crate::local_error::{LocalError, SendError};
use crate::question::{CannotAsk, Question, QuestionKind};
use crate::surroundings::Surroundings;
use crate::wire::Segment;

/// When each of some segments left, or why it did not.
type Sent = Vec<Result<Instant, LocalError>>;

/// An engine with one raw socket per address family.
pub(super) struct RawEngine {
    clock: Clock,
    egress: Egress,
    sockets: PerFamily<RawSocket>,
    /// For echo requests, if questions will be asked.
    pings: Option<PerFamily<PingSocket>>,
    timer: Timer,
    /// If the engine was opened to explain.
    surveyor: Option<Surveyor>,
}

impl RawEngine {
    /// Opens all sockets that it will ever need. That takes `CAP_NET_RAW`; using them takes no
    /// privilege.
    pub(super) fn open(start: Instant, config: &EngineConfig) -> Result<Self, LocalError> {
        let clock = Clock::new(start);
        let timer = Timer::open(start)?;
        let egress = &config.egress;
        let sockets = PerFamily::open(config, |domain| RawSocket::open(domain, config));
        let open_pings = || PerFamily::open(config, |domain| PingSocket::open(domain, egress));
        let pings = config.explain.then(open_pings);
        let surveyor = config.explain.then(Surveyor::open);
        Ok(Self { clock, egress: egress.clone(), sockets, pings, timer, surveyor })
    }

    /// Returns true if another engine may do better: raw sockets cannot be opened, the routing
    /// table cannot be asked, or no source port could be reserved for one of the families.
    pub(super) fn needs_fallback(&self, v4: bool, v6: bool) -> bool {
        let lacks_ports =
            self.sockets.errors().any(|error| matches!(error, LocalError::SourcePort(_)));
        lacks_ports
            || matches!(
                self.check_families(v4, v6),
                Err(LocalError::RawSocket(_) | LocalError::RoutingTable(_))
            )
    }

    /// See [`super::OpenEngine::check_families`].
    pub(super) fn check_families(&self, v4: bool, v6: bool) -> Result<(), LocalError> {
        self.sockets.check(v4, v6)
    }

    /// See [`super::OpenEngine::enable_batching`].
    pub(super) fn enable_batching(&mut self, with_rst_thread: bool) -> usize {
        let windows = self.sockets.iter_mut().map(|socket| socket.enable_batching(with_rst_thread));
        windows.min().unwrap_or_default()
    }

    /// Returns the reserved ports, each with its family.
    pub(super) fn reserved_ports(&self) -> impl Iterator<Item = (Domain, u16)> {
        self.sockets.iter().flat_map(RawSocket::reserved_ports)
    }

    /// Makes a SYN fail that goes to one of these ports on this machine: other engines have
    /// reserved them.
    pub(super) fn avoid(&mut self, reserved: &[(Domain, u16)]) {
        for socket in self.sockets.iter_mut() {
            socket.avoid(reserved);
        }
    }

    /// Hands segments over to their sockets, in batches of those that have one source address and
    /// one [`PacketInfo`]. Returns when each of them left, or why it did not.
    ///
    /// [`PacketInfo`]: super::route::PacketInfo
    fn send(
        &mut self,
        segments: &[Segment],
        hand_over: fn(&RawSocket, &[Segment]) -> Sent,
    ) -> Sent {
        let mut sent = Vec::with_capacity(segments.len());
        let mut alike = |a: &Segment, b: &Segment| {
            let socket = self.sockets.of(a.source);
            a.source.ip() == b.source.ip()
                && socket.is_ok_and(|socket| socket.info(a) == socket.info(b))
        };
        let alike: Vec<_> = segments.chunk_by(&mut alike).collect();
        for segments in alike.into_iter().flat_map(|alike| alike.chunks(BATCH)) {
            match self.sockets.of(segments[0].source) {
                Ok(socket) => sent.extend(hand_over(socket, segments)),
                Err(error) => sent.extend(segments.iter().map(|_| Err(error.clone()))),
            }
        }
        sent
    }
}

impl Engine for RawEngine {
    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn send_syns(
        &mut self,
        attempts: &[Attempt],
        syn: &dyn Fn(&Attempt, SocketAddr) -> Segment,
    ) -> Vec<Result<SentSyn, SendError>> {
        let mut locals = Vec::with_capacity(attempts.len());
        for attempts in attempts.chunk_by(|a, b| a.remote.is_ipv4() == b.remote.is_ipv4()) {
            match self.sockets.of(attempts[0].remote) {
                Ok(socket) => locals.extend(socket.local_endpoints(attempts, &self.egress)),
                Err(error) => {
                    locals.extend(vec![Err(SendError::LocalError(error)); attempts.len()]);
                }
            }
        }
        let ready = locals.iter().zip(attempts).filter_map(|(local, attempt)| {
            let local = local.as_ref().ok()?;
            Some(syn(attempt, *local))
        });
        let syns: Vec<_> = ready.collect();
        let mut sent = self.send(&syns, RawSocket::send).into_iter().zip(&syns);
        let source = self.egress.source;
        let become_of = |local: Result<SocketAddr, SendError>| {
            let local = local?;
            let (result, syn) = sent.next().expect("one for each that was ready");
            let left = result.map_err(|error| SendError::LocalError(cause(error, source)))?;
            let at = self.clock.at(left);
            Ok(SentSyn { at, local, syn: Some(*syn) })
        };
        locals.into_iter().map(become_of).collect()
    }

    fn ask(&mut self, question: &Question) -> Result<SentQuestion, CannotAsk> {
        if question.kind == QuestionKind::Echo {
            let at = self.clock.at(ping::ask(self.pings.as_mut(), question)?);
            return Ok(SentQuestion { at, local: None });
        }
        let socket = self.sockets.of(question.remote).map_err(|_| CannotAsk::ThisOne)?;
        let attempt =
            Attempt { id: 0, remote: question.remote, index: 0, port: question.source, clock: 0 };
        let locals = socket.local_endpoints(&[attempt], &self.egress);
        let local = locals.into_iter().next().expect("one for each attempt");
        let local = local.map_err(|_| CannotAsk::ThisOne)?;
        let left = socket.send_one(&question.segment(local), question.hop_limit);
        let at = self.clock.at(left.map_err(|_| CannotAsk::ThisOne)?);
        Ok(SentQuestion { at, local: Some(local) })
    }

    fn send_rsts(&mut self, rsts: &[Segment]) -> Vec<Result<(), LocalError>> {
        self.send(rsts, RawSocket::send_rsts).into_iter().map(|result| result.map(drop)).collect()
    }

    fn send_clearing_rsts(&mut self, rsts: &[Segment]) -> Vec<Result<(), LocalError>> {
        self.send(rsts, RawSocket::send).into_iter().map(|result| result.map(drop)).collect()
    }

    fn has_pending_rsts(&self) -> bool {
        self.sockets.iter().any(RawSocket::has_pending_rsts)
    }

    fn take_unsent_rsts(&mut self) -> Vec<Segment> {
        self.sockets.iter().flat_map(RawSocket::take_unsent_rsts).collect()
    }

    fn surroundings(&mut self, _: u32, to: SocketAddr, from: Option<SocketAddr>) -> Surroundings {
        match (&self.surveyor, self.sockets.of(to)) {
            (Some(surveyor), Ok(socket)) => socket.surroundings(to, from, surveyor),
            _ => Surroundings::default(),
        }
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let pings = self.pings.iter().flat_map(PerFamily::iter).map(AsFd::as_fd);
        self.sockets.iter().map(AsFd::as_fd).chain(pings).collect()
    }

    fn cancel(&mut self, remote: SocketAddr) {
        if let Ok(socket) = self.sockets.of(remote) {
            socket.forget(remote);
        }
    }

    fn wait(
        &mut self,
        deadline: Option<Duration>,
        interrupts: &[Interrupt<'_>],
    ) -> Result<(), LocalError> {
        let pings = self.pings.iter().flat_map(PerFamily::iter).map(AsFd::as_fd);
        let sockets = self.sockets.iter().map(AsFd::as_fd).chain(pings);
        self.timer.wait(deadline, sockets, interrupts)
    }

    fn drain(
        &mut self,
        events: &mut Vec<(Duration, Event)>,
    ) -> Result<Option<Duration>, LocalError> {
        let before = self.clock.moment();
        let mut all = true;
        let mut received = Vec::new();
        for socket in self.sockets.iter_mut() {
            all &= socket.drain(&mut received)?;
        }
        all &= ping::drain(self.pings.as_ref(), &mut received);
        let read = self.clock.moment();
        let dated = |Received { stamp, event }| (self.clock.arrival(stamp, read), event);
        events.extend(received.into_iter().map(dated));
        if all {
            self.clock.seen_empty(before);
        }
        Ok(all.then_some(before.at))
    }
}

/// Returns why a SYN could not be sent from `source`, which may have been removed.
fn cause(error: LocalError, source: Option<IpAddr>) -> LocalError {
    match (&error, source) {
        (LocalError::Send { errno: Errno::EINVAL, .. }, Some(source)) => {
            sockets::check_own_address(source).err().unwrap_or(error)
        }
        _ => error,
    }
}
