//! Every target's target: what to send next, what an answer means, when to give up.
//!
//! Pure: no sockets, no clock, no randomness of its own. Time comes in as an argument, counted from
//! any fixed moment and never backwards, but that what arrived may be told of a little later. The
//! caller admits targets, sends what [`Checker::poll_attempt`] and [`Checker::poll_reset`] ask for,
//! feeds what arrives to [`Checker::handle`], and takes outcomes from [`Checker::poll_outcome`].

mod answers;
mod attempts;
mod clock;
mod due;
mod ending;
mod endpoint;
mod pending;
mod sources;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

pub use self::attempts::DueAttempt;

use self::clock::Clock;
use self::due::Due;
use self::pending::{Pending, PendingTarget, Slot, Stage, nanos};
use crate::event::Event;
use crate::probe::{DiscardReason, Secret};
use crate::schedule::Schedule;
use crate::verdict::{EndOfRun, NoVerdict, Outcome};
use crate::wire::Segment;

/// Outcomes that may wait to be told.
const OUTCOMES: usize = 1024;

/// The progress of any number of targets, each a distinct endpoint. A target takes memory while it
/// is pending, and none before or after: its sequence numbers are a hash, so even an answer that
/// comes after the verdict is known for ours.
///
/// Invariants: the slot of a target whose stage is `Due` stands in `due`; one that is `Waiting` or
/// `Postponed` has an entry in `waiting` with its own time. Entries whose slot has moved on since
/// are passed over.
pub struct Checker {
    secret: Secret,
    attempts: usize,
    clock: Clock,
    pending: Pending,
    due: Due,
    /// Of those, the ones whose newest attempt has just been waited for.
    waited_for: VecDeque<Slot>,
    waiting: BinaryHeap<Reverse<Wait>>,
    resets: VecDeque<Segment>,
    outcomes: VecDeque<Ended>,
    discarded: BTreeMap<DiscardReason, usize>,
    /// Answers lost to our own receive queue, and when the last was, in nanoseconds.
    lost: u64,
    lost_at: Option<u64>,
    /// SYNs that this machine had no room for at first.
    postponed: u64,
}

/// A target that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// What it was admitted as.
    pub id: u32,
    /// The target.
    pub remote: SocketAddr,
    /// How it ended.
    pub outcome: Outcome,
}

impl Checker {
    /// A checker without targets that gives each of them so many attempts.
    pub fn new(secret: Secret, attempts: usize) -> Self {
        Self {
            pending: Pending::new(secret.clone(), attempts),
            secret,
            attempts,
            clock: Clock::default(),
            due: Due::default(),
            waited_for: VecDeque::new(),
            waiting: BinaryHeap::new(),
            resets: VecDeque::new(),
            outcomes: VecDeque::new(),
            discarded: BTreeMap::new(),
            lost: 0,
            lost_at: None,
            postponed: 0,
        }
    }

    /// Takes on `remote` at `now`; `id` comes back with its outcome. The schedule has as many
    /// attempts as the checker. The first one is the next to leave.
    ///
    /// Returns false, and takes on nothing, if `remote` is pending already.
    ///
    /// # Panics
    ///
    /// Panics if 2³² targets are pending.
    #[must_use]
    pub fn admit(
        &mut self,
        id: u32,
        remote: SocketAddr,
        schedule: Schedule,
        now: Duration,
    ) -> bool {
        if self.pending.find(remote).is_some() {
            return false;
        }
        let target = PendingTarget {
            remote: remote.into(),
            until: nanos(now),
            failures: None,
            id,
            clock: self.clock.tick(now),
            first_wait: schedule.first_wait(),
            sent: 0,
            source: None,
            begun: 0,
            stage: Stage::Due,
        };
        let slot = self.pending.insert(target);
        self.due.push_front(slot);
        true
    }

    /// Nobody wants to know how `remote` ends. A SYN+ACK from there still gets its RST.
    pub fn cancel(&mut self, remote: SocketAddr) {
        if let Some(slot) = self.pending.find(remote) {
            self.pending[slot].stage = Stage::Ended;
            self.pending.remove(slot);
        }
    }

    /// Targets admitted and not ended.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Ends waits that are over at `now`: the next attempts are due, or targets end. As many as can
    /// be told of at a time, so that a crowd takes no more memory when it ends.
    pub fn handle_timeout(&mut self, now: Duration) {
        while self.outcomes.len() < OUTCOMES
            && let Some(wait) = self.first_wait().filter(|wait| wait.until <= nanos(now))
        {
            if self.is_over(wait.slot, now) {
                self.give_up(wait.slot, now);
            } else {
                self.make_due(wait.slot);
            }
        }
    }

    /// The next attempt whose wait [`Checker::handle_timeout`] has ended, by target and number, and
    /// which is not the last one; an answer to it still counts.
    pub fn poll_waited_for(&mut self) -> Option<(SocketAddr, usize)> {
        while let Some(slot) = self.waited_for.pop_front() {
            let target = &self.pending[slot];
            if target.stage == Stage::Due && target.begun > 0 {
                return Some((target.remote.into(), usize::from(target.begun) - 1));
            }
        }
        None
    }

    /// Takes in what arrived at `now`; says why where it proves nothing.
    ///
    /// An RST is queued for every SYN+ACK of ours, also after the verdict, and for an ACK without
    /// SYN before it: the port is ours, so no live connection of this machine can be meant.
    pub fn handle(&mut self, event: &Event, now: Duration) -> Result<(), DiscardReason> {
        let handled = match event {
            Event::Segment { segment, reset_by_kernel, .. } => {
                self.handle_segment(segment, *reset_by_kernel, now)
            }
            Event::WrongChecksum { .. } => Err(DiscardReason::WrongChecksum),
            Event::Icmp(error, quote) => self.handle_icmp(*error, quote, now),
            Event::Handshake { remote, index, retransmissions, end, .. } => {
                self.handle_handshake(*remote, *index, *retransmissions, *end, now);
                Ok(())
            }
            Event::SegmentsLost(count) => {
                self.lost += u64::from(*count);
                self.lost_at = Some(nanos(now));
                Ok(())
            }
        };
        if let Err(discarded) = handled {
            *self.discarded.entry(discarded).or_default() += 1;
        }
        handled
    }

    /// SYNs sent until `now` may have been held back on this machine: no silence proves anything
    /// about them.
    pub fn distrust_silence(&mut self, now: Duration) {
        self.lost_at = Some(nanos(now));
    }

    /// The next RST to send.
    pub fn poll_reset(&mut self) -> Option<Segment> {
        self.resets.pop_front()
    }

    /// The next target to have ended; each ends once.
    pub fn poll_outcome(&mut self) -> Option<Ended> {
        self.outcomes.pop_front()
    }

    /// When [`Checker::handle_timeout`] has something to do; `None` when nothing is waited for.
    pub fn poll_timeout(&mut self) -> Option<Duration> {
        self.first_wait().map(|wait| Duration::from_nanos(wait.until))
    }

    /// Ends everything at `now`: with a verdict where the last wait is over, for this reason where
    /// not, or for the fault that kept the SYNs from leaving.
    pub fn stop(&mut self, reason: &NoVerdict, now: Duration) {
        for slot in self.pending.slots() {
            if self.is_over(slot, now) {
                self.give_up(slot, now);
                continue;
            }
            let target = &mut self.pending[slot];
            let own = target.failures.take().and_then(|failures| failures.error);
            let out_of_time = *reason == NoVerdict::Unfinished(EndOfRun::OutOfTime);
            let own = own.filter(|_| out_of_time && target.sent == 0);
            let reason =
                if target.begun == 0 { reason.before_the_first_syn() } else { reason.clone() };
            self.end(slot, Err(own.map_or(reason, NoVerdict::from)));
        }
    }

    /// How often segments arrived that prove nothing, by why they do not.
    pub fn discarded(&self) -> &BTreeMap<DiscardReason, usize> {
        &self.discarded
    }

    /// Answers lost to our own receive queue.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// SYNs that this machine had no room for at first.
    pub fn postponed(&self) -> u64 {
        self.postponed
    }

    /// True when the last attempt has been waited for, and no answer to it can be among those that
    /// were lost on this machine.
    fn is_over(&self, slot: Slot, now: Duration) -> bool {
        let target = &self.pending[slot];
        let index = self.attempts - 1;
        let waited = target.stage == Stage::Waiting
            && self.pending.has_begun_all(slot)
            && target.until <= nanos(now);
        let repeated_at = target.failures.as_ref().map_or(0, |failures| failures.repeated_at);
        let sent_at = nanos(now.saturating_sub(self.pending.since(slot, index, now)));
        let sent_at = sent_at.max(repeated_at);
        let missed = self.lost_at.is_some_and(|lost_at| sent_at <= lost_at);
        waited && !(missed && self.pending.was_sent(slot, index))
    }

    /// The wait that ends first; those that are no longer waited for are dropped.
    fn first_wait(&mut self) -> Option<Wait> {
        while let Some(&Reverse(wait)) = self.waiting.peek() {
            if self.pending[wait.slot].waits_until() == Some(wait.until) {
                return Some(wait);
            }
            self.waiting.pop();
        }
        None
    }
}

/// When the wait for a target's newest attempt ends, or its postponement, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Wait {
    until: u64,
    slot: Slot,
}
