//! What is advertised when most of a pool is down.

use std::time::Duration;

/// The number of up targets at which a pool fails open.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// Never.
    Off,
    /// So many.
    Number(u32),
    /// A percentage of the pool's targets.
    Percentage(f64),
}

/// Whether a pool has failed open: no more than the limit are up, so the silent ones stay
/// advertised as up. It closes again when more have been up for two rounds.
#[derive(Debug)]
pub struct FailOpen {
    limit: Limit,
    /// Two rounds.
    rounds: Duration,
    is_open: bool,
    /// Since when more than the limit have been up.
    above_since: Option<Duration>,
}

impl FailOpen {
    /// Creates the state of a pool with this limit, whose targets are checked every `interval`.
    pub fn new(limit: Limit, interval: Duration) -> Self {
        Self { limit, rounds: 2 * interval, is_open: false, above_since: None }
    }

    /// Changes the limit and the interval.
    pub fn set_limit(&mut self, limit: Limit, interval: Duration) {
        (self.limit, self.rounds) = (limit, 2 * interval);
    }

    /// Returns true while silent targets are advertised as up.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Returns the number of up targets at which a pool with this many targets fails open.
    pub fn limit(&self, targets: u32) -> Option<u32> {
        if self.limit == Limit::Off {
            return None;
        }
        let (mut limit, mut above) = (0, targets + 1);
        while above - limit > 1 {
            let middle = limit.midpoint(above);
            if self.is_exceeded_by(middle, targets) { above = middle } else { limit = middle }
        }
        Some(limit)
    }

    /// Records that `up` of `targets` are up at `now`, and `down` of them down; it is not known of
    /// the rest. Returns true if the pool opens or closes.
    pub fn update(&mut self, up: u32, down: u32, targets: u32, now: Duration) -> bool {
        if self.is_exceeded_by(up, targets) {
            let since = *self.above_since.get_or_insert(now);
            let closes = self.is_open && now.saturating_sub(since) >= self.rounds;
            self.is_open &= !closes;
            return closes;
        }
        self.above_since = None;
        // Those that are not known may be up.
        let is_open = targets > 0
            && (self.is_open || !self.is_exceeded_by(targets.saturating_sub(down), targets));
        std::mem::replace(&mut self.is_open, is_open) != is_open
    }

    /// Returns when to call [`FailOpen::update`] again, if nothing else changes.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let since = self.above_since.filter(|_| self.is_open)?;
        Some(since + self.rounds)
    }

    fn is_exceeded_by(&self, up: u32, targets: u32) -> bool {
        match self.limit {
            Limit::Off => true,
            Limit::Number(limit) => up > limit,
            Limit::Percentage(limit) => f64::from(up) * 100.0 > limit * f64::from(targets),
        }
    }
}
