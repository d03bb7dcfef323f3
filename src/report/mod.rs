//! The result, and its output formats: each a pure function from a [`Report`] to text.

mod details;
pub mod json;
pub mod nagios;
mod plain;
pub mod progress;
pub mod recorder;
pub mod text;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

pub use details::render_packet;

use crate::event_loop::PacketEvent;
use crate::explain::Explanation;
use crate::local_error::LocalError;
use crate::plan::{Format, Settings};
use crate::probe::DiscardReason;
use crate::schedule::Schedule;
use crate::status::{Judgement, Status, Tally};
use crate::verdict::{Outcome, Verdict};

/// The most findings that are kept for the nagios format, of those that are OK and of the others:
/// more than a monitor reads.
const KEPT: u128 = 500;

/// The largest pool that has performance data for each of its targets.
const MEASURED: u128 = 50;

/// The result of a program run.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The options of the check.
    pub settings: Settings,
    /// How many targets there are.
    pub total: u128,
    /// Why nothing could be probed.
    pub error: Option<LocalError>,
    /// True if the program was asked to end early.
    pub interrupted: bool,
    /// How many targets ended in each state.
    pub tally: Tally,
    /// The results of the targets; not all of them if there are more than are reported.
    pub findings: Vec<Finding>,
    /// The name of the engine; `None` if nothing could be sent.
    pub engine: Option<&'static str>,
    /// The schedules that were used; `None` if no target was probed.
    pub waits: Option<Waits>,
    /// What each name resolved to, in the resolver's order.
    pub addresses: Vec<(String, Vec<SocketAddr>)>,
    /// How many packets were discarded, by reason.
    pub discarded: BTreeMap<DiscardReason, usize>,
    /// How many answers were lost because this machine's receive queue was full.
    pub lost: u64,
    /// How many SYNs were postponed because this machine had no room for them.
    pub postponed: u64,
    /// The packets sent and received, with their times since the start of the program, if the
    /// verbosity asks for them.
    pub packets: Vec<(Duration, PacketEvent)>,
    /// How many packets were not kept.
    pub more_packets: u64,
    /// How long the program ran.
    pub elapsed: Duration,
}

/// The schedules of the first target that was probed and of the last one. Of a pool that takes
/// long, the last one has less time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// That of the first target.
    pub first: Schedule,
    /// That of the last target.
    pub last: Schedule,
}

/// The result of one target.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The index of its target on the command line or in the file.
    pub id: u32,
    /// The target as it was written.
    pub target: String,
    /// Its address; `None` if its name does not resolve.
    pub address: Option<IpAddr>,
    /// Its port.
    pub port: u16,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, if that was asked for and is known.
    pub explanation: Option<Explanation>,
    /// What that means to the operator.
    pub judgement: Judgement,
    /// The other addresses of its name, and how they ended; `None` if that is not known.
    pub others: Vec<(IpAddr, Option<Outcome>)>,
}

impl Finding {
    /// Returns the target as it was written, and its address if that differs.
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
    /// Creates the report of a check before anything is known of its `total` targets.
    pub fn new(settings: Settings, total: u128) -> Self {
        Self {
            settings,
            total,
            error: None,
            interrupted: false,
            tally: Tally::default(),
            findings: Vec::new(),
            engine: None,
            waits: None,
            addresses: Vec::new(),
            discarded: BTreeMap::new(),
            lost: 0,
            postponed: 0,
            packets: Vec::new(),
            more_packets: 0,
            elapsed: Duration::ZERO,
        }
    }

    /// Returns true if there are several targets, or may be.
    pub fn is_pool(&self) -> bool {
        self.total != 1 || self.settings.every_address
    }

    /// Returns how many targets had not been probed when the program ended.
    pub fn not_probed(&self) -> u128 {
        self.total.saturating_sub(self.tally.targets())
    }

    /// Returns true if the program was asked to end before the last verdict. While an explanation
    /// is still asked for, the verdicts are there.
    pub fn was_cut_short(&self) -> bool {
        self.interrupted && (self.not_probed() > 0 || self.tally.unknown > 0)
    }

    /// Returns the status that the program exits with.
    pub fn status(&self) -> Status {
        if self.error.is_some() {
            return Status::Unknown;
        }
        self.tally.status(self.not_probed(), self.wanted_open())
    }

    /// Returns how many targets must be open, if the operator set a number.
    pub fn wanted_open(&self) -> Option<u128> {
        self.settings.min_open.map(|min_open| min_open.of(self.total))
    }

    /// Writes the result to `out`, and to `aside` the details that have no place in the format. The
    /// text format is in colour if `colour` is true.
    ///
    /// # Errors
    ///
    /// Returns the error of writing.
    pub fn render(
        &self,
        colour: bool,
        out: &mut impl Write,
        aside: &mut impl Write,
    ) -> io::Result<()> {
        match self.settings.format {
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

/// Returns how many SYNs it took to get an answer, if more than one.
fn syns(verdict: &Verdict) -> Option<String> {
    let answered = verdict.response_time.is_some() && verdict.attempts > 1;
    answered.then(|| format!("{} SYNs", verdict.attempts))
}

/// Returns a response time for people.
fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}
