//! When the SYNs of a target leave.

use std::time::Duration;

use crate::attempt::Attempts;

/// The longest first timeout in nanoseconds: what RFC 6298 §2 gives a connection whose round-trip
/// time is unknown.
const MAX_FIRST_WAIT: u32 = 1_000_000_000;

/// The SYNs of one target: how many there are, and how long each is waited for.
///
/// ```
/// use std::time::Duration;
/// use halfopen::attempt::Attempts;
/// use halfopen::schedule::Schedule;
///
/// let attempts = Attempts::with_retries(2).expect("at most 11");
/// let waits: Vec<_> = Schedule::fit(attempts, Duration::from_millis(700)).waits().collect();
/// assert_eq!(waits, [100, 200, 400].map(Duration::from_millis));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    attempts: Attempts,
    first_wait: u32,
}

impl Schedule {
    /// Fits all attempts and their timeouts into `limit`: the first timeout is min(1 s,
    /// limit / (2ⁿ − 1)) for n attempts, and each later one is twice the one before.
    pub fn fit(attempts: Attempts, limit: Duration) -> Self {
        let parts = (1_u32 << attempts.count()) - 1;
        let first_wait = u32::try_from((limit / parts).as_nanos()).unwrap_or(MAX_FIRST_WAIT);
        Self { attempts, first_wait: first_wait.min(MAX_FIRST_WAIT) }
    }

    /// Returns the number of attempts.
    pub fn attempts(self) -> Attempts {
        self.attempts
    }

    /// Returns the timeout of the first SYN in nanoseconds, at most a second.
    pub fn first_wait(self) -> u32 {
        self.first_wait
    }

    /// Returns the timeout of each attempt, after which the next one leaves, or the target ends.
    pub fn waits(self) -> impl Iterator<Item = Duration> {
        let first = Duration::from_nanos(self.first_wait.into());
        (0..self.attempts.count()).map(move |index| first * (1 << index))
    }
}
