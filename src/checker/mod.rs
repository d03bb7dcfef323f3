//! The progress of every target: what to send next, what an answer means, when to give up.

mod answers;
mod attempts;
mod clock;
mod due;
mod ending;
mod endpoint;
mod pending;
mod progress;
mod sources;
mod target;
mod timeouts;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

pub use self::attempts::DueAttempt;

use self::clock::Clock;
use self::due::Due;
use self::pending::{Pending, Slot, nanos};
use self::progress::Progress;
use self::target::{PendingTarget, Stage};
use self::timeouts::Wait;
use crate::attempt::Attempts;
use crate::event::Event;
use crate::probe::{DiscardReason, Secret};
use crate::schedule::Schedule;
use crate::verdict::Outcome;
use crate::wire::Segment;

/// The most outcomes that wait to be polled.
const OUTCOMES: usize = 1024;

/// The progress of any number of targets, each a distinct endpoint.
///
/// A checker is pure: it has no sockets, no clock and no randomness of its own. It stores something
/// only for targets that are pending; a late answer to one that has ended is recognised by its
/// numbers, and still gets its RST.
///
/// # Call order
///
/// [`event_loop::run`](crate::event_loop::run) does all of this. A caller with a loop of its own
/// repeats these steps:
///
/// 1. [`handle_timeout`](Self::handle_timeout) ends timeouts that have passed.
/// 2. [`poll_outcome`](Self::poll_outcome) returns targets that have ended, until it returns
///    `None`.
/// 3. [`admit`](Self::admit) takes on new targets. An endpoint may be admitted again, in a new
///    round, when it has ended; half a second later or more, because a server that missed our RST
///    answers a SYN with a slightly higher sequence number with an RST.
/// 4. [`poll_attempt`](Self::poll_attempt) returns a SYN that is due, [`syn`](Self::syn) writes it.
///    What became of it is reported before any other call: by [`sent`](Self::sent),
///    [`on_send_error`](Self::on_send_error), or [`postpone`](Self::postpone).
/// 5. The caller waits until something arrives, or until [`poll_timeout`](Self::poll_timeout).
/// 6. [`handle`](Self::handle) takes in everything that has arrived, in the order of arrival.
/// 7. [`poll_clearing_rst`](Self::poll_clearing_rst) returns the RSTs to send before the next SYN,
///    and [`poll_rst`](Self::poll_rst) the others, until they return `None`.
///
/// # Time
///
/// Times are counted from any fixed moment by a monotonic clock, and never go backwards from call
/// to call. There are two exceptions. `handle` takes the time at which something arrived, which may
/// be earlier than that of the calls before. `handle_timeout` takes the time up to which everything
/// that arrived has been handled: if the present were given while answers lie unread, a target that
/// has answered would be called silent.
///
/// # Example
///
/// ```
/// use std::time::Duration;
///
/// use halfopen::attempt::Attempts;
/// use halfopen::checker::Checker;
/// use halfopen::engine::{Engine, SimulatedEngine};
/// use halfopen::event::Event;
/// use halfopen::probe::Secret;
/// use halfopen::schedule::Schedule;
/// use halfopen::verdict::PortState;
/// use halfopen::wire::{Flags, Options, Segment, SequenceNumber};
///
/// // Every port is open, 3 ms from here.
/// let mut engine = SimulatedEngine::new(|_now: Duration, sent: &Segment| {
///     let segment = Segment {
///         source: sent.destination,
///         destination: sent.source,
///         sequence: SequenceNumber(1),
///         acknowledgement: sent.sequence + 1,
///         flags: Flags::SYN | Flags::ACK,
///         window: 65_535,
///         options: Options::default(),
///     };
///     let event = Event::Segment { segment, hop_limit: 64, reset_by_kernel: false };
///     if sent.flags == Flags::SYN { vec![(Duration::from_millis(3), event)] } else { vec![] }
/// });
/// let attempts = Attempts::with_retries(2).unwrap();
/// let mut checker = Checker::new(Secret::new([7; 16]), attempts);
/// let target = "198.18.0.7:443".parse().unwrap();
/// let schedule = Schedule::fit(attempts, Duration::from_secs(7));
/// assert!(checker.admit(0, target, schedule, engine.now()));
///
/// let mut drained_until = engine.now();
/// let ended = loop {
///     checker.handle_timeout(drained_until, |_remote| false);
///     if let Some(ended) = checker.poll_outcome() {
///         break ended;
///     }
///     while let Some(due) = checker.poll_attempt() {
///         let syn = |attempt: &_, local| checker.syn(attempt, local);
///         let result = engine.send_syns(&[due.attempt], &syn).remove(0);
///         match result {
///             Ok(sent) => {
///                 checker.sent(due, sent.local, sent.at);
///             }
///             Err(error) => checker.on_send_error(due, error, engine.now()),
///         }
///     }
///     let mut events = Vec::new();
///     if let Some(until) = engine.receive(checker.poll_timeout(), &[], &mut events).unwrap() {
///         drained_until = until;
///     }
///     for (at, event) in events {
///         let _ = checker.handle(&event, at); // whether it proves anything is for statistics
///     }
///     while let Some(rst) = checker.poll_clearing_rst().or_else(|| checker.poll_rst()) {
///         engine.send_rsts(&[rst]);
///     }
/// };
/// let verdict = ended.outcome.unwrap();
/// assert_eq!((ended.remote, verdict.state()), (target, PortState::Open));
/// assert_eq!(verdict.round_trip(), Some(Duration::from_millis(3)));
/// assert_eq!(engine.sent().len(), 2); // SYN and RST
/// ```
// Invariants: the slot of a target whose stage is `Due` is in `due`; that of one that is `Waiting`
// or `Postponed` is in `waiting`, with the time at which the stage ends. Entries of targets that
// have changed their stage since are ignored.
pub struct Checker {
    secret: Secret,
    clock: Clock,
    pending: Pending,
    due: Due,
    /// Targets whose newest attempt has just timed out.
    waited_for: VecDeque<Slot>,
    waiting: BinaryHeap<Reverse<Wait>>,
    rsts: VecDeque<Segment>,
    clearing_rsts: VecDeque<Segment>,
    outcomes: VecDeque<Ended>,
    discarded: BTreeMap<DiscardReason, usize>,
    /// How many answers found our receive queue full, and when the last did, in nanoseconds.
    lost: u64,
    lost_at: Option<u64>,
    /// How many SYNs were postponed.
    postponed: u64,
}

/// A target that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// The id that it was admitted with.
    pub id: u32,
    /// The target.
    pub remote: SocketAddr,
    /// How it ended.
    pub outcome: Outcome,
}

impl Checker {
    /// Creates a checker without targets that makes at most this number of attempts at each.
    pub fn new(secret: Secret, attempts: Attempts) -> Self {
        Self {
            pending: Pending::new(secret.clone(), attempts.count()),
            secret,
            clock: Clock::default(),
            due: Due::default(),
            waited_for: VecDeque::new(),
            waiting: BinaryHeap::new(),
            rsts: VecDeque::new(),
            clearing_rsts: VecDeque::new(),
            outcomes: VecDeque::new(),
            discarded: BTreeMap::new(),
            lost: 0,
            lost_at: None,
            postponed: 0,
        }
    }

    /// Admits the target `remote` at `now`. Its outcome will have this `id`. Its attempts follow
    /// `schedule`, and the first one is the next to leave.
    ///
    /// Returns false, and admits nothing, if `remote` is pending already.
    ///
    /// # Panics
    ///
    /// Panics if 2³² targets are pending, or if the schedule has more attempts than the checker was
    /// created for.
    #[must_use]
    pub fn admit(
        &mut self,
        id: u32,
        remote: SocketAddr,
        schedule: Schedule,
        now: Duration,
    ) -> bool {
        let target = PendingTarget {
            remote: remote.into(),
            until: nanos(now),
            id,
            clock: self.clock.tick(now),
            first_wait: schedule.first_wait(),
            late: 0,
            sent: 0,
            source: None,
            progress: Progress::new(schedule.attempts()),
            stage: Stage::Due,
        };
        let Some(slot) = self.pending.insert(target) else { return false };
        self.due.push_front(slot);
        true
    }

    /// Removes the target `remote` without an outcome. A SYN+ACK from there still gets its RST.
    pub fn cancel(&mut self, remote: SocketAddr) {
        if let Some(slot) = self.pending.find(remote) {
            self.pending[slot].stage = Stage::Ended;
            self.pending.remove(slot);
        }
    }

    /// Returns how many targets are pending.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Handles an event that happened at `now`.
    ///
    /// Queues an RST for every SYN+ACK that acknowledges a SYN of ours, also after the verdict, and
    /// for an unacceptable ACK before it. The port is reserved, so no connection of this machine is
    /// reset.
    ///
    /// # Errors
    ///
    /// Returns why the event is discarded if it proves nothing.
    pub fn handle(&mut self, event: &Event, now: Duration) -> Result<(), DiscardReason> {
        let handled = match event {
            Event::Segment { segment, reset_by_kernel, .. } => {
                self.handle_segment(segment, *reset_by_kernel, now)
            }
            Event::WrongChecksum { .. } => Err(DiscardReason::WrongChecksum),
            Event::EchoReply { .. } => Ok(()),
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

    /// Returns the next RST that must leave before the next SYN to its target: equipment on the way
    /// may admit none before it.
    pub fn poll_clearing_rst(&mut self) -> Option<Segment> {
        self.clearing_rsts.pop_front()
    }

    /// Returns the next RST to send that no SYN waits for.
    pub fn poll_rst(&mut self) -> Option<Segment> {
        self.rsts.pop_front()
    }

    /// Returns the next target that has ended. Each ends once.
    pub fn poll_outcome(&mut self) -> Option<Ended> {
        self.outcomes.pop_front()
    }

    /// Returns how many segments and ICMP errors were discarded, by reason.
    pub fn discarded(&self) -> &BTreeMap<DiscardReason, usize> {
        &self.discarded
    }

    /// Returns how many answers found our receive queue full.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Returns how many SYNs were postponed.
    pub fn postponed(&self) -> u64 {
        self.postponed
    }
}
