//! What is known of all targets, for readers on another thread: metrics, the status page.
//!
//! The loop publishes what happens in batches, and never waits. The table belongs to the thread of
//! the readers, who bring it up to date before they look.

mod history;
mod lost;
mod pool;
mod table;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use halfopen::explain::Explanation;
use halfopen::local_error::LocalError;
use halfopen::verdict::{LookupFailure, NoVerdict, Outcome, PortState, Reason};
use jiff::Timestamp;

pub use self::history::History;
pub use self::lost::Lost;
pub use self::pool::PoolRow;
pub use self::table::{Table, TargetRow};

use crate::event::{Event, PoolView, TargetView};
use crate::fleet::finding;
use crate::fleet::health::Finding;
use crate::lag::Lags;

/// If more updates than this wait, ends of checks are lost, and other updates wait in the
/// publisher. If more than this wait there, events are lost, too, until the table takes more: then
/// it is told what went, and a snapshot tells the rest.
const BACKLOG: usize = 1 << 17;

/// If more updates than this wait, whatever can wait is published later, such as a snapshot.
const MANY: usize = 1 << 14;

/// How many updates are published at once.
const BATCH: usize = 1024;

/// The names of the faults of this machine, all of which have a count from the start.
const FAULTS: [&str; 10] = [
    "abandoned",
    "address",
    "egress",
    "firewall",
    "lookup",
    "no_route",
    "route",
    "send",
    "socket",
    "system",
];

/// Something that the table is to know.
#[derive(Debug, Clone)]
pub enum Update {
    /// Something that has happened, and when.
    Event(Box<Event>, Timestamp),
    /// A check that has ended.
    Check(CheckEnd),
    /// Why a target is down.
    Cause(Box<Cause>),
    /// What is known of the program itself.
    Program(Box<Program>),
    /// Events were lost. A snapshot follows.
    Lost(Box<Lost>),
}

/// Why a target is down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The target.
    pub id: u32,
    /// Its endpoint then.
    pub remote: SocketAddr,
    /// What the check had found that was explained.
    pub found: PortState,
    /// The cause, and what it follows from.
    pub explanation: Explanation,
}

/// How a check has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckEnd {
    /// The target.
    pub id: u32,
    /// When, counted from the start.
    pub at: Duration,
    /// The state of the port, or the name of the fault that hides it.
    pub found: Result<PortState, &'static str>,
    /// The round-trip time, if one was measured.
    pub round_trip: Option<Duration>,
    /// How many SYNs were sent.
    pub syns: u32,
}

impl CheckEnd {
    /// Returns what there is to know about this outcome; `None` if it is none: the check was not
    /// made.
    pub fn of(id: u32, outcome: &Outcome, at: Duration) -> Option<Self> {
        let (found, round_trip, syns) = match outcome {
            Ok(verdict) => {
                let found = match verdict.reason {
                    Reason::NoRoute(_) => Err("no_route"),
                    // It goes on.
                    Reason::NameNotResolved(LookupFailure::TimedOut) => return None,
                    _ if finding(outcome) == Finding::Fault => Err("lookup"),
                    _ => Ok(verdict.state()),
                };
                (found, verdict.round_trip(), verdict.attempts)
            }
            Err(NoVerdict::AlreadyPending | NoVerdict::Unfinished(_) | NoVerdict::NotProbed(_)) => {
                return None;
            }
            Err(NoVerdict::LocalError(error)) => (Err(fault(error)), None, 0),
            Err(NoVerdict::NoAddressFits { .. } | NoVerdict::TooManyAddresses { .. }) => {
                (Err("address"), None, 0)
            }
        };
        let syns = u32::try_from(syns).unwrap_or(u32::MAX);
        Some(Self { id, at, found, round_trip, syns })
    }
}

/// Returns the name of a fault of this machine, for the label of a metric.
fn fault(error: &LocalError) -> &'static str {
    match error {
        LocalError::Firewall(_) => "firewall",
        LocalError::Send { .. } | LocalError::SendEcho { .. } | LocalError::NoRoomForRst(_) => {
            "send"
        }
        LocalError::Lookup(_) => "lookup",
        LocalError::RoutingTable(_) | LocalError::OtherRoute(_) => "route",
        LocalError::RawSocket(_)
        | LocalError::PingSocket(_)
        | LocalError::Socket(_)
        | LocalError::SocketSetup(_)
        | LocalError::SourcePort(_) => "socket",
        LocalError::Option { .. }
        | LocalError::Source { .. }
        | LocalError::SourceFamily(_)
        | LocalError::Interface(_)
        | LocalError::LoopbackSource(_) => "egress",
        LocalError::Broadcast(_) | LocalError::NoScope(_) | LocalError::OtherScope(_) => "address",
        LocalError::Abandoned(_) => "abandoned",
        LocalError::Timer(_)
        | LocalError::Receive(_)
        | LocalError::Threads(_)
        | LocalError::Signals(_)
        | LocalError::Random => "system",
    }
}

/// What is known of the program itself.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// How late checks began.
    pub lags: Lags,
    /// How many checks have waited for a descriptor.
    pub delayed: u64,
    /// How many answers found the receive queue full.
    pub answers_lost: u64,
    /// How many events were lost by a slow reader.
    pub events_lost: u64,
    /// How many runs of hooks have failed.
    pub hook_failures: u64,
    /// Whether the newest reload succeeded, and when the newest successful one was.
    pub reload: Option<(bool, Timestamp)>,
}

/// Publishes updates, from the loop.
pub struct Publisher {
    sender: mpsc::Sender<Vec<Update>>,
    batch: Vec<Update>,
    /// What was lost since the newest batch, if anything was.
    lost: Option<Box<Lost>>,
    waiting: Arc<AtomicUsize>,
}

impl Publisher {
    /// Publishes an update with the next batch. If the readers' thread has too much to do already,
    /// checks are lost first: what they found is found again, but a state changes only once.
    pub fn publish(&mut self, update: Update) {
        let can_wait = !matches!(update, Update::Check(_)) && self.batch.len() < BACKLOG;
        if self.lost.is_some() || self.is_full() && !can_wait {
            if let Update::Event(event, _) = update {
                self.lost.get_or_insert_default().add(&event);
            }
            return;
        }
        self.batch.push(update);
        if self.batch.len() >= BATCH {
            self.send();
        }
    }

    /// Publishes what waits, unless the readers' thread has too much to do already. Returns true if
    /// it needs a snapshot, because events were lost.
    pub fn flush(&mut self) -> bool {
        let needs_snapshot = self.lost.is_some() && !self.is_full();
        if needs_snapshot {
            self.batch.extend(self.lost.take().map(Update::Lost));
        }
        self.send();
        needs_snapshot
    }

    fn send(&mut self) {
        let count = self.batch.len();
        if count == 0 || self.is_full() {
            return;
        }
        self.waiting.fetch_add(count, Ordering::Relaxed);
        let batch = self.batch.drain(..).collect(); // with no more room than it needs
        if self.sender.send(batch).is_err() {
            self.waiting.store(0, Ordering::Relaxed); // nobody reads
        }
    }

    fn is_full(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > BACKLOG
    }

    /// Returns true if the readers' thread has not too much to do.
    pub fn takes_more(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < MANY
    }
}

/// The table, for the readers' thread.
pub struct Live {
    updates: Mutex<mpsc::Receiver<Vec<Update>>>,
    table: Mutex<Table>,
    waiting: Arc<AtomicUsize>,
}

impl Live {
    /// Creates the table of a program that started at that time and has these targets, and what
    /// publishes to it.
    pub fn new(
        started: Timestamp,
        targets: impl Iterator<Item = (PoolView, TargetView)>,
    ) -> (Publisher, Self) {
        let mut table = Table::new(started);
        targets.for_each(|(pool, target)| table.show_target(pool, target, None));
        let (sender, updates) = mpsc::channel();
        let waiting = Arc::<AtomicUsize>::default();
        let (batch, lost) = Default::default();
        let publisher = Publisher { sender, batch, lost, waiting: Arc::clone(&waiting) };
        let live = Self { updates: Mutex::new(updates), table: Mutex::new(table), waiting };
        (publisher, live)
    }

    /// Brings the table up to date. Call it now and then, so that updates do not accumulate; soon
    /// again if it returns true, because there were many.
    pub fn catch_up(&self) -> bool {
        let were_many = self.waiting.load(Ordering::Relaxed) >= MANY;
        drop(self.read());
        were_many
    }

    /// Brings the table up to date, and returns it. Only readers wait for each other.
    pub fn read(&self) -> MutexGuard<'_, Table> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let updates = self.updates.lock().unwrap_or_else(PoisonError::into_inner);
        while let Ok(batch) = updates.try_recv() {
            self.waiting.fetch_sub(batch.len(), Ordering::Relaxed);
            for update in batch {
                table.apply(update);
            }
        }
        table
    }
}

#[cfg(test)]
mod tests;
