//! All pools and their targets: outcomes of checks and the time go in, checks to make and events
//! come out. Pure: no I/O, no clock.

mod endpoints;
pub mod fail_open;
pub mod health;
mod isolation;
mod membership;
mod pool;
mod reports;
mod scheduler;
mod target;

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use halfopen::schedule::Schedule;
use halfopen::verdict::{NoVerdict, Outcome, Reason, Verdict};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

pub use self::pool::PoolSettings;
pub use self::target::Place;

use self::endpoints::{Endpoints, Turn};
use self::health::{Change, Finding, State};
use self::isolation::Isolation;
use self::membership::Cancelled;
use self::pool::Pool;
use self::scheduler::{Lane, Scheduler, Timing};
use self::target::{Target, finding};
use crate::event::{Event, EventKind};

/// Over how long the first checks are spread at most.
const FIRST_ROUND: Duration = Duration::from_secs(5);

/// How many targets are asked at once whether this machine's network works.
const ALIBIS: usize = 3;

/// How many targets are looked at to find them.
const CANDIDATES: u32 = 256;

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
    witnesses: BTreeSet<u32>,
    endpoints: Endpoints,
    cancelled: VecDeque<Cancelled>,
    scheduler: Scheduler,
    isolation: Isolation,
    /// The shortest interval of a pool.
    shortest_interval: Duration,
    /// The pools that fail open.
    open: BTreeSet<u32>,
    events: VecDeque<Event>,
    sequence: u64,
    random: StdRng,
}

impl Fleet {
    /// Creates a fleet without pools, for at most `rate` checks per second (0: any number). The
    /// times of its checks are random, and follow from `seed`.
    pub fn new(rate: u32, seed: u64) -> Self {
        Self {
            pools: Vec::new(),
            free_pools: BTreeSet::new(),
            targets: Vec::new(),
            free: Vec::new(),
            witnesses: BTreeSet::new(),
            endpoints: Endpoints::default(),
            cancelled: VecDeque::new(),
            scheduler: Scheduler::new(rate),
            isolation: Isolation::default(),
            shortest_interval: Duration::MAX,
            open: BTreeSet::new(),
            events: VecDeque::new(),
            sequence: 0,
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// Returns what to do at `now`.
    pub fn next(&mut self, now: Duration) -> Wanted {
        if self.isolation.begins(now) {
            self.tell_all(EventKind::Isolated);
        }
        self.close_pools(now);
        loop {
            let targets = &self.targets;
            let is_current = |id: u32, lane: Lane, due: Duration| {
                targets[id as usize].as_ref().is_some_and(|target| {
                    let Timing { is_pending, due: own, lane: own_lane, .. } = target.timing;
                    !is_pending && (own, own_lane) == (due, lane)
                })
            };
            let id = match self.scheduler.poll(now, is_current) {
                Ok(id) => id,
                Err(due) => {
                    let next = [due, self.poll_timeout()].into_iter().flatten().min();
                    return next.map_or(Wanted::Nothing, Wanted::At);
                }
            };
            if let Some(check) = self.begin(id, now) {
                return Wanted::Check(check);
            }
        }
    }

    /// Begins the check of a target that is due, if there is something to send and nobody else
    /// checks its endpoint.
    fn begin(&mut self, id: u32, now: Duration) -> Option<Check> {
        let target = self.targets[id as usize].as_mut().expect("a target of the fleet");
        let due = target.timing.due;
        target.timing.begin(now);
        match target.place {
            Place::Endpoint(endpoint) => match self.endpoints.claim(endpoint, id, now) {
                Turn::Now => {
                    let engine = self.pools[target.pool as usize].settings.engine;
                    return Some(Check { id, endpoint, engine, due });
                }
                Turn::At(rested) => {
                    (target.timing.is_pending, target.timing.due) = (false, rested);
                    self.wait(id);
                }
                Turn::Later => {}
            },
            Place::Gone(failure) => {
                let reason = Reason::NameNotResolved(failure);
                self.conclude(id, Ok(Verdict::without_probe(reason)), now);
            }
            Place::Unresolved => match target.trouble.take() {
                Some(why) => self.conclude(id, *why, now),
                None => self.wait_regularly(id, now),
            },
        }
        None
    }

    /// Returns the schedule of the SYNs to a target.
    pub fn schedule(&self, id: u32) -> Schedule {
        self.pools[self.target(id).pool as usize].settings.schedule
    }

    /// Records how a check has ended, unless it was cancelled.
    pub fn ended(&mut self, id: u32, outcome: Outcome, now: Duration) {
        let target = self.targets.get(id as usize).and_then(Option::as_ref);
        let Some(endpoint) = target.and_then(|target| target.place.endpoint()) else { return };
        if !self.endpoints.is_checked_for(endpoint, id) {
            return;
        }
        self.release(endpoint, id, now);
        if outcome == Err(NoVerdict::AlreadyPending) {
            let timing = &mut self.target_mut(id).timing;
            timing.end(now);
            timing.due = timing.rested;
            return self.wait(id);
        }
        self.conclude(id, outcome, now);
    }

    /// Takes in what a target that was due is found to be.
    fn conclude(&mut self, id: u32, outcome: Outcome, now: Duration) {
        let finding = finding(&outcome);
        let target = self.target_mut(id);
        target.timing.end(now);
        if let Ok(verdict) = &outcome
            && finding == Finding::Open
        {
            target.round_trip = verdict.round_trip().or(target.round_trip);
        }
        target.trouble = (finding != Finding::Open).then(|| Box::new(outcome));
        if !target.is_witness {
            self.observe(id, finding, now);
        }
        self.wait_as_found(id, now);
    }

    /// Records that the network has answered at `at`, whoever it was: it works.
    pub fn answered(&mut self, at: Duration) {
        if self.isolation.answered(at) {
            for id in self.isolation.take_suspects() {
                self.target_mut(id).health.start_over();
            }
            self.tell_all(EventKind::Released);
        } else if self.isolation.has_suspects() {
            for id in self.isolation.take_suspects() {
                if self.isolation.silence_is_proof(self.target(id).health.since()) {
                    let change = self.target_mut(id).health.fall();
                    self.apply(id, change, at);
                } else {
                    self.isolation.suspect(id, at);
                }
            }
        }
    }

    /// Returns the next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Takes in what a check has found.
    fn observe(&mut self, id: u32, finding: Finding, now: Duration) {
        let target = self.targets[id as usize].as_mut().expect("a target");
        let settings = &self.pools[target.pool as usize].settings;
        let watches = settings.holds_if_isolated && !target.is_local();
        if finding == Finding::Silent && watches && self.isolation.is_isolated() {
            return;
        }
        let begun = target.timing.begun;
        let since = if target.health.count() == 0 { begun } else { target.health.since() };
        let may_fall = !watches || self.isolation.silence_is_proof(since);
        let rules = settings.rules;
        let changes = target.health.observe(finding, rules, may_fall, begun, now);
        let is_suspect = target.health.is_suspect(rules);
        for change in changes.into_iter().flatten() {
            self.apply(id, change, now);
        }
        if !is_suspect {
            self.isolation.clear(id);
        } else if self.isolation.suspect(id, now) {
            self.seek_alibis(now);
        }
    }

    fn apply(&mut self, id: u32, change: Change, now: Duration) {
        match change {
            Change::Held => self.tell(id, EventKind::Held, None),
            Change::Released => self.tell(id, EventKind::Released, None),
            Change::State(from, count) => {
                let target = self.target(id);
                let (to, pool) = (target.health.state(), target.pool);
                let up = &mut self.pools[pool as usize].up;
                *up = *up + u32::from(to == State::Up) - u32::from(from == State::Up);
                let kind = match to {
                    State::Up => EventKind::Up,
                    State::Down => EventKind::Down,
                    State::Unknown => EventKind::Unknown,
                };
                self.expect_or_not(id);
                let switches = self.update_fail_open(pool, now);
                self.tell(id, kind, Some((from, count)));
                if switches {
                    self.tell_fail_open(pool, id);
                }
            }
        }
    }

    /// Checks some targets at once that are believed to be up, to see whether anything answers.
    fn seek_alibis(&mut self, now: Duration) {
        let count = number(self.targets.len());
        let start = self.random.random_range(0..count);
        let others = (0..count.min(CANDIDATES)).map(|step| (start + step) % count);
        let witnesses = self.witnesses.iter().copied();
        let is_able = |id: &u32| {
            self.targets[*id as usize].as_ref().is_some_and(|target| {
                let resting = target.timing.is_pending || target.timing.rested > now;
                target.is_expected && !resting && target.health.count() == 0
            })
        };
        let chosen: Vec<_> = witnesses.chain(others).filter(is_able).take(ALIBIS).collect();
        for id in chosen {
            let timing = &mut self.target_mut(id).timing;
            (timing.lane, timing.due) = (Lane::Fast, now);
            self.wait(id);
        }
    }

    /// Returns when something happens by itself.
    fn poll_timeout(&self) -> Option<Duration> {
        let closing = |pool: &u32| self.pools[*pool as usize].fail_open.poll_timeout();
        self.open.iter().filter_map(closing).chain(self.isolation.poll_timeout()).min()
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
