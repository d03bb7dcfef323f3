//! The rows of pools.

use crate::event::PoolView;
use crate::histogram::Histogram;

/// The upper bounds of the buckets of round-trip times in microseconds: 50 µs, doubled up to 1.6 s.
const BOUNDS: &[u64] = &[
    50, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 102_400, 204_800, 409_600,
    819_200, 1_638_400,
];

/// What is known of a pool.
#[derive(Debug, Clone)]
pub struct PoolRow {
    /// How many of its targets are up.
    pub up: u32,
    /// How many there are.
    pub targets: u32,
    /// True while it advertises silent targets as up.
    pub fails_open: bool,
    /// It begins to do so when no more than this many are up, unless it never does.
    pub fails_open_at: Option<u32>,
    /// The round-trip times of all its targets.
    pub round_trips: Histogram,
}

impl Default for PoolRow {
    fn default() -> Self {
        let round_trips = Histogram::new(BOUNDS).with_native_buckets();
        Self { up: 0, targets: 0, fails_open: false, fails_open_at: None, round_trips }
    }
}

impl PoolRow {
    /// Shows a pool as it was at an event.
    pub(super) fn show(&mut self, pool: &PoolView) {
        (self.up, self.targets) = (pool.up, pool.targets);
        (self.fails_open, self.fails_open_at) = (pool.fails_open, pool.fails_open_at);
    }
}
