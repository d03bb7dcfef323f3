//! Raw sockets: our own SYN and RST on the wire, answers from the raw socket, ICMP errors from its
//! error queue.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::clock::Clock;
use super::families::Families;
use super::lane::{BATCH, Lane};
use super::received::Received;
use super::timer::Timer;
use super::{Departure, Egress, Engine, Interrupt, Opening, sockets};
use crate::attempt::Attempt;
use crate::fault::{Fault, Refusal};
use crate::wire::{Arrival, Segment};

/// One lane an address family.
pub(super) struct RawEngine {
    clock: Clock,
    egress: Egress,
    retries: u8,
    lanes: Families<Lane>,
    timer: Timer,
}

impl RawEngine {
    /// Opens all sockets that it will ever need. That takes `CAP_NET_RAW`; using them takes none.
    pub(super) fn open(start: Instant, opening: &Opening) -> Result<Self, Fault> {
        let clock = Clock::new(start);
        let timer = Timer::open(start)?;
        let Opening { egress, retries, .. } = opening;
        let lanes = Families::open(opening, |domain| Lane::open(domain, egress, opening.tries()));
        Ok(Self { clock, egress: egress.clone(), retries: *retries, lanes, timer })
    }

    /// True where no source port could be reserved for a family that may be wanted.
    pub(super) fn lacks_ports(&self) -> bool {
        self.lanes.faults().any(|fault| matches!(fault, Fault::SourcePort(_)))
    }

    /// Sends segments, a batch of those with one source address and one aim at a time; says when
    /// each of them left, or why not.
    fn send(&mut self, segments: &[Segment]) -> Vec<Result<Instant, Fault>> {
        let mut sent = Vec::with_capacity(segments.len());
        let mut alike = |a: &Segment, b: &Segment| {
            let lane = self.lanes.of(a.source);
            a.source.ip() == b.source.ip() && lane.is_ok_and(|lane| lane.aim(a) == lane.aim(b))
        };
        let alike: Vec<_> = segments.chunk_by(&mut alike).collect();
        for segments in alike.into_iter().flat_map(|alike| alike.chunks(BATCH)) {
            match self.lanes.of(segments[0].source) {
                Ok(lane) => sent.extend(lane.send(segments)),
                Err(fault) => sent.extend(segments.iter().map(|_| Err(fault.clone()))),
            }
        }
        sent
    }

    /// Takes in a batch of each queue; gives the time where nothing was left behind.
    fn drain(&mut self, arrivals: &mut Vec<(Duration, Arrival)>) -> Option<Duration> {
        let before = self.clock.moment();
        let mut all = true;
        let mut taken_in = Vec::new();
        for lane in self.lanes.iter_mut() {
            all &= lane.drain(&mut taken_in);
        }
        let read = self.clock.moment();
        arrivals.extend(
            taken_in
                .into_iter()
                .map(|Received { stamp, arrival }| (self.clock.arrival(stamp, read), arrival)),
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

    fn ready(&self, v4: bool, v6: bool) -> Result<(), Fault> {
        self.lanes.ready(v4, v6)
    }

    fn widen(&mut self) -> usize {
        self.lanes.iter_mut().map(Lane::widen).min().unwrap_or_default()
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
    ) -> Vec<Result<Departure, Refusal>> {
        let mut locals = Vec::with_capacity(attempts.len());
        for attempts in attempts.chunk_by(|a, b| a.remote.is_ipv4() == b.remote.is_ipv4()) {
            match self.lanes.of(attempts[0].remote) {
                Ok(lane) => locals.extend(lane.local_endpoints(attempts, &self.egress)),
                Err(fault) => locals.extend(vec![Err(Refusal::Fault(fault)); attempts.len()]),
            }
        }
        let ready = locals.iter().zip(attempts).filter_map(|(local, attempt)| {
            let local = local.as_ref().ok()?;
            Some(syn(*local, attempt.remote))
        });
        let syns: Vec<_> = ready.collect();
        let mut sent = self.send(&syns).into_iter().zip(&syns);
        let source = self.egress.source;
        let become_of = |local: Result<SocketAddr, Refusal>| {
            let local = local?;
            let (result, syn) = sent.next().expect("one for each that was ready");
            let left = result.map_err(|fault| Refusal::Fault(cause(fault, source)))?;
            let at = self.clock.at(left);
            Ok(Departure { at, local, syn: Some(*syn) })
        };
        locals.into_iter().map(become_of).collect()
    }

    fn send_resets(&mut self, resets: &[Segment]) -> Vec<Result<(), Fault>> {
        self.send(resets).into_iter().map(|result| result.map(drop)).collect()
    }

    fn owes_resets(&self) -> bool {
        self.lanes.iter().any(Lane::owes_resets)
    }

    fn take_returned(&mut self) -> Vec<Segment> {
        self.lanes.iter().flat_map(Lane::take_returned).collect()
    }

    fn release(&mut self, remote: SocketAddr) {
        if let Ok(lane) = self.lanes.of(remote) {
            lane.release(remote);
        }
    }

    fn receive(
        &mut self,
        deadline: Duration,
        interrupts: &[Interrupt<'_>],
        arrivals: &mut Vec<(Duration, Arrival)>,
    ) -> Result<Option<Duration>, Fault> {
        let heard = self.drain(arrivals);
        if !arrivals.is_empty() || heard.is_none() || deadline <= self.now() {
            return Ok(heard);
        }
        let queues = self.lanes.iter().map(AsFd::as_fd);
        self.timer.wait(deadline, queues, interrupts)?;
        Ok(self.drain(arrivals))
    }
}

/// Why a SYN could not be sent from `source`: that may be gone.
fn cause(fault: Fault, source: Option<IpAddr>) -> Fault {
    match (&fault, source) {
        (Fault::Send { errno: Errno::EINVAL, .. }, Some(source)) => {
            sockets::own(source).err().unwrap_or(fault)
        }
        _ => fault,
    }
}
