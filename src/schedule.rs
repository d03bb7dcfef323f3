//! When SYNs go out.

use std::time::Duration;

/// The first wait at most, in nanoseconds: what RFC 6298 §2 gives a connection whose round-trip
/// time is unknown.
const FIRST_WAIT: u32 = 1_000_000_000;

/// The SYNs of one target: how many, and how long each is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    first_wait: u32,
    attempts: usize,
}

impl Schedule {
    /// `retries` SYNs after the first, all of them and their waits within `limit`: the first wait
    /// is min(1 s, limit / (2ⁿ − 1)) for n attempts, and each later one doubles.
    pub fn fit(retries: u8, limit: Duration) -> Self {
        let parts = (1u32 << (retries + 1)) - 1;
        let first_wait = u32::try_from((limit / parts).as_nanos()).unwrap_or(FIRST_WAIT);
        Self { first_wait: first_wait.min(FIRST_WAIT), attempts: usize::from(retries) + 1 }
    }

    /// SYNs at most.
    pub fn attempts(self) -> usize {
        self.attempts
    }

    /// How long the first SYN is waited for, in nanoseconds: up to a second.
    pub fn first_wait(self) -> u32 {
        self.first_wait
    }

    /// How long each attempt is waited for before the next one, or the verdict.
    pub fn waits(self) -> impl Iterator<Item = Duration> {
        let first = Duration::from_nanos(self.first_wait.into());
        (0..self.attempts).map(move |index| first * (1 << index))
    }
}
