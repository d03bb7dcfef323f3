//! Limits the rate of SYNs.

use std::collections::VecDeque;
use std::time::Duration;

/// How many SYNs the bucket holds: those of this time.
const BUCKET: Duration = Duration::from_millis(20);

/// If more than one SYN is due in this time, they leave together: each wake-up of the caller costs
/// as much as two SYNs.
const GRAIN: Duration = Duration::from_millis(1);

/// How long the answer to a SYN counts as outstanding.
const FLIGHT: Duration = Duration::from_millis(20);

/// A token bucket that holds the SYNs of 20 ms (a generic cell rate algorithm), and a window that
/// limits how many answers are outstanding.
pub struct Pacer {
    interval: Duration,
    /// By how much a SYN may leave early.
    grain: Duration,
    /// When the next SYN is due.
    next: Duration,
    /// No SYN leaves before that.
    closed_until: Duration,
    window: usize,
    in_flight: VecDeque<Duration>,
}

impl Pacer {
    /// Creates a pacer for at most `rate` SYNs per second, or any number if that is 0, with at most
    /// `window` answers outstanding.
    pub fn new(rate: u32, window: usize) -> Self {
        let interval = Duration::from_secs(1).checked_div(rate).unwrap_or_default();
        let grain = if interval < GRAIN { GRAIN } else { Duration::ZERO };
        let (next, closed_until) = (Duration::ZERO, Duration::ZERO);
        Self {
            interval,
            grain,
            next,
            closed_until,
            window: window.max(1),
            in_flight: VecDeque::new(),
        }
    }

    /// Returns when the next SYN may leave: `now` or later.
    pub fn ready_at(&mut self, now: Duration) -> Duration {
        while self.in_flight.front().is_some_and(|sent| *sent + FLIGHT <= now) {
            self.in_flight.pop_front();
        }
        let room =
            if self.in_flight.len() < self.window { now } else { self.in_flight[0] + FLIGHT };
        if self.next > now + self.grain {
            self.closed_until = self.next;
        }
        self.closed_until.max(room)
    }

    /// Records a SYN that left at `now`.
    pub fn sent(&mut self, now: Duration) {
        let oldest = now.saturating_sub(BUCKET.saturating_sub(self.grain));
        self.next = self.next.max(oldest) + self.interval;
        self.in_flight.push_back(now);
    }

    /// Lets no SYN leave before `until`.
    pub fn pause(&mut self, until: Duration) {
        self.next = self.next.max(until);
        self.closed_until = self.closed_until.max(until);
    }

    /// Records an answer, whichever SYN it is to.
    pub fn answered(&mut self) {
        self.in_flight.pop_front();
    }
}
