//! What the operator wants, as values.

use std::time::Duration;

use crate::resolve::Family;
use crate::status::{Expected, MinOpen, Policy, Status};
use crate::target::Target;

/// A check, as the operator wants it.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What to check.
    pub targets: Vec<Target>,
    /// Which address families may be used.
    pub family: Family,
    /// Whether each address of a name is a target of its own.
    pub every_address: bool,
    /// The whole program's deadline, counted from its start.
    pub timeout: Duration,
    /// SYNs a second at most, 0 for as many as may be.
    pub rate: u32,
    /// What states and times mean.
    pub policy: Policy,
    /// When a pool is OK; without it, when each of its targets is.
    pub min_open: Option<MinOpen>,
    /// How the result is written.
    pub format: Format,
    /// How much is said beside the result, 0 to 3.
    pub verbosity: u8,
}

impl Plan {
    /// The plan of a check of `target` that nobody has asked for anything else of.
    pub fn of(target: Target) -> Self {
        Self {
            targets: vec![target],
            family: Family::Any,
            every_address: false,
            timeout: Duration::from_secs(10),
            rate: 10_000,
            policy: Policy {
                expected: Expected::Open { refused: Status::Critical },
                warning: None,
                critical: None,
            },
            min_open: None,
            format: Format::Nagios,
            verbosity: 0,
        }
    }
}

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
