//! The round-trip times of the last hour.

use std::time::Duration;

/// The longest round-trip time of each of the last sixty minutes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// By minute since the start, modulo 60, in units of 10 µs; 0 where nothing was measured.
    minutes: [u16; 60],
    newest: u64,
}

impl History {
    pub(super) fn new(at: Duration) -> Self {
        Self { minutes: [0; 60], newest: at.as_secs() / 60 }
    }

    pub(super) fn add(&mut self, at: Duration, round_trip: Option<Duration>) {
        let minute = at.as_secs() / 60;
        for passed in (self.newest + 1..=minute).rev().take(60) {
            self.minutes[index(passed)] = 0;
        }
        self.newest = self.newest.max(minute);
        if let Some(round_trip) = round_trip {
            let units = u16::try_from(round_trip.as_micros() / 10).unwrap_or(u16::MAX).max(1);
            let slot = &mut self.minutes[index(minute)];
            *slot = units.max(*slot);
        }
    }

    /// Returns the times of the minutes up to now, the oldest first.
    pub fn minutes(&self) -> impl Iterator<Item = Option<Duration>> {
        (1..=60).map(move |step| {
            let units = self.minutes[index(self.newest + step)];
            (units > 0).then(|| Duration::from_micros(u64::from(units) * 10))
        })
    }
}

fn index(minute: u64) -> usize {
    usize::try_from(minute % 60).expect("less than 60")
}
