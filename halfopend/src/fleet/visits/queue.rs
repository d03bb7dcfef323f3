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
/// Invariant: `due` has each visit that does not run, at the time of its stage. `waiting` has no
/// others, and no empty list.
#[derive(Debug)]
pub(in crate::fleet) struct Visits {
    pub(super) pending: HashMap<u32, Pending>,
    /// The newest id, counted from [`FIRST_ID`].
    count: u32,
    /// When to look at which visit.
    pub(super) due: BTreeSet<(Duration, u32)>,
    /// The visits to look at earlier, as soon as the check of their endpoint has ended.
    waiting: HashMap<SocketAddr, Vec<u32>>,
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
    /// It is being checked.
    Running(Schedule),
}

impl Visits {
    /// Creates an empty queue, with a quarter of the rate.
    pub(in crate::fleet) fn new(rate: u32) -> Self {
        Self {
            pending: HashMap::new(),
            count: 0,
            due: BTreeSet::new(),
            waiting: HashMap::new(),
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
        id
    }

    pub(super) fn remove(&mut self, id: u32) -> Option<Pending> {
        let pending = self.pending.remove(&id)?;
        self.unlink(id, &pending);
        Some(pending)
    }

    pub(super) fn end(&mut self, id: u32, end: VisitEnd) {
        if self.remove(id).is_some() {
            self.ended.push_back((id, end));
        }
    }

    /// Records that a visit begins to be checked.
    pub(super) fn begin(&mut self, id: u32, schedule: Schedule) {
        self.set_stage(id, Stage::Running(schedule));
    }

    /// Lets a visit be looked at again at `at`.
    pub(super) fn look_again(&mut self, id: u32, at: Duration) {
        self.set_stage(id, Stage::Due(at));
    }

    /// Lets a visit be looked at again at `at`, or when the check of its endpoint has ended.
    pub(super) fn wait(&mut self, id: u32, endpoint: SocketAddr, at: Duration) {
        self.look_again(id, at);
        self.waiting.entry(endpoint).or_default().push(id);
    }

    fn set_stage(&mut self, id: u32, stage: Stage) {
        let Some(mut pending) = self.remove(id) else { return };
        if let Stage::Due(at) = stage {
            self.due.insert((at, id));
        }
        pending.stage = stage;
        self.pending.insert(id, pending);
    }

    /// Takes a visit out of `due` and `waiting`.
    fn unlink(&mut self, id: u32, Pending { visit, stage, .. }: &Pending) {
        if let Stage::Due(at) = stage {
            self.due.remove(&(*at, id));
        }
        if let Entry::Occupied(mut waiting) = self.waiting.entry(visit.endpoint) {
            waiting.get_mut().retain(|other| *other != id);
            if waiting.get().is_empty() {
                waiting.remove();
            }
        }
    }

    /// Lets the visits that wait for `endpoint` be looked at again at `at`.
    pub(in crate::fleet) fn wake(&mut self, endpoint: SocketAddr, at: Duration) {
        if self.waiting.is_empty() {
            return;
        }
        for id in self.waiting.remove(&endpoint).into_iter().flatten() {
            self.look_again(id, at);
        }
    }

    /// Returns the visits that wait for a check of `endpoint` and were asked for before it began.
    pub(in crate::fleet) fn served(&self, endpoint: SocketAddr, begun: Duration) -> Vec<u32> {
        let waiting = self.waiting.get(&endpoint).into_iter().flatten().copied();
        waiting.filter(|id| self.pending[id].asked <= begun).collect()
    }
}
