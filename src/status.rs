//! What a verdict means to the operator: Nagios status, thresholds, exit codes.

mod pool;
mod range;

use std::fmt;

pub use self::pool::{MinOpen, MinOpenError, Tally};
pub use self::range::{Range, RangeError};

use crate::local_error::LocalError;
use crate::verdict::{NoVerdict, Outcome, PortState, Reason, Verdict};

/// A plugin's status (Monitoring Plugins guidelines, "Plugin Return Codes").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The target is as it should be.
    Ok,
    /// The target works, but is slow.
    Warning,
    /// The target does not work.
    Critical,
    /// The target could not be checked.
    Unknown,
}

impl Status {
    /// Returns the program's exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        })
    }
}

/// What the operator wants of a target.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The state that is wanted.
    pub expected: Expected,
    /// Response times, in seconds, that are a warning.
    pub warning: Option<Range>,
    /// Response times, in seconds, that are critical.
    pub critical: Option<Range>,
}

/// The wanted state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Open. A closed port has the status `refused`.
    Open {
        /// Status of a closed port.
        refused: Status,
    },
    /// Closed or filtered; anything else is critical.
    State(PortState),
}

/// A status, and why it differs from that of the state alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The status.
    pub status: Status,
    /// The threshold that was crossed, or the state that was expected.
    pub remark: Option<Remark>,
}

/// Why a status differs from that of the state alone.
#[derive(Debug, Clone, PartialEq)]
pub enum Remark {
    /// The response time crosses a threshold: `over 0.1 s`.
    Threshold(String),
    /// Another state was wanted.
    Expected(PortState),
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Threshold(text) => f.write_str(text),
            Self::Expected(state) => write!(f, "expected {state}"),
        }
    }
}

impl Policy {
    /// Returns what `outcome` means.
    pub fn judge(&self, outcome: &Outcome) -> Judgement {
        let Ok(verdict) = outcome else {
            return Judgement { status: Status::Unknown, remark: None };
        };
        match (self.expected, verdict.state()) {
            (Expected::Open { .. }, PortState::Open) => self.judge_time(verdict),
            (Expected::Open { refused }, PortState::Closed) => {
                Judgement { status: refused, remark: None }
            }
            (Expected::Open { .. }, _) => Judgement { status: Status::Critical, remark: None },
            (Expected::State(wanted), state) if wanted == state => {
                Judgement { status: Status::Ok, remark: None }
            }
            (Expected::State(wanted), _) => {
                Judgement { status: Status::Critical, remark: Some(Remark::Expected(wanted)) }
            }
        }
    }

    /// Returns the rank of an outcome among those of one target's addresses. The highest stands for
    /// the target.
    ///
    /// An open address ranks first, whatever is wanted. If open is wanted, an address that could
    /// not be checked comes next, because it might be open, and then the answers, the most specific
    /// first. If closed or filtered is wanted, an address in another state ranks above those in the
    /// wanted one. No route on this machine ranks last, because it says nothing about the target,
    /// and so does a link-local address without interface, to which no program can connect.
    pub fn precedence(&self, outcome: &Outcome) -> u8 {
        if let Err(NoVerdict::LocalError(LocalError::NoScope(_) | LocalError::OtherScope(_))) =
            outcome
        {
            return 0;
        }
        let Ok(verdict) = outcome else {
            return if matches!(self.expected, Expected::Open { .. }) { 8 } else { 2 };
        };
        match verdict.state() {
            PortState::Open => 9,
            _ if matches!(verdict.reason, Reason::NoRoute(_)) => 0,
            state if self.expected == Expected::State(state) => 1,
            PortState::Closed => 7,
            PortState::Stale => 6,
            PortState::Filtered => 5,
            PortState::Unreachable => 4,
        }
    }

    fn judge_time(&self, verdict: &Verdict) -> Judgement {
        let seconds = verdict.response_time.unwrap_or_default().as_secs_f64();
        let crossed = |range: &Option<Range>| range.as_ref().and_then(|range| range.alert(seconds));
        let (status, text) = if let Some(text) = crossed(&self.critical) {
            (Status::Critical, text)
        } else if let Some(text) = crossed(&self.warning) {
            (Status::Warning, text)
        } else {
            return Judgement { status: Status::Ok, remark: None };
        };
        Judgement { status, remark: Some(Remark::Threshold(text)) }
    }
}
