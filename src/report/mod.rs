//! The result, and the ways to write it: each a pure function from a [`Report`] to text.

mod details;
pub mod json;
pub mod nagios;
mod plain;
pub mod progress;
pub mod text;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

pub use details::render_packet;

use crate::event_loop::PacketEvent;
use crate::local_error::LocalError;
use crate::plan::{Format, Plan};
use crate::probe::DiscardReason;
use crate::schedule::Schedule;
use crate::status::{Judgement, Status};
use crate::verdict::{Outcome, PortState, Verdict};

/// Findings kept for the nagios format at most, of those that are OK and of those that are not:
/// more than fit in what a monitor reads.
const KEPT: u128 = 500;

/// Pools up to this size have performance data for each of their targets.
const MEASURED: u128 = 50;

/// The result of a program run.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// What was asked for, without its targets.
    pub plan: Plan,
    /// How many targets there are.
    pub total: u128,
    /// What kept the whole program from learning anything.
    pub error: Option<LocalError>,
    /// True when the program was asked to end early.
    pub interrupted: bool,
    /// How many targets ended how.
    pub tally: Tally,
    /// What was found; not all of it where there is more than can be said.
    pub findings: Vec<Finding>,
    /// How targets were probed; `None` where nothing could be sent.
    pub engine: Option<&'static str>,
    /// When the SYNs of a target go out that is probed at once; `None` where nothing could be sent.
    pub schedule: Option<Schedule>,
    /// What each name resolved to, in the resolver's order.
    pub addresses: Vec<(String, Vec<SocketAddr>)>,
    /// What arrived and proved nothing.
    pub discarded: BTreeMap<DiscardReason, usize>,
    /// Answers lost to this machine's receive queue.
    pub lost: u64,
    /// SYNs that this machine had no room for at first.
    pub postponed: u64,
    /// Packets both ways, and when, from the start of the program; where the verbosity asks for
    /// them.
    pub packets: Vec<(Duration, PacketEvent)>,
    /// Packets that there were beside those.
    pub more_packets: u64,
    /// How long the program took.
    pub elapsed: Duration,
}

/// How many targets ended how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Open.
    pub open: u128,
    /// Closed.
    pub closed: u128,
    /// Filtered.
    pub filtered: u128,
    /// Unreachable.
    pub unreachable: u128,
    /// Stale.
    pub stale: u128,
    /// Nothing could be learnt.
    pub unknown: u128,
    /// Status OK.
    pub ok: u128,
    /// Status WARNING.
    pub warning: u128,
    /// Status CRITICAL.
    pub critical: u128,
}

/// What was found of one target.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The place of its target on the command line or in the file.
    pub id: u32,
    /// As it was written.
    pub target: String,
    /// Its address; `None` when its name does not resolve.
    pub address: Option<IpAddr>,
    /// Its port.
    pub port: u16,
    /// How it ended.
    pub outcome: Outcome,
    /// What that means to the operator.
    pub judgement: Judgement,
    /// The other addresses of its name, and what became of them; `None` where that is not known.
    pub others: Vec<(IpAddr, Option<Outcome>)>,
}

impl Finding {
    /// The target as it was written, and its address where that says more.
    pub fn name(&self) -> String {
        let written = |address: &IpAddr| {
            self.target.trim_start_matches('[').starts_with(&address.to_string())
        };
        match self.address.filter(|address| !written(address)) {
            Some(address) => format!("{} at {address}", self.target),
            None => self.target.clone(),
        }
    }
}

impl Report {
    /// A report of `plan`, before anything is known of its `total` targets.
    pub fn new(plan: Plan, total: u128) -> Self {
        Self {
            plan,
            total,
            error: None,
            interrupted: false,
            tally: Tally::default(),
            findings: Vec::new(),
            engine: None,
            schedule: None,
            addresses: Vec::new(),
            discarded: BTreeMap::new(),
            lost: 0,
            postponed: 0,
            packets: Vec::new(),
            more_packets: 0,
            elapsed: Duration::ZERO,
        }
    }

    /// True when there are several targets, or may be.
    pub fn is_pool(&self) -> bool {
        self.total != 1 || self.plan.every_address
    }

    /// Counts a target that has ended; says whether its finding is wanted.
    pub fn count(&mut self, outcome: &Outcome, status: Status) -> bool {
        self.tally.count(outcome, status);
        let tally = &self.tally;
        match self.plan.format {
            Format::Json | Format::Text => true,
            Format::Nagios => {
                let wanted = match status {
                    Status::Ok => self.total <= MEASURED || self.plan.verbosity > 0,
                    _ => true,
                };
                let told = if status == Status::Ok { tally.ok } else { tally.targets() - tally.ok };
                wanted && told <= KEPT
            }
        }
    }

    /// How long it takes to tell of all targets at once, at the deadline: a few microseconds each,
    /// but no more than a tenth of the time there is.
    pub fn telling(&self) -> Duration {
        if !self.is_pool() {
            return Duration::ZERO;
        }
        let micros = self.total.saturating_mul(4).try_into().unwrap_or(u64::MAX);
        Duration::from_micros(micros).min(self.plan.timeout / 10)
    }

    /// Targets of which nothing was said before the program ended.
    pub fn not_probed(&self) -> u128 {
        self.total.saturating_sub(self.tally.targets())
    }

    /// The status that the program exits with: the worst of its targets, or what the wanted number
    /// of open ones makes of their count.
    pub fn status(&self) -> Status {
        let tally = &self.tally;
        let unknown = tally.unknown + self.not_probed();
        if self.error.is_some() || self.interrupted {
            Status::Unknown
        } else if let Some(wanted) = self.wanted_open() {
            if tally.open >= wanted {
                Status::Ok
            } else if tally.open + unknown >= wanted {
                Status::Unknown
            } else {
                Status::Critical
            }
        } else if tally.critical > 0 {
            Status::Critical
        } else if tally.warning > 0 {
            Status::Warning
        } else if unknown > 0 {
            Status::Unknown
        } else {
            Status::Ok
        }
    }

    /// How many targets must be open, where the operator said so.
    pub fn wanted_open(&self) -> Option<u128> {
        self.plan.min_open.map(|min_open| min_open.of(self.total))
    }

    /// Writes the report: the result to `out`, and to `aside` the details that the format has no
    /// place for; in colour where it is for people and `colour` says so.
    pub fn render(
        &self,
        colour: bool,
        out: &mut impl Write,
        aside: &mut impl Write,
    ) -> io::Result<()> {
        match self.plan.format {
            Format::Nagios => nagios::render(self, out),
            Format::Json => {
                json::render_summary(self, out)?;
                details::render(self, aside)
            }
            Format::Text => {
                text::render(self, colour, out)?;
                details::render(self, out)
            }
        }
    }
}

impl Tally {
    /// Targets that have ended.
    pub fn targets(&self) -> u128 {
        self.open + self.closed + self.filtered + self.unreachable + self.stale + self.unknown
    }

    fn count(&mut self, outcome: &Outcome, status: Status) {
        let state = match outcome.as_ref().map(Verdict::state) {
            Ok(PortState::Open) => &mut self.open,
            Ok(PortState::Closed) => &mut self.closed,
            Ok(PortState::Filtered) => &mut self.filtered,
            Ok(PortState::Unreachable) => &mut self.unreachable,
            Ok(PortState::Stale) => &mut self.stale,
            Err(_) => &mut self.unknown,
        };
        *state += 1;
        match status {
            Status::Ok => self.ok += 1,
            Status::Warning => self.warning += 1,
            Status::Critical => self.critical += 1,
            Status::Unknown => {}
        }
    }
}

/// How many SYNs it took to get an answer, where that was more than one.
fn syns(verdict: &Verdict) -> Option<String> {
    let answered = verdict.response_time.is_some() && verdict.attempts > 1;
    answered.then(|| format!("{} SYNs", verdict.attempts))
}

/// A response time the way a person reads it.
fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}
