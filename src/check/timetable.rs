//! How much time each target of a check has.

use std::time::Duration;

use crate::attempt::Attempts;
use crate::plan::{Settings, latest_start};
use crate::report::Waits;
use crate::schedule::Schedule;

/// Gives each target its schedule, from the settings of the check and the number of its targets.
pub(super) struct Timetable {
    timeout: Duration,
    is_pool: bool,
    attempts: Attempts,
    /// The schedules of the first target and of the last one, so far.
    used: Option<Waits>,
}

impl Timetable {
    /// Creates the timetable of a check that makes this number of attempts at each target.
    pub(super) fn new(settings: &Settings, is_pool: bool, attempts: Attempts) -> Self {
        Self { timeout: settings.timeout, is_pool, attempts, used: None }
    }

    /// Returns the schedule of a target whose first SYN leaves at `now`, one of `targets`.
    ///
    /// However late the pacer or a name look-up makes it begin, it has as much time as a target
    /// that begins at [`latest_start`]: a verdict on less silence would be a guess.
    pub(super) fn schedule(&mut self, now: Duration, targets: u128) -> Schedule {
        let begun = now.min(latest_start(self.timeout)) + self.reporting(targets);
        let schedule = Schedule::fit(self.attempts, self.timeout.saturating_sub(begun));
        let first = self.used.map_or(schedule, |used| used.first);
        self.used = Some(Waits { first, last: schedule });
        schedule
    }

    /// Returns the schedules of the first target and of the last one, so far.
    pub(super) fn waits(&self) -> Option<Waits> {
        self.used
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
