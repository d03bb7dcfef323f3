//! What happens to targets, as values: events are told to readers, hooks and load balancers.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::fleet::health::State;

/// Something that has happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Counted from 1. One that is missing was lost by a slow reader.
    pub sequence: u64,
    /// What has happened.
    pub kind: EventKind,
    /// The pool, unless the event concerns all.
    pub pool: Option<PoolView>,
    /// The target, unless the event concerns a pool or all.
    pub target: Option<TargetView>,
}

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A target is up.
    Up,
    /// A target is down.
    Down,
    /// It is not known any more whether a target is up.
    Unknown,
    /// A fault of this machine hides a target. Its state stands.
    Held,
    /// A target is hidden no more, or this machine isolated no more.
    Released,
    /// Nothing at all answers: this machine is cut off. All states stand.
    Isolated,
    /// A pool has begun or ceased to advertise silent targets as up.
    FailOpen,
    /// A target is checked from now on.
    Added,
    /// A target is checked no more.
    Removed,
    /// What is known of a target: nothing has happened.
    Snapshot,
}

impl EventKind {
    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Unknown => "unknown",
            Self::Held => "held",
            Self::Released => "released",
            Self::Isolated => "isolated",
            Self::FailOpen => "fail_open",
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Snapshot => "snapshot",
        }
    }
}

/// A pool at the time of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolView {
    /// Its name.
    pub name: Arc<str>,
    /// How many of its targets are up.
    pub up: u32,
    /// How many there are.
    pub targets: u32,
    /// True while it advertises silent targets as up.
    pub fails_open: bool,
    /// It begins to do so when no more than this many are up, unless it never does.
    pub fails_open_at: Option<u32>,
}

/// A target at the time of an event.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetView {
    /// Its id, which no other target has at the same time.
    pub id: u32,
    /// The target as the operator wrote it.
    pub label: Box<str>,
    /// Its endpoint, unless it is a name that is not resolved yet.
    pub endpoint: Option<SocketAddr>,
    /// Its state before the event.
    pub from: State,
    /// Its state.
    pub to: State,
    /// What the newest check has found, such as `filtered`.
    pub finding: Option<&'static str>,
    /// The evidence, or the fault that hides the target.
    pub reason: Option<String>,
    /// How many checks in a row brought the state about.
    pub count: u8,
    /// What load balancers are told.
    pub advertised: State,
    /// True while a fault of this machine hides it.
    pub is_held: bool,
}
