//! The status of a pool.

use std::str::FromStr;

use super::Status;
use crate::number::whole;
use crate::verdict::{Outcome, PortState, Verdict};

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
    /// No verdict.
    pub unknown: u128,
    /// Status OK.
    pub ok: u128,
    /// Status WARNING.
    pub warning: u128,
    /// Status CRITICAL.
    pub critical: u128,
}

impl Tally {
    /// Returns the number of targets that have ended.
    pub fn targets(&self) -> u128 {
        self.open + self.closed + self.filtered + self.unreachable + self.stale + self.unknown
    }

    /// Counts a target that has ended with this status.
    pub fn count(&mut self, outcome: &Outcome, status: Status) {
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

    /// Returns the status of a pool of these targets and of `not_probed` others: that of its worst
    /// target, or, if `wanted_open` of them must be open, the one that follows from their number.
    pub fn status(&self, not_probed: u128, wanted_open: Option<u128>) -> Status {
        let unknown = self.unknown + not_probed;
        match wanted_open {
            Some(wanted) if self.open >= wanted => Status::Ok,
            Some(wanted) if self.open + unknown >= wanted => Status::Unknown,
            Some(_) => Status::Critical,
            None if self.critical > 0 => Status::Critical,
            None if self.warning > 0 => Status::Warning,
            None if unknown > 0 => Status::Unknown,
            None => Status::Ok,
        }
    }
}

/// How many targets of a pool must be open.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MinOpen {
    /// This number.
    Count(u64),
    /// This share of them, in percent.
    Percent(f64),
}

impl MinOpen {
    /// Returns how many of `total` that is.
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

/// A text that is not a number of targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write a number of targets, such as 3, or a share from 0% to 100%")]
pub struct MinOpenError;
