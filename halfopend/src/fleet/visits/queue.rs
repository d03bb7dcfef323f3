//! The visits that have not ended, and when to look at them.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use halfopen::schedule::Schedule;

use super::{Visit, VisitEnd};
use crate::fleet::share::Share;

/// The first id of visits, higher than those of targets.
pub(super) const FIRST_ID: u32 = 1 << 26;

/// The visits that have not ended.
///
/// Invariant: `due` has each visit that does not run, at the time of its stage. `by_endpoint` has
/// all visits, and no empty list.
#[derive(Debug)]
pub(in crate::fleet) struct Visits {
    pub(super) pending: HashMap<u32, Pending>,
    /// The newest id, counted from [`FIRST_ID`].
    count: u32,
    /// When to look at which visit.
    pub(super) due: BTreeSet<(Duration, u32)>,
    by_endpoint: HashMap<SocketAddr, Vec<u32>>,
    pub(super) share: Share,
    pub(super) ended: VecDeque<(u32, VisitEnd)>,
}

#[derive(Debug)]
pub(super) struct Pending {
    pub(super) visit: Visit,
    asked: Duration,
    pub(super) stage: Stage,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Stage {
    /// It is looked at then.
    Due(Duration),
    /// It is looked at then, or earlier, as soon as the check of its endpoint has ended.
    Waiting(Duration),
    /// It is being checked since then.
    Running(Duration, Schedule),
}

impl Stage {
    /// Returns when to look at the visit.
    fn due(self) -> Option<Duration> {
        match self {
            Self::Due(at) | Self::Waiting(at) => Some(at),
            Self::Running(..) => None,
        }
    }
}

impl Visits {
    /// Creates an empty queue, with a quarter of the rate.
    pub(in crate::fleet) fn new(rate: u32) -> Self {
        Self {
            pending: HashMap::new(),
            count: 0,
            due: BTreeSet::new(),
            by_endpoint: HashMap::new(),
            share: Share::quarter_of(rate),
            ended: VecDeque::new(),
        }
    }

    pub(super) fn add(&mut self, visit: Visit, now: Duration) -> u32 {
        let id = loop {
            self.count = (self.count + 1) % FIRST_ID;
            let id = FIRST_ID + self.count;
            if !self.pending.contains_key(&id) {
                break id;
            }
        };
        self.pending.insert(id, Pending { visit, asked: now, stage: Stage::Due(now) });
        self.due.insert((now, id));
        self.by_endpoint.entry(visit.endpoint).or_default().push(id);
        id
    }

    pub(super) fn remove(&mut self, id: u32) -> Option<Pending> {
        let pending = self.pending.remove(&id)?;
        if let Some(at) = pending.stage.due() {
            self.due.remove(&(at, id));
        }
        if let Entry::Occupied(mut others) = self.by_endpoint.entry(pending.visit.endpoint) {
            others.get_mut().retain(|other| *other != id);
            if others.get().is_empty() {
                others.remove();
            }
        }
        Some(pending)
    }

    pub(super) fn end(&mut self, id: u32, end: VisitEnd) {
        if self.remove(id).is_some() {
            self.ended.push_back((id, end));
        }
    }

    /// Lets a visit be looked at again at `at`.
    pub(super) fn look_again(&mut self, id: u32, at: Duration) {
        self.set_stage(id, Stage::Due(at));
    }

    /// Moves a visit to another stage.
    pub(super) fn set_stage(&mut self, id: u32, stage: Stage) {
        let Some(pending) = self.pending.get_mut(&id) else { return };
        let before = std::mem::replace(&mut pending.stage, stage);
        if let Some(at) = before.due() {
            self.due.remove(&(at, id));
        }
        if let Some(at) = stage.due() {
            self.due.insert((at, id));
        }
    }

    /// Lets the visits that wait for `endpoint` be looked at again at `at`.
    pub(in crate::fleet) fn wake(&mut self, endpoint: SocketAddr, at: Duration) {
        let is_waiting = |id: &u32| matches!(self.pending[id].stage, Stage::Waiting(_));
        let waiting: Vec<_> = self.at(endpoint).filter(is_waiting).collect();
        for id in waiting {
            self.look_again(id, at);
        }
    }

    /// Returns the visits that a check of `endpoint` answers: they were asked for before it began.
    pub(in crate::fleet) fn served(&self, endpoint: SocketAddr, begun: Duration) -> Vec<u32> {
        let is_served = |id: &u32| {
            let Pending { asked, stage, .. } = &self.pending[id];
            *asked <= begun && stage.due().is_some()
        };
        self.at(endpoint).filter(is_served).collect()
    }

    /// Returns the visits that the check of this one answers, too: checks of their own would have
    /// been the same.
    pub(super) fn companions(&self, id: u32) -> Vec<u32> {
        let Pending { visit, stage: Stage::Running(begun, schedule), .. } = &self.pending[&id]
        else {
            return Vec::new();
        };
        let mut others = self.served(visit.endpoint, *begun);
        others.retain(|other| {
            let other = &self.pending[other].visit;
            other.engine == visit.engine && other.schedule(*begun) == Some(*schedule)
        });
        others
    }

    /// Returns true if the check of another visit answers this one.
    pub(super) fn is_companion(&self, id: u32) -> bool {
        let endpoint = self.pending[&id].visit.endpoint;
        self.at(endpoint).any(|other| self.companions(other).contains(&id))
    }

    /// Returns the visits of an endpoint, in the order in which they were asked for.
    fn at(&self, endpoint: SocketAddr) -> impl Iterator<Item = u32> {
        // Usually there are none, and no look-up.
        let ids = if self.pending.is_empty() { None } else { self.by_endpoint.get(&endpoint) };
        ids.into_iter().flatten().copied()
    }
}
