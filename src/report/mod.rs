//! The result, and the ways to write it: each a pure function from a [`Report`] to text.

mod details;
pub mod json;
pub mod nagios;
pub mod text;

pub use details::render_crossing;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use crate::check::Probed;
use crate::status::{Judgement, Range, Status};

/// A way to write a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A plugin's line with performance data.
    Nagios,
    /// JSON Lines.
    Json,
    /// For people.
    Text,
}

/// The result of a program run.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// What was found.
    pub finding: Finding,
    /// The warning threshold, for performance data.
    pub warning: Option<Range>,
    /// The critical threshold, for performance data.
    pub critical: Option<Range>,
    /// The longest a response can take.
    pub timeout: Duration,
    /// How much is said beside the result, 0 to 3.
    pub verbosity: u8,
}

/// What was found of one target.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// As it was written.
    pub target: String,
    /// Its port.
    pub port: u16,
    /// Its endpoints, the probed one first; empty when its name does not resolve.
    pub addresses: Vec<SocketAddr>,
    /// What became of it.
    pub probed: Probed,
    /// What that means to the operator.
    pub judgement: Judgement,
}

impl Report {
    /// The status that the program exits with.
    pub fn status(&self) -> Status {
        self.finding.judgement.status
    }

    /// Writes the report: the result to `out`, and to `aside` the details that the format has no place for;
    /// in colour where it is for people and `colour` says so.
    pub fn render(
        &self,
        format: Format,
        colour: bool,
        out: &mut impl Write,
        aside: &mut impl Write,
    ) -> io::Result<()> {
        match format {
            Format::Nagios => {
                nagios::render(self, out)?;
                details::render(self, out)
            }
            Format::Json => {
                json::render(self, out)?;
                details::render(self, aside)
            }
            Format::Text => {
                text::render(self, colour, out)?;
                details::render(self, out)
            }
        }
    }
}

/// A round-trip time the way a person reads it.
fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}
