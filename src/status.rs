//! What a verdict means to the operator: Nagios status, thresholds, exit codes.

use std::fmt;
use std::str::FromStr;

use crate::local_error::LocalError;
use crate::number::whole;
use crate::verdict::{NoVerdict, Outcome, PortState, Reason, Verdict};

/// A plugin's status (Monitoring Plugins guidelines, "Plugin Return Codes").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// As it should be.
    Ok,
    /// Works, but not well.
    Warning,
    /// Does not work.
    Critical,
    /// Nothing could be learnt.
    Unknown,
}

impl Status {
    /// The program's exit code.
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
    /// Open; what a closed port means instead.
    Open {
        /// Status of a closed port.
        refused: Status,
    },
    /// Closed or filtered; anything else is critical.
    State(PortState),
}

/// A status, and why it is not what the state alone would make of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The status.
    pub status: Status,
    /// The threshold that was crossed, or the state that was expected.
    pub remark: Option<Remark>,
}

/// Why a status is not what the state alone would make of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Remark {
    /// The response time is outside what was asked for: `over 0.1 s`.
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
    /// What `outcome` means.
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

    /// How much an outcome counts among those of one target's addresses: the highest stands for the
    /// target.
    ///
    /// An open address comes first, whatever is wanted. Without one, an address that could not be
    /// asked might be the open one. Then comes the most telling answer. Where a closed or filtered
    /// port is wanted, one address that is in another state is enough for a bad end. That this
    /// machine has no route says the least: it says nothing of the target. Nor does a link-local
    /// address without its interface, to which nobody can connect.
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

/// How many targets of a pool must be open.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MinOpen {
    /// That many.
    Count(u64),
    /// That share of them, in percent.
    Percent(f64),
}

impl MinOpen {
    /// How many of `total` that is.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a count, rounded up"
    )]
    pub fn of(self, total: u128) -> u128 {
        match self {
            Self::Count(count) => count.into(),
            Self::Percent(share) => (total as f64 * share / 100.0).ceil() as u128,
        }
    }
}

impl FromStr for MinOpen {
    type Err = MinOpenError;

    fn from_str(text: &str) -> Result<Self, MinOpenError> {
        let Some(share) = text.strip_suffix('%') else {
            return whole(text).map(Self::Count).ok_or(MinOpenError);
        };
        let share = share.parse().map_err(|_| MinOpenError)?;
        if (0.0..=100.0).contains(&share) { Ok(Self::Percent(share)) } else { Err(MinOpenError) }
    }
}

/// A text that is no number of targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write a number of targets, such as 3, or a share from 0% to 100%")]
pub struct MinOpenError;

/// A Nagios threshold range, `[@]start:end` (Monitoring Plugins guidelines, "Threshold and
/// Ranges"): alerts outside of start to end, both included, or inside with `@`. Start is 0 when
/// left out, `~` is minus infinity, an end left out is infinity.
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    text: String,
    start: f64,
    end: f64,
    alert_inside: bool,
}

impl Range {
    /// Why `seconds` raises an alert, or `None` where it does not.
    fn alert(&self, seconds: f64) -> Option<String> {
        let inside = (self.start..=self.end).contains(&seconds);
        match (inside, self.alert_inside) {
            (true, true) => Some(format!("inside {} s", self.text)),
            (false, false) if seconds < self.start => Some(format!("under {} s", self.start)),
            (false, false) => Some(format!("over {} s", self.end)),
            _ => None,
        }
    }
}

impl fmt::Display for Range {
    /// As it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A text that is no threshold range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// Not of the form.
    #[error("write END, START:, START:END, ~:END or @START:END, in seconds")]
    Form,
    /// Start above end.
    #[error("the start of the range is above its end: write START:END, the smaller number first")]
    Order,
}

impl FromStr for Range {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let bounds = text.strip_prefix('@').unwrap_or(text);
        let (start, end) = match bounds.split_once(':') {
            Some((start, end)) => (start, end),
            None => ("", bounds),
        };
        if start.is_empty() && end.is_empty() {
            return Err(RangeError::Form);
        }
        let start = match start {
            "" => 0.0,
            "~" => f64::NEG_INFINITY,
            number => decimal(number)?,
        };
        let end = if end.is_empty() { f64::INFINITY } else { decimal(end)? };
        if start > end {
            return Err(RangeError::Order);
        }
        Ok(Self { text: text.to_owned(), start, end, alert_inside: text.starts_with('@') })
    }
}

fn decimal(text: &str) -> Result<f64, RangeError> {
    text.parse().ok().filter(|number: &f64| number.is_finite()).ok_or(RangeError::Form)
}
