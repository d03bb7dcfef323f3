//! Raw sockets: our own SYN and RST on the wire, answers from the raw socket, ICMP errors from its
//! error queue.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::clock::Clock;
use super::per_family::PerFamily;
use super::raw_socket::{BATCH, RawSocket};
use super::recv::Received;
use super::timer::Timer;
use super::{Egress, Engine, EngineConfig, Interrupt, SentSyn, sockets};
use crate::attempt::Attempt;
use crate::event::Event;
use crate::local_error::{LocalError, SendError};
use crate::wire::Segment;

/// One socket an address family.
pub(super) struct RawEngine {
    clock: Clock,
    egress: Egress,
    retries: u8,
    sockets: PerFamily<RawSocket>,
    timer: Timer,
}

impl RawEngine {
    /// Opens all sockets that it will ever need. That takes `CAP_NET_RAW`; using them takes none.
    pub(super) fn open(start: Instant, config: &EngineConfig) -> Result<Self, LocalError> {
        let clock = Clock::new(start);
        let timer = Timer::open(start)?;
        let EngineConfig { egress, retries, .. } = config;
        let sockets =
            PerFamily::open(config, |domain| RawSocket::open(domain, egress, config.attempts()));
        Ok(Self { clock, egress: egress.clone(), retries: *retries, sockets, timer })
    }

    /// True where no source port could be reserved for a family that may be wanted.
    pub(super) fn lacks_ports(&self) -> bool {
        self.sockets.faults().any(|error| matches!(error, LocalError::SourcePort(_)))
    }

    /// Sends segments, a batch of those with one source address and one aim at a time; says when
    /// each of them left, or why not.
    fn send(&mut self, segments: &[Segment]) -> Vec<Result<Instant, LocalError>> {
        let mut sent = Vec::with_capacity(segments.len());
        let mut alike = |a: &Segment, b: &Segment| {
            let socket = self.sockets.of(a.source);
            a.source.ip() == b.source.ip()
                && socket.is_ok_and(|socket| socket.aim(a) == socket.aim(b))
        };
        let alike: Vec<_> = segments.chunk_by(&mut alike).collect();
        for segments in alike.into_iter().flat_map(|alike| alike.chunks(BATCH)) {
            match self.sockets.of(segments[0].source) {
                Ok(socket) => sent.extend(socket.send(segments)),
                Err(error) => sent.extend(segments.iter().map(|_| Err(error.clone()))),
            }
        }
        sent
    }

    /// Takes in a batch of each queue; gives the time where nothing was left behind.
    fn drain(&mut self, events: &mut Vec<(Duration, Event)>) -> Option<Duration> {
        let before = self.clock.moment();
        let mut all = true;
        let mut taken_in = Vec::new();
        for socket in self.sockets.iter_mut() {
            all &= socket.drain(&mut taken_in);
        }
        let read = self.clock.moment();
        events.extend(
            taken_in
                .into_iter()
                .map(|Received { stamp, event }| (self.clock.arrival(stamp, read), event)),
        );
        if all {
            self.clock.seen_empty(before);
        }
        all.then_some(before.at)
    }
}

impl Engine for RawEngine {
    fn name(&self) -> &'static str {
        "raw"
    }

    fn ready(&self, v4: bool, v6: bool) -> Result<(), LocalError> {
        self.sockets.ready(v4, v6)
    }

    fn enable_batching(&mut self) -> usize {
        self.sockets.iter_mut().map(RawSocket::enable_batching).min().unwrap_or_default()
    }

    fn room(&self) -> usize {
        usize::MAX
    }

    fn waited_for(&mut self, _remote: SocketAddr, _number: usize) {}

    fn can_go_on(&self) -> bool {
        let mark = None; // is on the sockets already
        sockets::can_open_another(&Egress { mark, ..self.egress.clone() })
    }

    fn retries(&self) -> u8 {
        self.retries
    }

    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn send_syns(
        &mut self,
        attempts: &[Attempt],
        syn: &dyn Fn(SocketAddr, SocketAddr) -> Segment,
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
            Some(syn(*local, attempt.remote))
        });
        let syns: Vec<_> = ready.collect();
        let mut sent = self.send(&syns).into_iter().zip(&syns);
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

    fn send_resets(&mut self, resets: &[Segment]) -> Vec<Result<(), LocalError>> {
        self.send(resets).into_iter().map(|result| result.map(drop)).collect()
    }

    fn owes_resets(&self) -> bool {
        self.sockets.iter().any(RawSocket::owes_resets)
    }

    fn take_returned(&mut self) -> Vec<Segment> {
        self.sockets.iter().flat_map(RawSocket::take_returned).collect()
    }

    fn release(&mut self, remote: SocketAddr) {
        if let Ok(socket) = self.sockets.of(remote) {
            socket.release(remote);
        }
    }

    fn receive(
        &mut self,
        deadline: Duration,
        interrupts: &[Interrupt<'_>],
        events: &mut Vec<(Duration, Event)>,
    ) -> Result<Option<Duration>, LocalError> {
        let heard = self.drain(events);
        if !events.is_empty() || heard.is_none() || deadline <= self.now() {
            return Ok(heard);
        }
        let queues = self.sockets.iter().map(AsFd::as_fd);
        self.timer.wait(deadline, queues, interrupts)?;
        Ok(self.drain(events))
    }
}

/// Why a SYN could not be sent from `source`: that may be gone.
fn cause(error: LocalError, source: Option<IpAddr>) -> LocalError {
    match (&error, source) {
        (LocalError::Send { errno: Errno::EINVAL, .. }, Some(source)) => {
            sockets::own(source).err().unwrap_or(error)
        }
        _ => error,
    }
}
