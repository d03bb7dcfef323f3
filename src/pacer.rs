//! How fast SYNs may leave.

use std::collections::VecDeque;
use std::time::Duration;

/// How much of a pause may be made up for.
const SLACK: Duration = Duration::from_millis(20);

/// After this long a SYN's answer no longer counts as about to come.
const FLIGHT: Duration = Duration::from_millis(20);

/// A token bucket (as a generic cell rate algorithm) that holds 20 ms' worth, and a window
/// over the SYNs whose answers may be about to come all at once.
///
/// Time is an argument, as everywhere.
pub struct Pacer {
    interval: Duration,
    next: Duration,
    window: usize,
    in_flight: VecDeque<Duration>,
}

impl Pacer {
    /// `rate` SYNs a second at most, 0 for as many as may be, and no more than `window` in flight.
    pub fn new(rate: u32, window: usize) -> Self {
        let interval = Duration::from_secs(1).checked_div(rate).unwrap_or_default();
        Self { interval, next: Duration::ZERO, window: window.max(1), in_flight: VecDeque::new() }
    }

    /// When the next SYN may leave, at `now` or later.
    pub fn ready_at(&mut self, now: Duration) -> Duration {
        while self.in_flight.front().is_some_and(|sent| *sent + FLIGHT <= now) {
            self.in_flight.pop_front();
        }
        let room =
            if self.in_flight.len() < self.window { now } else { self.in_flight[0] + FLIGHT };
        self.next.max(room)
    }

    /// A SYN left at `now`.
    pub fn sent(&mut self, now: Duration) {
        self.next = self.next.max(now.saturating_sub(SLACK)) + self.interval;
        self.in_flight.push_back(now);
    }

    /// No SYN leaves before `until`.
    pub fn pause(&mut self, until: Duration) {
        self.next = self.next.max(until);
    }

    /// An answer came, to one SYN or another.
    pub fn answered(&mut self) {
        self.in_flight.pop_front();
    }
}
