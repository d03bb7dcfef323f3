//! Limits the rate of SYNs.

use std::collections::VecDeque;
use std::time::Duration;

/// The longest delay that the pacer makes up for.
const SLACK: Duration = Duration::from_millis(20);

/// How long the answer to a SYN counts as outstanding.
const FLIGHT: Duration = Duration::from_millis(20);

/// A token bucket that holds the SYNs of 20 ms (a generic cell rate algorithm), and a window that
/// limits how many answers are outstanding.
pub struct Pacer {
    interval: Duration,
    next: Duration,
    window: usize,
    in_flight: VecDeque<Duration>,
}

impl Pacer {
    /// Creates a pacer for at most `rate` SYNs per second, or any number if that is 0, with at most
    /// `window` answers outstanding.
    pub fn new(rate: u32, window: usize) -> Self {
        let interval = Duration::from_secs(1).checked_div(rate).unwrap_or_default();
        Self { interval, next: Duration::ZERO, window: window.max(1), in_flight: VecDeque::new() }
    }

    /// Returns when the next SYN may leave: `now` or later.
    pub fn ready_at(&mut self, now: Duration) -> Duration {
        while self.in_flight.front().is_some_and(|sent| *sent + FLIGHT <= now) {
            self.in_flight.pop_front();
        }
        let room =
            if self.in_flight.len() < self.window { now } else { self.in_flight[0] + FLIGHT };
        self.next.max(room)
    }

    /// Records a SYN that left at `now`.
    pub fn sent(&mut self, now: Duration) {
        self.next = self.next.max(now.saturating_sub(SLACK)) + self.interval;
        self.in_flight.push_back(now);
    }

    /// Lets no SYN leave before `until`.
    pub fn pause(&mut self, until: Duration) {
        self.next = self.next.max(until);
    }

    /// Records an answer, whichever SYN it is to.
    pub fn answered(&mut self) {
        self.in_flight.pop_front();
    }
}
