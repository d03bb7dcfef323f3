//! Every target's progress: what to send next, what an answer means, when to give up.
//!
//! Pure: no sockets, no clock, no randomness of its own. Time comes in as an argument, counted from
//! any fixed moment and never backwards, but that what arrived may be told of a little later. The
//! caller admits targets, sends what [`Checker::poll_try`] and [`Checker::poll_reset`] ask for,
//! feeds what arrives to [`Checker::handle`], and takes outcomes from [`Checker::poll_outcome`].

mod answers;
mod due;
mod ending;
mod pending;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use self::due::Due;
use self::pending::{Pending, Progress, Slot, Stage, nanos};
use crate::attempt::Attempt;
use crate::fault::{Fault, Refusal};
use crate::probe::{Ignored, Probe, Secret};
use crate::schedule::Schedule;
use crate::verdict::{Outcome, Reason, Verdict};
use crate::wire::{Arrival, Segment};

/// Outcomes that may wait to be told.
const OUTCOMES: usize = 1024;

/// How long a SYN that this machine had no room for is put off the first time, in nanoseconds; each
/// time after that, twice as long.
const POSTPONEMENT: u64 = 5_000_000;

/// The wait is not doubled more often: it ends at 640 ms.
const DOUBLINGS: u8 = 7;

/// The progress of any number of targets, each a distinct endpoint. A target takes memory while it
/// is pending, and none before or after: its sequence numbers are a hash, so even an answer that
/// comes after the verdict is known for ours.
///
/// Invariants: the slot of a target whose stage is `Due` stands in `due`; one that is `Waiting` or
/// `Postponed` has an entry in `waiting` with its own time. Entries whose slot has moved on since
/// are passed over.
pub struct Checker {
    secret: Secret,
    tries: usize,
    pending: Pending,
    due: Due,
    /// Of those, the ones whose newest attempt has just been waited for.
    waited_for: VecDeque<Slot>,
    waiting: BinaryHeap<Reverse<Wait>>,
    resets: VecDeque<Segment>,
    outcomes: VecDeque<Ended>,
    ignored: BTreeMap<Ignored, usize>,
    /// Answers lost to our own receive queue, and when the last was, in nanoseconds.
    lost: u64,
    lost_at: Option<u64>,
    /// SYNs that this machine had no room for at first.
    postponed: u64,
}

/// A SYN that should leave now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Try {
    slot: Slot,
    /// What is to leave.
    pub attempt: Attempt,
}

/// A target that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// What it was admitted as.
    pub label: u32,
    /// The target.
    pub remote: SocketAddr,
    /// How it ended.
    pub outcome: Outcome,
}

impl Checker {
    /// A checker without targets that gives each of them so many tries.
    pub fn new(secret: Secret, tries: usize) -> Self {
        Self {
            pending: Pending::new(secret.clone(), tries),
            secret,
            tries,
            due: Due::default(),
            waited_for: VecDeque::new(),
            waiting: BinaryHeap::new(),
            resets: VecDeque::new(),
            outcomes: VecDeque::new(),
            ignored: BTreeMap::new(),
            lost: 0,
            lost_at: None,
            postponed: 0,
        }
    }

    /// Takes on `remote`, which must not be pending already, at `now`; `label` comes back with its
    /// outcome. The schedule has as many tries as the checker. Its first one is the next to leave.
    ///
    /// # Panics
    /// When 2³² targets are pending.
    pub fn admit(&mut self, label: u32, remote: SocketAddr, schedule: Schedule, now: Duration) {
        let progress = Progress {
            remote,
            until: nanos(now),
            setback: None,
            label,
            first_wait: schedule.first_wait(),
            sent: 0,
            source: 0,
            begun: 0,
            stage: Stage::Due,
        };
        let slot = self.pending.insert(progress);
        self.due.push_front(slot);
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

    /// Ends waits that are over at `now`: tries become due, verdicts fall. As many as can be told
    /// of at a time, so that a crowd takes no more memory when it ends.
    pub fn expire(&mut self, now: Duration) {
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

    /// The targets that are furthest along come first: where there is no room for all, some reach a
    /// verdict.
    fn make_due(&mut self, slot: Slot) {
        let repeats = self.pending.has_begun_all(slot);
        let progress = &mut self.pending[slot];
        if progress.stage == Stage::Waiting && !repeats {
            // When the last attempt is repeated, silence counts from its first SYN.
            self.waited_for.push_back(slot);
        }
        progress.stage = Stage::Due;
        match progress.begun {
            _ if repeats => self.due.push_repeat(slot),
            0 | 1 => self.due.push_back(slot),
            _ => self.due.push_front(slot),
        }
    }

    /// The next attempt whose wait [`Checker::expire`] has ended, by target and number, and which
    /// is not the last one; an answer to it still counts.
    pub fn poll_waited_for(&mut self) -> Option<(SocketAddr, usize)> {
        while let Some(slot) = self.waited_for.pop_front() {
            let progress = &self.pending[slot];
            if progress.stage == Stage::Due && progress.begun > 0 {
                return Some((progress.remote, usize::from(progress.begun) - 1));
            }
        }
        None
    }

    /// How many tries [`Checker::poll_try`] has, but for those of [`Checker::has_repeats`]; targets
    /// that have ended while they were due may be among them, but not alone.
    pub fn due(&mut self) -> usize {
        self.due.others(&self.pending)
    }

    /// True where the next try is the last one again: an answer to it may have been lost on this
    /// machine. It takes the room of the one that it repeats.
    pub fn has_repeats(&mut self) -> bool {
        self.due.repeats(&self.pending)
    }

    /// The next try that is due; report back with [`Checker::sent`], [`Checker::refused`] or
    /// [`Checker::postpone`].
    pub fn poll_try(&mut self) -> Option<Try> {
        let slot = self.due.pop(&self.pending)?;
        let port = self.pending.next_port(slot);
        let progress = &mut self.pending[slot];
        progress.stage = Stage::Sending;
        let number = usize::from(progress.begun).min(self.tries - 1);
        progress.begun += u8::from(usize::from(progress.begun) < self.tries);
        Some(Try { slot, attempt: Attempt { remote: progress.remote, number, port } })
    }

    /// The SYN of a try that leaves from `local`.
    pub fn syn(&self, local: SocketAddr, remote: SocketAddr) -> Segment {
        Probe::new(&self.secret, local, remote).syn()
    }

    /// The SYN of `this` left from `local` at `now`.
    pub fn sent(&mut self, this: Try, local: SocketAddr, now: Duration) {
        self.pending.mark_sent(this.slot, this.attempt.number, local, now);
        self.wait(this, now);
    }

    /// The SYN of `this` could not leave. The remaining tries still go out: a route, a buffer or
    /// room in the firewall's table may be back by then.
    pub fn refused(&mut self, this: Try, refusal: Refusal, now: Duration) {
        let progress = &mut self.pending[this.slot];
        let hopeless = match refusal {
            Refusal::NoRoute(cause) => {
                let setback = progress.setback.get_or_insert_default();
                setback.evidence = Some(Reason::NoRoute(cause));
                true
            }
            Refusal::Fault(fault) => {
                progress.setback.get_or_insert_default().fault = Some(fault);
                progress.sent == 0
            }
            Refusal::NoPortLeft => false,
            Refusal::OwnPort => {
                return self.end(this.slot, Ok(Verdict::without_probe(Reason::OwnPort)));
            }
        };
        if hopeless && this.attempt.number + 1 == self.tries {
            self.give_up(this.slot, now);
        } else {
            self.wait(this, now);
        }
    }

    /// This machine had no room for the SYN of `this` at `now`: it is due again in a moment, and no
    /// try is lost. The lack may be this target's alone, so no other one waits for it.
    pub fn postpone(&mut self, this: Try, fault: Fault, now: Duration) {
        self.postponed += 1;
        // One that repeats the last try has begun before.
        let begun = self.pending.was_sent(this.slot, this.attempt.number);
        let progress = &mut self.pending[this.slot];
        progress.begun -= u8::from(!begun);
        progress.stage = Stage::Postponed;
        let setback = progress.setback.get_or_insert_default();
        setback.fault = Some(fault);
        setback.due_again = nanos(now) + (POSTPONEMENT << setback.postponed);
        setback.postponed = DOUBLINGS.min(setback.postponed + 1);
        self.waiting.push(Reverse(Wait { until: setback.due_again, slot: this.slot }));
    }

    /// Takes in what arrived at `now`; says why where it proves nothing.
    ///
    /// An RST is queued for every SYN+ACK of ours, also after the verdict, and for an ACK without
    /// SYN before it: the port is ours, so no live connection of this machine can be meant.
    pub fn handle(&mut self, arrival: &Arrival, now: Duration) -> Result<(), Ignored> {
        let handled = match arrival {
            Arrival::Segment { segment, reset_by_kernel, .. } => {
                self.handle_segment(segment, *reset_by_kernel, now)
            }
            Arrival::WrongChecksum { .. } => Err(Ignored::WrongChecksum),
            Arrival::Icmp(error, quote) => self.handle_icmp(*error, quote, now),
            Arrival::Handshake { remote, attempt, retransmissions, end, .. } => {
                self.handle_handshake(*remote, *attempt, *retransmissions, *end, now);
                Ok(())
            }
            Arrival::Lost(count) => {
                self.lost += u64::from(*count);
                self.lost_at = Some(nanos(now));
                Ok(())
            }
        };
        if let Err(ignored) = handled {
            *self.ignored.entry(ignored).or_default() += 1;
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

    /// When [`Checker::expire`] has something to do; `None` when nothing is waited for.
    pub fn next_deadline(&mut self) -> Option<Duration> {
        self.first_wait().map(|wait| Duration::from_nanos(wait.until))
    }

    /// Ends everything at `now`: with a verdict where the last wait is over, for this reason where
    /// not, or for the fault that kept the SYNs from leaving.
    pub fn stop(&mut self, reason: &Fault, now: Duration) {
        for slot in self.pending.slots() {
            if self.is_over(slot, now) {
                self.give_up(slot, now);
                continue;
            }
            let progress = &mut self.pending[slot];
            let own = progress.setback.take().and_then(|setback| setback.fault);
            let own = own.filter(|_| *reason == Fault::OutOfTime && progress.sent == 0);
            let reason =
                if progress.begun == 0 { reason.before_the_first_syn() } else { reason.clone() };
            self.end(slot, Err(own.unwrap_or(reason)));
        }
    }

    /// How often segments arrived that prove nothing, by why they do not.
    pub fn ignored(&self) -> &BTreeMap<Ignored, usize> {
        &self.ignored
    }

    /// Answers lost to our own receive queue.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// SYNs that this machine had no room for at first.
    pub fn postponed(&self) -> u64 {
        self.postponed
    }

    /// Waits for the newest try. Waits follow one another as scheduled, so that a delay of one try
    /// does not postpone the verdict; but most of each is always granted.
    fn wait(&mut self, this: Try, now: Duration) {
        let progress = &mut self.pending[this.slot];
        let wait = u64::from(progress.first_wait) << this.attempt.number;
        progress.until = (progress.until + wait).max(nanos(now) + wait / 4 * 3);
        progress.stage = Stage::Waiting;
        self.waiting.push(Reverse(Wait { until: progress.until, slot: this.slot }));
    }

    /// True when the last try has been waited for, and no answer to it can be among those that were
    /// lost on this machine.
    fn is_over(&self, slot: Slot, now: Duration) -> bool {
        let progress = &self.pending[slot];
        let number = self.tries - 1;
        let waited = progress.stage == Stage::Waiting
            && self.pending.has_begun_all(slot)
            && progress.until <= nanos(now);
        let repeated_at = progress.setback.as_ref().map_or(0, |setback| setback.repeated_at);
        let sent_at = nanos(now.saturating_sub(self.pending.since(slot, number, now)));
        let sent_at = sent_at.max(repeated_at);
        let missed = self.lost_at.is_some_and(|lost_at| sent_at <= lost_at);
        waited && !(missed && self.pending.was_sent(slot, number))
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

/// When the wait for a target's newest try ends, or its postponement, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Wait {
    until: u64,
    slot: Slot,
}
