//! When the SYNs of each target of a check go out.

use std::time::Duration;

use crate::plan::{Settings, last_call};
use crate::report::Waits;
use crate::schedule::Schedule;

/// Gives each target its schedule, from the settings of the check and the number of its targets.
pub(super) struct Timetable {
    retries: u8,
    timeout: Duration,
    is_pool: bool,
    used: Option<Waits>,
}

impl Timetable {
    /// Creates the timetable of targets that have `retries` retransmissions each.
    pub(super) fn new(retries: u8, settings: &Settings, is_pool: bool) -> Self {
        Self { retries, timeout: settings.timeout, is_pool, used: None }
    }

    /// Returns how many SYNs each target has at most.
    pub(super) fn attempts(&self) -> usize {
        usize::from(self.retries) + 1
    }

    /// Returns the schedule of a target whose first SYN leaves at `now`, one of `targets`.
    ///
    /// Neither the pacer nor a name found late cuts it shorter than that of a target that begins at
    /// the last call: less silence would be a guess.
    pub(super) fn schedule(&mut self, now: Duration, targets: u128) -> Schedule {
        let begun = now.min(last_call(self.timeout)) + self.reporting(targets);
        let schedule = Schedule::fit(self.retries, self.timeout.saturating_sub(begun));
        let first = self.used.map_or(schedule, |used| used.first);
        self.used = Some(Waits { first, last: schedule });
        schedule
    }

    /// Returns the schedules of the first target and of the last one, so far.
    pub(super) fn used(&self) -> Option<Waits> {
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
