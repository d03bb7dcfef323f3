//! A fleet in a network that is a rule, with a clock that jumps. There are no packets: a check is a
//! few SYNs, each answered or not.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::Duration;

use halfopen::local_error::LocalError;
use halfopen::schedule::Schedule;
use halfopen::verdict::{Outcome, Reason, Verdict};
use halfopend::event::Event;
use halfopend::fleet::{Check, Fleet, Wanted};

use crate::replay::Replay;

/// What becomes of a SYN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A SYN+ACK, after that time.
    Open(Duration),
    /// An RST, after that time.
    Refused(Duration),
    /// Nothing.
    Silence,
    /// It does not leave: a fault of this machine.
    Fault,
}

/// One check.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) id: u32,
    pub(crate) begun: Duration,
    pub(crate) ended: Duration,
    pub(crate) syns: u32,
    pub(crate) answer: Answer,
}

/// A fleet and its network.
pub(crate) struct World<N> {
    pub(crate) fleet: Fleet,
    /// What becomes of a SYN to this endpoint at this time.
    pub(crate) network: N,
    pub(crate) now: Duration,
    /// SYNs per second, or 0 for any number.
    rate: u32,
    ready_at: Duration,
    ends: BinaryHeap<Reverse<(Duration, u64)>>,
    pending: Vec<Option<Made>>,
    free: Vec<usize>,
    count: u64,
    /// The most checks that ran at once.
    pub(crate) most_at_once: usize,
    pub(crate) replay: Replay,
}

impl<N: FnMut(SocketAddr, Duration) -> Answer> World<N> {
    pub(crate) fn new(fleet: Fleet, rate: u32, network: N) -> Self {
        Self {
            fleet,
            network,
            now: Duration::ZERO,
            rate,
            ready_at: Duration::ZERO,
            ends: BinaryHeap::new(),
            pending: Vec::new(),
            free: Vec::new(),
            count: 0,
            most_at_once: 0,
            replay: Replay::default(),
        }
    }

    /// Lets time pass until `end`. Tells each check when it has ended, and each event.
    pub(crate) fn run(
        &mut self,
        end: Duration,
        mut on_check: impl FnMut(&Made, &Fleet),
        mut on_event: impl FnMut(Duration, &Event),
    ) {
        loop {
            self.end_checks(&mut on_check);
            let asked_at = self.ready_at.max(self.now);
            let wake = if asked_at > self.now { Some(asked_at) } else { self.begin_checks() };
            while let Some(event) = self.fleet.poll_event() {
                self.replay.take_in(&event);
                on_event(self.now, &event);
            }
            let next = self.ends.peek().map(|Reverse((at, _))| *at);
            let next = next.into_iter().chain(wake).min().unwrap_or(end);
            let ends_at_once = next == self.now && wake.is_none_or(|at| at > self.now);
            assert!(
                next > self.now || ends_at_once,
                "the fleet wants to be asked at once, for ever"
            );
            if next >= end {
                self.now = end;
                return;
            }
            self.now = next;
        }
    }

    /// Nothing happens until `end`, except on the network.
    pub(crate) fn pause(&mut self, end: Duration) {
        self.now = end;
    }

    fn begin_checks(&mut self) -> Option<Duration> {
        loop {
            match self.fleet.next(self.now) {
                Wanted::Check(check) => self.begin(check),
                Wanted::At(time) => return Some(time),
                Wanted::Nothing => return None,
            }
            if self.ready_at > self.now {
                return Some(self.ready_at);
            }
        }
    }

    fn begin(&mut self, Check { id, endpoint, due, .. }: Check) {
        assert!(due <= self.now, "early");
        let schedule = self.fleet.schedule(id, self.now);
        let made = self.make(id, endpoint, schedule);
        if let Some(each) = Duration::from_secs(1).checked_div(self.rate) {
            self.ready_at = self.ready_at.max(self.now) + each * made.syns;
        }
        let place = self.free.pop().unwrap_or_else(|| {
            self.pending.push(None);
            self.pending.len() - 1
        });
        self.count += 1;
        // The place, below a number that grows.
        self.ends.push(Reverse((made.ended, self.count << 32 | place as u64)));
        self.pending[place] = Some(made);
        self.most_at_once = self.most_at_once.max(self.ends.len());
    }

    fn make(&mut self, id: u32, endpoint: SocketAddr, schedule: Schedule) -> Made {
        let begun = self.now;
        let mut at = begun;
        let mut syns = 0;
        for wait in schedule.waits() {
            syns += 1;
            let answer = (self.network)(endpoint, at);
            let after = match answer {
                Answer::Open(after) | Answer::Refused(after) => after,
                Answer::Fault => Duration::ZERO,
                Answer::Silence => Duration::MAX,
            };
            if after <= wait {
                return Made { id, begun, ended: at + after, syns, answer };
            }
            at += wait;
        }
        Made { id, begun, ended: at, syns, answer: Answer::Silence }
    }

    fn end_checks(&mut self, on_check: &mut impl FnMut(&Made, &Fleet)) {
        while let Some(Reverse((at, key))) = self.ends.peek().copied()
            && at <= self.now
        {
            self.ends.pop();
            let place = usize::try_from(key & u64::from(u32::MAX)).expect("few are pending");
            let made = self.pending[place].take().expect("a check that has begun");
            self.free.push(place);
            if matches!(made.answer, Answer::Open(_) | Answer::Refused(_)) {
                self.fleet.answered(at);
            }
            self.fleet.ended(made.id, outcome(&made), self.now);
            on_check(&made, &self.fleet);
        }
    }
}

fn outcome(made: &Made) -> Outcome {
    let reason = match made.answer {
        Answer::Open(_) => Reason::SynAck,
        Answer::Refused(_) => Reason::RstAck,
        Answer::Silence => Reason::NoAnswer {
            syns: made.syns as usize,
            waited: made.ended.saturating_sub(made.begun),
        },
        Answer::Fault => return Err(LocalError::Random.into()),
    };
    Ok(Verdict::without_probe(reason))
}
