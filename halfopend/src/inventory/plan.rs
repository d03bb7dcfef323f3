//! What a new configuration changes.

use std::collections::{BTreeSet, HashMap};
use std::mem;
use std::sync::Arc;

use super::members::{Host, Members};
use crate::config::{Config, PoolConfig, Written};
use crate::fleet::PoolSettings;
use crate::probe::Terms;

/// A configuration that is in force.
#[derive(Debug, Clone, Default)]
pub(super) struct InForce {
    /// Its pools, without their targets.
    pub(super) pools: Vec<PoolConfig>,
    /// What may be checked on demand.
    pub(super) terms: Arc<Terms>,
    /// What readers are shown.
    pub(super) text: Arc<str>,
    /// The targets of each pool, and its witnesses.
    members: HashMap<Arc<str>, [Members; 2]>,
}

/// What is to be changed.
#[derive(Debug)]
pub(super) struct Plan {
    /// What will be in force then.
    pub(super) next: Arc<InForce>,
    pub(super) pools: Vec<PoolPlan>,
}

/// What is to be changed in a pool.
#[derive(Debug)]
pub(super) struct PoolPlan {
    pub(super) settings: PoolSettings,
    /// True if there is no such pool any more.
    pub(super) is_gone: bool,
    /// Among its targets, and among its witnesses.
    pub(super) members: [Difference; 2],
}

/// What is to be changed among the members of a pool.
#[derive(Debug, Default)]
pub(super) struct Difference {
    pub(super) added: Members,
    pub(super) removed: Members,
}

impl InForce {
    /// Returns what a configuration puts into force.
    pub(super) fn of(config: Config) -> Self {
        let text = Written(&config).to_string().into();
        let terms = Arc::new(Terms::of(&config));
        let mut in_force = Self { pools: config.pools, terms, text, members: HashMap::new() };
        for pool in &mut in_force.pools {
            let (targets, witnesses) =
                (mem::take(&mut pool.targets), mem::take(&mut pool.witnesses));
            let members = [targets, witnesses].map(|of| Members::of(&of, pool.addresses));
            in_force.members.insert(pool.settings.name.clone(), members);
        }
        in_force
    }

    fn members(&self, name: &str) -> [&Members; 2] {
        static NONE: Members = Members::none();
        self.members.get(name).map_or([&NONE; 2], |[targets, witnesses]| [targets, witnesses])
    }
}

impl Plan {
    /// Returns what leads from one configuration to the next.
    pub(super) fn between(old: &InForce, next: InForce) -> Self {
        let pool = |settings: &PoolSettings, is_gone: bool| {
            let name = &settings.name;
            let [targets, witnesses] = old.members(name);
            let [new_targets, new_witnesses] = next.members(name);
            let difference = |old: &Members, new: &Members| Difference {
                added: new.without(old),
                removed: old.without(new),
            };
            let members = [difference(targets, new_targets), difference(witnesses, new_witnesses)];
            PoolPlan { settings: settings.clone(), is_gone, members }
        };
        let is_gone = |name: &str| !next.members.contains_key(name);
        let gone = old.pools.iter().filter(|pool| is_gone(&pool.settings.name));
        let gone = gone.map(|old| pool(&old.settings, true));
        let pools = gone.chain(next.pools.iter().map(|new| pool(&new.settings, false))).collect();
        Self { pools, next: Arc::new(next) }
    }

    /// Returns the hosts whose targets are added.
    pub(super) fn hosts(&self) -> BTreeSet<&Host> {
        let members = self.pools.iter().flat_map(|pool| &pool.members);
        members.flat_map(|members| &members.added.named).map(|named| &named.host).collect()
    }
}
