//! The last hour of a target, by minute.

use std::time::Duration;

/// What was measured in each of the last sixty minutes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The longest round-trip time by minute since the start, modulo 60, in units of 10 µs; 0 if
    /// nothing was measured.
    minutes: [u16; 60],
    /// A bit for each of these minutes, set if a check did not find the port open.
    failed: u64,
    newest: u64,
}

impl History {
    pub(super) fn new(at: Duration) -> Self {
        Self { minutes: [0; 60], failed: 0, newest: at.as_secs() / 60 }
    }

    /// Adds a check that ended then, with the round-trip time if there is one.
    pub(super) fn add(&mut self, at: Duration, round_trip: Option<Duration>, has_failed: bool) {
        let minute = at.as_secs() / 60;
        for passed in (self.newest + 1..=minute).rev().take(60) {
            self.minutes[index(passed)] = 0;
            self.failed &= !(1 << index(passed));
        }
        self.newest = self.newest.max(minute);
        self.failed |= u64::from(has_failed) << index(minute);
        if let Some(round_trip) = round_trip {
            let units = u16::try_from(round_trip.as_micros() / 10).unwrap_or(u16::MAX).max(1);
            let slot = &mut self.minutes[index(minute)];
            *slot = units.max(*slot);
        }
    }

    /// Returns the longest round-trip times of the minutes up to now, the oldest first.
    pub fn minutes(&self) -> impl Iterator<Item = Option<Duration>> {
        self.places().map(|place| {
            let units = self.minutes[place];
            (units > 0).then(|| Duration::from_micros(u64::from(units) * 10))
        })
    }

    /// Returns in which of these minutes a check did not find the port open.
    pub fn failed(&self) -> impl Iterator<Item = bool> {
        self.places().map(|place| self.failed & 1 << place != 0)
    }

    fn places(&self) -> impl Iterator<Item = usize> {
        let newest = self.newest;
        (1..=60).map(move |step| index(newest + step))
    }
}

fn index(minute: u64) -> usize {
    usize::try_from(minute % 60).expect("less than 60")
}
