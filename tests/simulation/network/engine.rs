//! The engine of simulated runs: it may run out of room, and its kernel may refuse segments.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use halfopen::attempt::{Attempt, Attempts};
use halfopen::engine::simulated::{Network, SimulatedEngine};
use halfopen::engine::{Engine, Interrupt, SentQuestion, SentSyn};
use halfopen::event::{Event, HandshakeEnd};
use halfopen::local_error::{LocalError, SendError};
use halfopen::question::{CannotAsk, Question};
use halfopen::wire::Segment;

use super::{Conditions, DEAF};

/// The most attempts that an operator may ask for.
const MOST_ATTEMPTS: usize = Attempts::MAX.count();

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 19, 0, 1));

/// A network behind a kernel that does not take every segment.
pub(crate) struct Moody<N> {
    network: N,
    kernel: fn(&Segment) -> Result<(), LocalError>,
}

impl<N: Network> Network for Moody<N> {
    fn carry(&mut self, now: Duration, segment: &Segment) -> Vec<(Duration, Event)> {
        self.network.carry(now, segment)
    }

    fn ask(
        &mut self,
        now: Duration,
        question: &Question,
        local: Option<SocketAddr>,
    ) -> Vec<(Duration, Event)> {
        self.network.ask(now, question, local)
    }

    fn port(&self, attempt: &Attempt) -> u16 {
        self.network.port(attempt)
    }

    fn route(&mut self, remote: SocketAddr, number: usize) -> Result<(), SendError> {
        self.network.route(remote, number)
    }

    fn admit(&mut self, segment: &Segment) -> Result<(), LocalError> {
        (self.kernel)(segment)?;
        self.network.admit(segment)
    }
}

/// Notices if the loop asks again and again while there is nothing to receive: with a real engine
/// it would spin. Counts what it holds for pending targets.
pub(crate) struct Restful<N> {
    pub(crate) engine: SimulatedEngine<N>,
    deaf_at: Option<Duration>,
    in_vain: usize,
    capacity: usize,
    /// The attempts whose answers are received, with their ports, and those of them that have timed
    /// out.
    held: HashMap<(SocketAddr, usize), u16>,
    spare: VecDeque<(SocketAddr, usize)>,
    pub(super) most_held: usize,
    /// The events of attempts that were given up for others.
    given_up: HashSet<(SocketAddr, u16)>,
    flush: Vec<Event>,
    pub(super) released: Vec<SocketAddr>,
    returns_resets_after: Option<Duration>,
    returning: Option<(Duration, Vec<Segment>)>,
    pub(super) returned: usize,
}

impl<N: Network> Restful<Moody<N>> {
    pub(crate) fn new(conditions: &Conditions, network: N) -> Self {
        let Conditions { kernel, capacity, deaf_at, returns_resets_after, .. } = *conditions;
        Self {
            engine: SimulatedEngine::new(Moody { network, kernel }),
            deaf_at,
            in_vain: 0,
            capacity,
            held: HashMap::new(),
            spare: VecDeque::new(),
            most_held: 0,
            given_up: HashSet::new(),
            flush: Vec::new(),
            released: Vec::new(),
            returns_resets_after,
            returning: None,
            returned: 0,
        }
    }
}

impl<N> Restful<N> {
    fn hold(&mut self, attempt: &Attempt, port: u16) {
        self.held.remove(&(attempt.remote, attempt.index)); // the same again
        if self.held.len() == self.capacity {
            let (remote, number) = self.spare.pop_front().expect("there is room");
            let port = self.held.remove(&(remote, number)).expect("it is spare");
            self.given_up.insert((remote, port));
            let local = SocketAddr::new(CLIENT, port);
            let end = HandshakeEnd::GivenUp;
            self.flush.push(Event::Handshake {
                local,
                remote,
                index: number,
                retransmissions: 0,
                end,
            });
        }
        self.held.insert((attempt.remote, attempt.index), port);
    }

    fn hears(&self, arrival: &Event) -> bool {
        let Event::Segment { segment, .. } = arrival else { return true };
        let (remote, port) = (segment.source, segment.destination.port());
        let held =
            |((held, _), from): (&(SocketAddr, usize), &u16)| *held == remote && *from == port;
        !self.given_up.contains(&(remote, port)) || self.held.iter().any(held)
    }
}

impl<N: Network> Engine for Restful<N> {
    fn now(&self) -> Duration {
        self.engine.now()
    }

    fn room(&self) -> usize {
        self.capacity.saturating_add(self.spare.len()) - self.held.len()
    }

    fn timed_out(&mut self, remote: SocketAddr, number: usize) {
        if self.capacity < usize::MAX && self.held.contains_key(&(remote, number)) {
            self.spare.push_back((remote, number));
        }
    }

    fn send_syns(
        &mut self,
        attempts: &[Attempt],
        syn: &dyn Fn(&Attempt, SocketAddr) -> Segment,
    ) -> Vec<Result<SentSyn, SendError>> {
        if !attempts.is_empty() {
            self.in_vain = 0;
        }
        let results = self.engine.send_syns(attempts, syn);
        for (attempt, result) in attempts.iter().zip(&results) {
            if let Ok(departure) = result {
                self.hold(attempt, departure.local.port());
            }
        }
        self.most_held = self.most_held.max(self.held.len());
        results
    }

    fn send_rsts(&mut self, resets: &[Segment]) -> Vec<Result<(), LocalError>> {
        if !resets.is_empty() {
            self.in_vain = 0;
            if let Some(after) = self.returns_resets_after.take() {
                self.returning = Some((self.now() + after, resets.to_vec()));
                return vec![Ok(()); resets.len()];
            }
        }
        self.engine.send_rsts(resets)
    }

    fn ask(&mut self, question: &Question) -> Result<SentQuestion, CannotAsk> {
        self.in_vain = 0;
        self.engine.ask(question)
    }

    fn has_pending_rsts(&self) -> bool {
        self.returning.is_some()
    }

    fn take_unsent_rsts(&mut self) -> Vec<Segment> {
        let now = self.now();
        let returning = self.returning.take_if(|(at, _)| *at <= now);
        let resets = returning.map(|(_, resets)| resets).unwrap_or_default();
        self.returned += resets.len();
        resets
    }

    fn cancel(&mut self, remote: SocketAddr) {
        for number in 0..MOST_ATTEMPTS {
            self.held.remove(&(remote, number));
        }
        self.spare.retain(|(held, _)| *held != remote);
        self.released.push(remote);
        self.engine.cancel(remote);
    }

    fn wait(
        &mut self,
        deadline: Option<Duration>,
        interrupts: &[Interrupt<'_>],
    ) -> Result<(), LocalError> {
        self.engine.wait(deadline, interrupts)
    }

    fn drain(
        &mut self,
        events: &mut Vec<(Duration, Event)>,
    ) -> Result<Option<Duration>, LocalError> {
        self.engine.drain(events)
    }

    fn receive(
        &mut self,
        deadline: Option<Duration>,
        interrupts: &[Interrupt<'_>],
        arrivals: &mut Vec<(Duration, Event)>,
    ) -> Result<Option<Duration>, LocalError> {
        let before = self.engine.now();
        if self.deaf_at.is_some_and(|deaf_at| before >= deaf_at) {
            return Err(DEAF);
        }
        let deadline = if self.flush.is_empty() { deadline } else { Some(before) };
        let heard = self.engine.receive(deadline, interrupts, arrivals)?;
        arrivals.retain(|(_, arrival)| self.hears(arrival));
        arrivals.extend(self.flush.drain(..).map(|arrival| (before, arrival)));
        let something = !arrivals.is_empty() || self.engine.now() > before;
        self.in_vain = if something { 0 } else { self.in_vain + 1 };
        assert!(self.in_vain < 100, "spins at {before:?}, waiting until {deadline:?}");
        Ok(heard)
    }
}
