//! Times in few bytes.

use std::time::Duration;

/// A time since the start, in nanoseconds. It takes half of the room of a [`Duration`]: there may
/// be a million targets, and each has several. It ends after 584 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Time(u64);

impl Time {
    /// The end of time.
    pub(super) const NEVER: Self = Self(u64::MAX);
}

impl From<Duration> for Time {
    fn from(time: Duration) -> Self {
        Self(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl From<Time> for Duration {
    fn from(Time(nanoseconds): Time) -> Self {
        Self::from_nanos(nanoseconds)
    }
}
