//! How much time each target of a check has.

use std::time::Duration;

use crate::attempt::Attempts;
use crate::plan::{Settings, latest_start};
use crate::report::Waits;
use crate::schedule::Schedule;

/// Gives each target its time limit, from the settings of the check and the number of its targets.
pub(super) struct Timetable {
    timeout: Duration,
    is_pool: bool,
    /// The limits of the first target and of the last one, so far.
    used: Option<(Duration, Duration)>,
}

impl Timetable {
    /// Creates the timetable of a check.
    pub(super) fn new(settings: &Settings, is_pool: bool) -> Self {
        Self { timeout: settings.timeout, is_pool, used: None }
    }

    /// Returns the time limit of a target whose first SYN leaves at `now`, one of `targets`.
    ///
    /// However late the pacer or a name look-up makes it begin, it has as much time as a target
    /// that begins at [`latest_start`]: a verdict on less silence would be a guess.
    pub(super) fn time_limit(&mut self, now: Duration, targets: u128) -> Duration {
        let begun = now.min(latest_start(self.timeout)) + self.reporting(targets);
        let limit = self.timeout.saturating_sub(begun);
        let first = self.used.map_or(limit, |(first, _)| first);
        self.used = Some((first, limit));
        limit
    }

    /// Returns the schedules of the first target and of the last one, so far.
    pub(super) fn waits(&self, attempts: Attempts) -> Option<Waits> {
        let (first, last) = self.used?;
        let fit = |limit| Schedule::fit(attempts, limit);
        Some(Waits { first: fit(first), last: fit(last) })
    }

    /// Returns how much time is set aside for writing down how the targets of a pool ended: a few
    /// microseconds each, but no more than a tenth of the time there is.
    fn reporting(&self, targets: u128) -> Duration {
        if !self.is_pool {
            return Duration::ZERO;
        }
        let micros = targets.saturating_mul(4).try_into().unwrap_or(u64::MAX);
        Duration::from_micros(micros).min(self.timeout / 10)
    }
}
