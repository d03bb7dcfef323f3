//! The highest share of the rate that certain checks may take.

use std::time::Duration;

/// The most SYNs that an unused share accumulates.
const BURST: u32 = 48;

/// A quarter of the rate.
#[derive(Debug)]
pub(super) struct Share {
    /// The time between two SYNs.
    spacing: Duration,
    /// When the next check may begin, if the share is used up.
    free_at: Duration,
}

impl Share {
    /// Returns a quarter of `rate` SYNs per second, or of any number if that is 0.
    pub(super) fn quarter_of(rate: u32) -> Self {
        let spacing = Duration::from_secs(4).checked_div(rate).unwrap_or_default();
        Self { spacing, free_at: Duration::ZERO }
    }

    /// Records that a check with at most this many SYNs begins at `now`.
    pub(super) fn charge(&mut self, syns: u32, now: Duration) {
        let slack = self.spacing * BURST;
        self.free_at = self.free_at.max(now.saturating_sub(slack)) + self.spacing * syns;
    }

    /// Returns the time between two SYNs.
    pub(super) fn spacing(&self) -> Duration {
        self.spacing
    }

    /// Returns when the next check may begin.
    pub(super) fn free_at(&self) -> Duration {
        self.free_at
    }
}
