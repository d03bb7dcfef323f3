//! Times in few bytes.

use std::num::NonZeroU64;
use std::time::Duration;

/// A time since the start, for up to 584 years. It takes half the memory of a [`Duration`], also in
/// an `Option`: there may be a million targets, and each has several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Time {
    /// In nanoseconds, plus one.
    successor: NonZeroU64,
}

impl Time {
    /// Returns the time since the start in nanoseconds.
    pub(super) fn nanos(self) -> u64 {
        self.successor.get() - 1
    }
}

impl Default for Time {
    fn default() -> Self {
        Duration::ZERO.into()
    }
}

impl From<Duration> for Time {
    fn from(time: Duration) -> Self {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self { successor: NonZeroU64::MIN.saturating_add(nanoseconds) }
    }
}

impl From<Time> for Duration {
    fn from(time: Time) -> Self {
        Self::from_nanos(time.nanos())
    }
}
