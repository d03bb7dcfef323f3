//! The rows of targets and pools.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroI64, NonZeroU32};
use std::sync::Arc;
use std::time::Duration;

use halfopen::explain::Explanation;
use halfopen::verdict::PortState;
use jiff::Timestamp;

use super::history::History;
use super::pool::PoolRow;
use super::{Cause, CheckEnd, FAULTS, Program, Update};
use crate::event::{Event, EventKind, PoolView, TargetView};
use crate::fleet::health::State;

/// How many targets have a history at most.
const HISTORIES: usize = 20_000;

/// All that is known.
#[derive(Debug)]
pub struct Table {
    /// When the program started.
    pub started: Timestamp,
    /// True while nothing at all answers: this machine is cut off.
    pub is_isolated: bool,
    /// The pools, by name.
    pub pools: BTreeMap<Arc<str>, PoolRow>,
    /// The targets by id; `None` where there is none.
    pub targets: Vec<Option<TargetRow>>,
    /// How many checks were hidden by each fault of this machine.
    pub faults: BTreeMap<&'static str, u64>,
    /// The program itself.
    pub program: Program,
    /// Changes whenever an id becomes that of another target, or its labels change.
    pub layout: u64,
    histories: usize,
}

/// What is known of a target. There may be a million of them, so what most do not have is boxed.
#[derive(Debug, Clone)]
pub struct TargetRow {
    /// Its pool.
    pub pool: Arc<str>,
    more: Option<Box<More>>,
    /// Its endpoint, unless it is a name that is not resolved yet.
    pub endpoint: Option<SocketAddr>,
    /// Its state.
    pub state: State,
    /// Since when, in microseconds since 1970, if that is known.
    since: Option<NonZeroI64>,
    /// What load balancers are told.
    pub advertised: State,
    /// True while a fault of this machine hides it.
    pub is_held: bool,
    /// What the newest check found.
    pub found: Option<PortState>,
    /// The newest round-trip time in microseconds, at least one.
    round_trip: Option<NonZeroU32>,
    /// How many checks found each state, in the order of [`PortState::ALL`].
    pub verdicts: [u32; 5],
    /// How many checks a fault of this machine has hidden.
    pub faults: u32,
    /// How many SYNs were sent.
    pub syns: u32,
    /// How often its state has changed.
    pub transitions: u32,
}

const _: () = assert!(size_of::<Option<TargetRow>>() <= 104);

#[derive(Debug, Clone, Default)]
struct More {
    /// What the operator wrote, if it is not the endpoint.
    label: Option<Box<str>>,
    /// Why it is not up, or held, as of the newest event.
    reason: Option<Box<str>>,
    /// Why it is down, as far as that was found out.
    cause: Option<Box<Cause>>,
    /// The round-trip times of the last hour, unless there are very many targets.
    history: Option<Box<History>>,
}

impl TargetRow {
    /// Returns the target as the operator wrote it.
    pub fn label(&self) -> Cow<'_, str> {
        let label = self.more.as_ref().and_then(|more| more.label.as_deref());
        match (label, self.endpoint) {
            (Some(label), _) => label.into(),
            (None, Some(endpoint)) => endpoint.to_string().into(),
            (None, None) => "-".into(),
        }
    }

    /// Returns true if it is not up, or hidden by a fault of this machine.
    pub fn is_problem(&self) -> bool {
        self.state != State::Up || self.is_held
    }

    /// Returns since when it has been in its state, if that is known.
    pub fn since(&self) -> Option<Timestamp> {
        Timestamp::from_microsecond(self.since?.get()).ok()
    }

    /// Returns why it is not up, or held, as of the newest event.
    pub fn reason(&self) -> Option<&str> {
        self.more.as_ref()?.reason.as_deref()
    }

    /// Returns why it is down, if that was found out.
    pub fn explanation(&self) -> Option<&Explanation> {
        let cause = self.more.as_ref()?.cause.as_deref();
        // Checks may have found something else meanwhile, which has another one.
        cause.filter(|cause| self.found == Some(cause.found)).map(|cause| &cause.explanation)
    }

    /// Returns the round-trip times of the last hour, unless there are very many targets.
    pub fn history(&self) -> Option<&History> {
        self.more.as_ref()?.history.as_deref()
    }

    /// Returns the newest round-trip time.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip.map(|micros| Duration::from_micros(micros.get().into()))
    }

    /// Returns how many checks have ended.
    pub fn checks(&self) -> u32 {
        self.verdicts.iter().sum::<u32>() + self.faults
    }

    /// Returns how many checks did not find the port open. Those that a fault of this machine hid
    /// are not counted.
    pub fn failures(&self) -> u32 {
        self.verdicts[1..].iter().sum()
    }
}

impl Table {
    pub(super) fn new(started: Timestamp) -> Self {
        Self {
            started,
            is_isolated: false,
            pools: BTreeMap::new(),
            targets: Vec::new(),
            faults: FAULTS.map(|fault| (fault, 0)).into(),
            program: Program::default(),
            layout: 0,
            histories: 0,
        }
    }

    /// Returns the targets, each with its id.
    pub fn targets(&self) -> impl Iterator<Item = (usize, &TargetRow)> {
        self.targets.iter().enumerate().filter_map(|(id, row)| Some((id, row.as_ref()?)))
    }

    /// Returns true if every target has been checked, or would have been if it were not for a fault
    /// of this machine. A look-up of its name that has failed counts as a check, and one that goes
    /// on does not.
    pub fn is_ready(&self) -> bool {
        self.targets().all(|(_, row)| row.checks() > 0)
    }

    pub(super) fn apply(&mut self, update: Update) {
        match update {
            Update::Event(event, time) => self.apply_event(*event, time),
            Update::Check(check) => self.count(check),
            Update::Cause(cause) => self.explain(*cause),
            Update::Program(program) => self.program = *program,
            Update::Lost(lost) => lost.tell(self),
        }
    }

    /// Removes the row of a target.
    pub(super) fn remove(&mut self, id: u32) {
        let row = self.targets.get_mut(id as usize).and_then(Option::take);
        self.layout += 1;
        self.histories -= usize::from(row.is_some_and(|row| row.history().is_some()));
    }

    fn apply_event(&mut self, event: Event, time: Timestamp) {
        match (event.kind, &event.target) {
            (EventKind::Isolated, None) => self.is_isolated = true,
            (EventKind::Released, None) => self.is_isolated = false,
            _ => {}
        }
        let Some(pool) = event.pool else { return };
        let Some(target) = event.target else { return self.show_pool(&pool) };
        match event.kind {
            EventKind::Removed => {
                self.show_pool(&pool);
                self.remove(target.id);
                if pool.targets == 0 {
                    self.pools.remove(&pool.name);
                }
            }
            EventKind::Up | EventKind::Down | EventKind::Unknown => {
                self.show_target(pool, target, Some(time));
            }
            _ => self.show_target(pool, target, None),
        }
    }

    fn show_pool(&mut self, pool: &PoolView) {
        self.pools.entry(Arc::clone(&pool.name)).or_default().show(pool);
    }

    /// Shows a target, whose state has changed at `changed` if there is such a time.
    pub(super) fn show_target(
        &mut self,
        pool: PoolView,
        view: TargetView,
        changed: Option<Timestamp>,
    ) {
        self.show_pool(&pool);
        let pool = pool.name;
        let id = view.id as usize;
        if self.targets.len() <= id {
            self.targets.resize_with(id + 1, || None);
        }
        let row = self.targets[id].get_or_insert_with(|| TargetRow {
            pool: Arc::clone(&pool),
            endpoint: None,
            state: State::Unknown,
            more: None,
            since: None,
            advertised: State::Unknown,
            is_held: false,
            found: None,
            round_trip: None,
            verdicts: [0; 5],
            faults: 0,
            syns: 0,
            transitions: 0,
        });
        row.transitions += u32::from(changed.is_some());
        let known = row.since.filter(|_| row.state == view.to); // otherwise, an event was lost
        row.since = changed.map_or(known, |time| NonZeroI64::new(time.as_microsecond()));
        let is_endpoint =
            view.endpoint.is_some_and(|endpoint| *endpoint.to_string() == *view.label);
        let label = (!is_endpoint).then_some(view.label);
        let old = row.more.take().map_or_else(More::default, |more| *more);
        let has_same_labels =
            (&row.pool, row.endpoint, &old.label) == (&pool, view.endpoint, &label);
        self.layout += u64::from(!has_same_labels);
        (row.pool, row.endpoint) = (pool, view.endpoint);
        (row.state, row.advertised, row.is_held) = (view.to, view.advertised, view.is_held);
        let reason = view.reason.map(String::into_boxed_str);
        let cause = old.cause.filter(|_| row.state == State::Down && changed.is_none());
        let history = old.history;
        let has_more = label.is_some() || reason.is_some() || cause.is_some() || history.is_some();
        row.more = has_more.then(|| Box::new(More { label, reason, cause, history }));
    }

    /// Shows why a target is down, unless it is another one by now.
    fn explain(&mut self, cause: Cause) {
        let Some(Some(row)) = self.targets.get_mut(cause.id as usize) else { return };
        if row.state == State::Down && row.endpoint == Some(cause.remote) {
            row.more.get_or_insert_default().cause = Some(Box::new(cause));
        }
    }

    fn count(&mut self, check: CheckEnd) {
        if let Err(fault) = check.found {
            *self.faults.entry(fault).or_default() += 1;
        }
        let Some(Some(row)) = self.targets.get_mut(check.id as usize) else { return };
        row.syns = row.syns.wrapping_add(check.syns);
        match check.found {
            Ok(found) => {
                row.found = Some(found);
                let place = PortState::ALL.iter().position(|state| *state == found);
                row.verdicts[place.expect("all states")] += 1;
            }
            Err(_) => row.faults += 1,
        }
        if let Some(round_trip) = check.round_trip {
            let micros = u32::try_from(round_trip.as_micros()).unwrap_or(u32::MAX);
            row.round_trip = Some(NonZeroU32::new(micros).unwrap_or(NonZeroU32::MIN));
            if let Some(pool) = self.pools.get_mut(&row.pool) {
                pool.round_trips.add(round_trip);
            }
        }
        if row.history().is_none() && self.histories < HISTORIES {
            let history = Box::new(History::new(check.at));
            row.more.get_or_insert_default().history = Some(history);
            self.histories += 1;
        }
        if let Some(history) = row.more.as_mut().and_then(|more| more.history.as_mut()) {
            let has_failed = check.found.is_ok_and(|found| found != PortState::Open);
            history.add(check.at, check.round_trip, has_failed);
        }
    }
}
