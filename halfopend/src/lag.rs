//! How late checks begin.

use std::fmt;
use std::time::Duration;

/// The upper bounds of the buckets, in microseconds. There is one more for what is longer.
const BOUNDS: [u64; 15] = [
    100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000,
    1_000_000, 2_000_000, 5_000_000,
];

/// A histogram of the times between the moments at which checks were due, and those at which their
/// first SYNs left.
#[derive(Debug, Clone, Default)]
pub struct Lags {
    counts: [u64; BOUNDS.len() + 1],
    sum: Duration,
}

impl Lags {
    /// Counts a check.
    pub fn add(&mut self, lag: Duration) {
        let micros = lag.as_nanos().div_ceil(1000);
        self.counts[BOUNDS.partition_point(|bound| u128::from(*bound) < micros)] += 1;
        self.sum += lag;
    }

    /// Returns the number of checks.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the sum of the lags.
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// Returns each bound, with the number of checks whose lag was no longer.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        let mut below = 0;
        BOUNDS.into_iter().map(Duration::from_micros).zip(self.counts).map(move |(bound, count)| {
            below += count;
            (bound, below)
        })
    }

    /// Returns the least bound that at least `percentage` of the lags do not exceed, or `None` if
    /// there is none.
    pub fn percentile(&self, percentage: u64) -> Option<Duration> {
        let enough = (self.count() * percentage).div_ceil(100);
        self.buckets().find(|(_, below)| *below >= enough).map(|(bound, _)| bound)
    }
}

impl fmt::Display for Lags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} checks began", self.count())?;
        for (percentage, words) in [(50, "half of them"), (99, "99 %"), (100, "all")] {
            match self.percentile(percentage) {
                Some(bound) => write!(f, ", {words} at most {bound:?} late")?,
                None => write!(f, ", {words} more than 5s late")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_the_bounds_that_lags_do_not_exceed() {
        let mut lags = Lags::default();
        for micros in 1..=100 {
            lags.add(Duration::from_micros(micros * 40)); // up to 4 ms
        }
        lags.add(Duration::from_secs(9));
        assert_eq!(lags.count(), 101);
        assert_eq!(lags.percentile(50), Some(Duration::from_millis(5)));
        assert_eq!(lags.percentile(49), Some(Duration::from_millis(2)));
        assert_eq!(lags.percentile(100), None);
        assert_eq!(lags.buckets().map(|(_, below)| below).max(), Some(100));
    }

    #[test]
    fn a_lag_that_equals_a_bound_does_not_exceed_it() {
        let mut lags = Lags::default();
        lags.add(Duration::from_micros(100));
        assert_eq!(lags.percentile(100), Some(Duration::from_micros(100)));
        lags.add(Duration::from_nanos(100_001));
        assert_eq!(lags.percentile(100), Some(Duration::from_micros(200)));
    }
}
