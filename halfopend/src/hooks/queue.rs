//! Events that wait for their hooks. Pure.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;

use crate::event::{Event, EventKind};

/// The most events that wait. Those beyond are refused.
const MOST: usize = 1 << 16;

/// The most runs at once, of all pools together.
const AT_ONCE: usize = 64;

/// An event that waits.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    /// The hook that its pool had when it happened, with arguments.
    pub(super) command: Arc<[String]>,
    pub(super) event: Event,
    pub(super) time: Timestamp,
}

/// Events that wait, by pool.
///
/// In each pool, one run goes on at a time, and events are taken in the order in which they
/// happened. At most three events of a target wait: the newest of its state, the newest of a hold,
/// and the newest of failing open. So a `held` does not hide a `down`.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pools: HashMap<Arc<str>, Pool>,
    /// The pools that have something waiting and no run.
    ready: VecDeque<Arc<str>>,
    waiting: usize,
    running: usize,
}

#[derive(Debug, Default)]
struct Pool {
    is_running: bool,
    /// In the order in which they happened.
    waiting: BTreeMap<u64, Waiting>,
    newest: HashMap<Subject, u64>,
}

/// What an event is about. A newer one about the same replaces it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Subject {
    /// The target, if it is about one. A name may have several addresses.
    target: Option<(Box<str>, Option<SocketAddr>)>,
    aspect: Aspect,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Aspect {
    /// The state, or whether it is checked.
    State,
    /// Whether a fault of this machine hides it.
    Visibility,
    /// Whether it is advertised as up although it is silent.
    FailOpen,
}

impl Subject {
    fn of(event: &Event) -> Self {
        let target = event.target.as_ref();
        let target = target.map(|target| (target.label.clone(), target.endpoint));
        let aspect = match event.kind {
            EventKind::Held | EventKind::Released | EventKind::Isolated => Aspect::Visibility,
            EventKind::FailOpen => Aspect::FailOpen,
            _ => Aspect::State,
        };
        Self { target, aspect }
    }
}

impl Queue {
    /// Adds an event of a pool. Returns false if there is no room for it.
    pub(super) fn push(&mut self, pool: &Arc<str>, waiting: Waiting) -> bool {
        let subject = Subject::of(&waiting.event);
        let queue = self.pools.entry(pool.clone()).or_default();
        let older = queue.newest.get(&subject).copied();
        if older.is_none() && self.waiting >= MOST {
            return false;
        }
        if let Some(older) = older {
            queue.waiting.remove(&older);
        } else {
            self.waiting += 1;
        }
        if queue.waiting.is_empty() && older.is_none() && !queue.is_running {
            self.ready.push_back(pool.clone());
        }
        queue.newest.insert(subject, waiting.event.sequence);
        queue.waiting.insert(waiting.event.sequence, waiting);
        true
    }

    /// Returns the next event that may run, and its pool, which runs it from now on.
    pub(super) fn poll(&mut self) -> Option<(Arc<str>, Waiting)> {
        if self.running >= AT_ONCE {
            return None;
        }
        let name = self.ready.pop_front()?;
        let pool = self.pools.get_mut(&name).expect("a pool that waits");
        let (_, waiting) = pool.waiting.pop_first().expect("something that waits");
        pool.newest.remove(&Subject::of(&waiting.event));
        pool.is_running = true;
        self.running += 1;
        self.waiting -= 1;
        Some((name, waiting))
    }

    /// Records that the run of a pool has ended.
    pub(super) fn ended(&mut self, name: &Arc<str>) {
        self.running -= 1;
        let pool = self.pools.get_mut(name).expect("a pool that has run something");
        pool.is_running = false;
        if pool.waiting.is_empty() {
            self.pools.remove(name);
        } else {
            self.ready.push_back(name.clone());
        }
    }

    /// Returns how many events wait.
    pub(super) fn len(&self) -> usize {
        self.waiting
    }

    /// Removes all events that wait. Returns how many there were.
    pub(super) fn clear(&mut self) -> usize {
        self.ready.clear();
        for pool in self.pools.values_mut() {
            pool.waiting.clear();
            pool.newest.clear();
        }
        self.pools.retain(|_, pool| pool.is_running);
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests;
