//! All pools and their targets: outcomes of checks and the time go in, checks to make and events
//! come out. Pure: no I/O, no clock.

mod by_endpoint;
mod calendar;
mod capacity;
mod claims;
mod cross_checks;
mod endpoints;
pub mod fail_open;
pub mod health;
mod isolation;
mod membership;
mod outcomes;
mod pool;
mod reports;
mod rounds;
mod scheduler;
mod share;
mod target;
mod time;
mod visits;

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use halfopen::verdict::Outcome;
use rand::SeedableRng;
use rand::rngs::StdRng;

pub use self::pool::PoolSettings;
pub use self::target::Place;
pub(crate) use self::target::finding;
pub use self::visits::{Visit, VisitEnd, is_visit};

use self::by_endpoint::ByEndpoint;
use self::capacity::Capacity;
use self::claims::Cancelled;
use self::cross_checks::CrossChecks;
use self::endpoints::Endpoints;
use self::health::Health;
use self::isolation::Isolation;
use self::pool::Pool;
use self::scheduler::Scheduler;
use self::target::Target;
use self::visits::Visits;
use crate::event::Event;

/// Over how long the first checks are spread at most.
const FIRST_ROUND: Duration = Duration::from_secs(5);

/// A check to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    /// The target.
    pub id: u32,
    /// Its endpoint.
    pub endpoint: SocketAddr,
    /// The index of the engine that its segments leave by.
    pub engine: usize,
    /// When it was due: it is late by the rest.
    pub due: Duration,
}

/// What the fleet wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// This check now.
    Check(Check),
    /// To be asked again at that time.
    At(Duration),
    /// Nothing, until a check ends.
    Nothing,
}

/// A target to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What the operator wrote, unless it is the endpoint.
    pub label: Option<Box<str>>,
    /// Where it is.
    pub place: Place,
    /// True if it is a witness: probed, and never reported.
    pub is_witness: bool,
}

/// Pools and their targets.
pub struct Fleet {
    /// Pools by number.
    pools: Vec<Pool>,
    free_pools: BTreeSet<u32>,
    /// Targets by id; `None` where one was removed.
    targets: Vec<Option<Target>>,
    free: Vec<u32>,
    endpoints: Endpoints,
    by_endpoint: ByEndpoint,
    visits: Visits,
    capacity: Capacity,
    cancelled: VecDeque<Cancelled>,
    scheduler: Scheduler,
    /// True if the caller has asked for a check.
    is_running: bool,
    /// When the caller was told to ask again, if it was.
    promised: Option<Duration>,
    isolation: Isolation,
    cross_checks: CrossChecks,
    /// The targets to check at once, to see whether anything answers.
    asked: Vec<u32>,
    /// The shortest interval of a pool.
    shortest_interval: Duration,
    /// The longest time that a check takes.
    longest_check: Duration,
    /// The pools that fail open.
    open: BTreeSet<u32>,
    events: VecDeque<Event>,
    /// What was found of targets without a check.
    unprobed: VecDeque<(u32, Outcome)>,
    sequence: u64,
    random: StdRng,
}

impl Fleet {
    /// Creates a fleet without pools, for at most `rate` SYNs per second (0: any number). The
    /// times of its checks are random, and follow from `seed`.
    pub fn new(rate: u32, seed: u64) -> Self {
        Self {
            pools: Vec::new(),
            free_pools: BTreeSet::new(),
            targets: Vec::new(),
            free: Vec::new(),
            endpoints: Endpoints::default(),
            by_endpoint: ByEndpoint::default(),
            visits: Visits::new(rate),
            capacity: Capacity::default(),
            cancelled: VecDeque::new(),
            scheduler: Scheduler::new(rate),
            is_running: false,
            promised: None,
            isolation: Isolation::default(),
            cross_checks: CrossChecks::default(),
            asked: Vec::new(),
            shortest_interval: Duration::MAX,
            longest_check: Duration::ZERO,
            open: BTreeSet::new(),
            events: VecDeque::new(),
            unprobed: VecDeque::new(),
            sequence: 0,
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// Limits how many checks run at once, before the first one: by index, how many each engine
    /// can.
    pub fn limit_checks(&mut self, capacities: &[usize]) {
        self.capacity = Capacity::new(capacities);
    }

    /// Returns how many checks have waited for room so far.
    pub fn delayed(&self) -> u64 {
        self.capacity.delayed()
    }

    /// Returns what is known of a target.
    pub fn health(&self, id: u32) -> &Health {
        &self.target(id).health
    }

    /// Returns true while nothing at all answers: this machine is cut off.
    pub fn is_isolated(&self) -> bool {
        self.isolation.is_isolated()
    }

    /// Returns the next target that was due and needed no packet, because its name has no address,
    /// and what that counts as.
    pub fn poll_unprobed(&mut self) -> Option<(u32, Outcome)> {
        self.unprobed.pop_front()
    }

    /// Returns the next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Returns the endpoint of a target, if there is such a target and its endpoint is known.
    fn endpoint_of(&self, id: u32) -> Option<SocketAddr> {
        self.targets.get(id as usize)?.as_ref()?.place.endpoint()
    }

    /// Returns the targets that have this endpoint.
    fn targets_at(&self, endpoint: SocketAddr) -> impl Iterator<Item = u32> {
        self.by_endpoint.find(endpoint, |id| self.endpoint_of(id))
    }

    fn target(&self, id: u32) -> &Target {
        self.targets[id as usize].as_ref().expect("a target of the fleet")
    }

    fn target_mut(&mut self, id: u32) -> &mut Target {
        self.targets[id as usize].as_mut().expect("a target of the fleet")
    }
}

fn number(index: usize) -> u32 {
    index.try_into().expect("fewer than 2³² pools and targets")
}
