//! A network that exists only as a rule, and a clock that jumps from event to event.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::{Engine, Interrupt, SentQuestion, SentSyn};
use crate::attempt::{Attempt, SourcePort};
use crate::event::Event;
use crate::local_error::{LocalError, SendError};
use crate::question::{CannotAsk, Question, QuestionKind};
use crate::wire::Segment;

/// The first source port. The next ones follow it.
pub const FIRST_PORT: u16 = 40_000;

/// The rule of a simulated network: what becomes of each segment.
///
/// A closure that returns what [`Network::carry`] returns is such a rule.
pub trait Network {
    /// Returns the events that `segment`, sent at `now`, causes, each with the time until it
    /// arrives.
    fn carry(&mut self, now: Duration, segment: &Segment) -> Vec<(Duration, Event)>;

    /// Returns the events that `question` causes, which leaves from `local` at `now`, each with the
    /// time until it arrives. An echo request leaves from no port.
    ///
    /// By default, its segment is carried as any other, whatever its hop limit, and an echo request
    /// is not answered.
    fn ask(
        &mut self,
        now: Duration,
        question: &Question,
        local: Option<SocketAddr>,
    ) -> Vec<(Duration, Event)> {
        local.map_or_else(Vec::new, |local| self.carry(now, &question.segment(local)))
    }

    /// Returns the source port of `attempt`.
    fn port(&self, attempt: &Attempt) -> u16 {
        match attempt.port {
            SourcePort::Same(port) => port,
            SourcePort::Fresh(count) => FIRST_PORT + u16::try_from(count).expect("few attempts"),
        }
    }

    /// Fails if this machine has no route to `remote` for an attempt.
    fn route(&mut self, _remote: SocketAddr, _index: usize) -> Result<(), SendError> {
        Ok(())
    }

    /// Fails if this machine cannot send `segment`.
    fn admit(&mut self, _segment: &Segment) -> Result<(), LocalError> {
        Ok(())
    }
}

impl<F: FnMut(Duration, &Segment) -> Vec<(Duration, Event)>> Network for F {
    fn carry(&mut self, now: Duration, segment: &Segment) -> Vec<(Duration, Event)> {
        self(now, segment)
    }
}

/// An [`Engine`] over a [`Network`]. Waits take no time.
pub struct SimulatedEngine<N> {
    network: N,
    now: Duration,
    in_flight: BTreeMap<(Duration, usize), Event>,
    carried: usize,
    sent: Vec<(Duration, Segment)>,
}

impl<N: Network> SimulatedEngine<N> {
    /// The local address for IPv4 targets.
    pub const V4: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 1);
    /// The local address for IPv6 targets.
    pub const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

    /// Creates an engine whose clock starts at zero.
    pub fn new(network: N) -> Self {
        Self {
            network,
            now: Duration::ZERO,
            in_flight: BTreeMap::new(),
            carried: 0,
            sent: Vec::new(),
        }
    }

    /// Returns all segments that were sent so far, each with its time.
    pub fn sent(&self) -> &[(Duration, Segment)] {
        &self.sent
    }

    fn send(&mut self, segment: &Segment) -> Result<(), LocalError> {
        self.network.admit(segment)?;
        self.sent.push((self.now, *segment));
        let events = self.network.carry(self.now, segment);
        self.launch(events);
        Ok(())
    }

    fn launch(&mut self, events: Vec<(Duration, Event)>) {
        for (delay, event) in events {
            self.carried += 1;
            self.in_flight.insert((self.now + delay, self.carried), event);
        }
    }

    /// Returns the endpoint that `attempt` leaves from.
    fn local(&self, attempt: &Attempt) -> SocketAddr {
        let port = self.network.port(attempt);
        match attempt.remote {
            SocketAddr::V4(_) => (Self::V4, port).into(),
            SocketAddr::V6(_) => (Self::V6, port).into(),
        }
    }
}

impl<N: Network> Engine for SimulatedEngine<N> {
    fn now(&self) -> Duration {
        self.now
    }

    fn send_syns(
        &mut self,
        attempts: &[Attempt],
        syn: &dyn Fn(&Attempt, SocketAddr) -> Segment,
    ) -> Vec<Result<SentSyn, SendError>> {
        let send = |attempt: &Attempt| {
            let Attempt { remote, index, .. } = *attempt;
            self.network.route(remote, index)?;
            let local = self.local(attempt);
            let syn = syn(attempt, local);
            self.send(&syn).map_err(SendError::LocalError)?;
            Ok(SentSyn { at: self.now, local, syn: Some(syn) })
        };
        attempts.iter().map(send).collect()
    }

    fn ask(&mut self, question: &Question) -> Result<SentQuestion, CannotAsk> {
        let Question { kind, remote, source: port, .. } = *question;
        self.network.route(remote, 0).map_err(|_| CannotAsk::ThisOne)?;
        let local = (kind != QuestionKind::Echo)
            .then(|| self.local(&Attempt { id: 0, remote, index: 0, port, clock: 0 }));
        if let Some(segment) = local.map(|local| question.segment(local)) {
            self.network.admit(&segment).map_err(|_| CannotAsk::ThisOne)?;
            self.sent.push((self.now, segment));
        }
        let events = self.network.ask(self.now, question, local);
        self.launch(events);
        Ok(SentQuestion { at: self.now, local })
    }

    fn send_rsts(&mut self, rsts: &[Segment]) -> Vec<Result<(), LocalError>> {
        rsts.iter().map(|rst| self.send(rst)).collect()
    }

    fn wait(&mut self, deadline: Option<Duration>, _: &[Interrupt<'_>]) -> Result<(), LocalError> {
        let first = self.in_flight.first_key_value().map(|((at, _), _)| *at);
        let until = first.into_iter().chain(deadline).min();
        self.now = self.now.max(until.expect("without a deadline, something is on its way"));
        Ok(())
    }

    fn drain(
        &mut self,
        events: &mut Vec<(Duration, Event)>,
    ) -> Result<Option<Duration>, LocalError> {
        while let Some(entry) = self.in_flight.first_entry().filter(|e| e.key().0 <= self.now) {
            events.push((self.now, entry.remove()));
        }
        Ok(Some(self.now))
    }
}
