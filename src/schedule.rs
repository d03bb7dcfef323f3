//! When SYNs go out.

use std::time::Duration;

/// The first wait at most: what RFC 6298 §2 gives a connection whose round-trip time is unknown.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The SYNs of one target: how many, and how long each is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    first_wait: Duration,
    tries: usize,
}

impl Schedule {
    /// `retries` SYNs after the first, all of them and their waits within `limit`: the first wait is
    /// min(1 s, limit / (2ⁿ − 1)) for n tries, and each later one doubles.
    pub fn fit(retries: u8, limit: Duration) -> Self {
        let parts = (1u32 << (retries + 1)) - 1;
        Self { first_wait: FIRST_WAIT.min(limit / parts), tries: usize::from(retries) + 1 }
    }

    /// SYNs at most.
    pub fn tries(&self) -> usize {
        self.tries
    }

    /// How long try `number`, counted from 0, is waited for before the next one, or the verdict.
    pub fn wait(&self, number: usize) -> Duration {
        self.first_wait * (1 << number)
    }
}
