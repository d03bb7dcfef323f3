//! Changes of the fleet, as many at a time as delay no check.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::members::Members;
use super::names::Names;
use super::plan::{Difference, Plan, PoolPlan};
use crate::fleet::{Fleet, Member, Place, PoolSettings};

/// How many targets are added or removed at a time.
const CHANGES: usize = 256;

/// How many targets are looked at to find those that are to be removed.
const LOOKS: usize = 8192;

/// Targets that are yet to be removed or added.
#[derive(Default)]
pub(super) struct Changes {
    removals: VecDeque<Removal>,
    additions: VecDeque<Addition>,
    /// Pools that have no targets then.
    emptied: Vec<u32>,
}

struct Removal {
    pool: u32,
    members: Members,
    /// The targets of the pool from this index on have been looked at.
    end: usize,
}

struct Addition {
    pool: u32,
    is_witness: bool,
    endpoints: Box<dyn Iterator<Item = SocketAddr>>,
    is_news: bool,
}

impl Changes {
    /// Changes the pools, their names and their witnesses at once. Targets that are addresses
    /// follow, because there may be a million of them.
    pub(super) fn begin(
        &mut self,
        plan: Plan,
        is_news: bool,
        pools: &mut HashMap<Arc<str>, u32>,
        (names, fleet): (&mut Names, &mut Fleet),
        now: Duration,
    ) {
        let mut removed = Vec::new();
        for PoolPlan { settings, is_gone, members } in plan.pools {
            let pool = self.enter(settings, is_gone, pools, fleet, now);
            for (is_witness, Difference { added, removed: gone }) in
                [false, true].into_iter().zip(members)
            {
                for named in &added.named {
                    names.attach(fleet, (pool, is_witness), named.clone(), is_news, now);
                }
                let endpoints = Box::new(added.into_endpoints());
                self.additions.push_back(Addition { pool, is_witness, endpoints, is_news });
                removed.push((pool, is_witness, gone));
            }
        }
        // Last, so that what is known of a name is still known if it moves to another pool.
        for (pool, is_witness, gone) in removed {
            for named in &gone.named {
                names.detach(fleet, (pool, is_witness), named, now);
            }
            if is_witness {
                remove_witnesses(fleet, pool, &gone, now);
            } else if gone.has_endpoints() {
                self.removals.push_back(Removal { pool, members: gone, end: usize::MAX });
            }
        }
    }

    /// Adds a pool or changes its settings, and returns its number.
    fn enter(
        &mut self,
        settings: PoolSettings,
        is_gone: bool,
        pools: &mut HashMap<Arc<str>, u32>,
        fleet: &mut Fleet,
        now: Duration,
    ) -> u32 {
        if is_gone {
            let pool = pools.remove(&settings.name).expect("a pool that was in force");
            self.emptied.push(pool);
            return pool;
        }
        let Some(pool) = pools.get(&settings.name) else {
            let name = settings.name.clone();
            return *pools.entry(name).or_insert(fleet.add_pool(settings));
        };
        fleet.set_settings(*pool, settings, now);
        *pool
    }

    /// Returns true if nothing is left to be done.
    pub(super) fn are_made(&self) -> bool {
        self.removals.is_empty() && self.additions.is_empty() && self.emptied.is_empty()
    }

    /// Makes some of the changes.
    pub(super) fn make_some(&mut self, fleet: &mut Fleet, now: Duration) {
        let mut room = CHANGES;
        while let Some(removal) = self.removals.front_mut() {
            if !removal.make_some(&mut room, fleet, now) {
                return;
            }
            self.removals.pop_front();
        }
        while let Some(addition) = self.additions.front_mut() {
            if !addition.make_some(&mut room, fleet, now) {
                return;
            }
            self.additions.pop_front();
        }
        for pool in self.emptied.drain(..) {
            fleet.remove_pool(pool);
        }
    }
}

impl Removal {
    /// Removes some targets. Returns true if none is left.
    fn make_some(&mut self, room: &mut usize, fleet: &mut Fleet, now: Duration) -> bool {
        // From the end: the last target takes the place of one that is removed.
        let targets = fleet.targets_of(self.pool).len();
        self.end = self.end.min(targets);
        for index in (self.end.saturating_sub(LOOKS)..self.end).rev() {
            if *room == 0 {
                return false;
            }
            self.end = index;
            let id = fleet.targets_of(self.pool)[index];
            if fleet.written_endpoint(id).is_some_and(|e| self.members.contains(e)) {
                fleet.remove(id, now);
                *room -= 1;
            }
        }
        self.end == 0
    }
}

impl Addition {
    /// Adds some targets. Returns true if none is left.
    fn make_some(&mut self, room: &mut usize, fleet: &mut Fleet, now: Duration) -> bool {
        while *room > 0 {
            let Some(endpoint) = self.endpoints.next() else { return true };
            let place = Place::Endpoint(endpoint);
            let member = Member { label: None, place, is_witness: self.is_witness };
            let id = fleet.add(self.pool, member, now);
            if self.is_news {
                fleet.announce(id, now);
            }
            *room -= 1;
        }
        false
    }
}

fn remove_witnesses(fleet: &mut Fleet, pool: u32, members: &Members, now: Duration) {
    let is_gone = |id: &u32| fleet.written_endpoint(*id).is_some_and(|e| members.contains(e));
    let gone: Vec<_> = fleet.witnesses_of(pool).iter().copied().filter(is_gone).collect();
    for id in gone {
        fleet.remove(id, now);
    }
}
