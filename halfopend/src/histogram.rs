//! Histograms of times.

mod native;

use std::time::Duration;

pub use self::native::{NativeBuckets, SCHEMA, Span, ZERO_THRESHOLD};

/// Counts of times, by upper bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    /// The upper bounds of the buckets in microseconds, ascending. There is one more bucket for
    /// what is longer.
    bounds: &'static [u64],
    counts: Box<[u64]>,
    sum: Duration,
    native: Option<NativeBuckets>,
}

impl Histogram {
    /// Creates an empty histogram with these bounds.
    pub fn new(bounds: &'static [u64]) -> Self {
        let counts = vec![0; bounds.len() + 1].into();
        Self { bounds, counts, sum: Duration::ZERO, native: None }
    }

    /// Gives an empty histogram the buckets of a native one, too.
    #[must_use]
    pub fn with_native_buckets(self) -> Self {
        Self { native: Some(NativeBuckets::default()), ..self }
    }

    /// Counts a time.
    pub fn add(&mut self, time: Duration) {
        let micros = time.as_nanos().div_ceil(1000);
        self.counts[self.bounds.partition_point(|bound| u128::from(*bound) < micros)] += 1;
        self.sum += time;
        if let Some(native) = &mut self.native {
            native.add(time);
        }
    }

    /// Returns how many times there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns their sum.
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// Returns each bound, with the number of times that do not exceed it.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        let bounds = self.bounds.iter().copied().map(Duration::from_micros);
        bounds.zip(&self.counts).scan(0, |below, (bound, count)| {
            *below += count;
            Some((bound, *below))
        })
    }

    /// Returns the buckets of a native histogram, if it has them.
    pub fn native(&self) -> Option<&NativeBuckets> {
        self.native.as_ref()
    }

    /// Returns the least bound that at least `percentage` of the times do not exceed, or `None` if
    /// there is none.
    pub fn percentile(&self, percentage: u64) -> Option<Duration> {
        let enough = (self.count() * percentage).div_ceil(100);
        self.buckets().find(|(_, below)| *below >= enough).map(|(bound, _)| bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: &[u64] = &[100, 200, 2_000, 5_000];

    #[test]
    fn percentiles_are_the_bounds_that_times_do_not_exceed() {
        let mut times = Histogram::new(BOUNDS);
        for micros in 1..=100 {
            times.add(Duration::from_micros(micros * 40)); // up to 4 ms
        }
        times.add(Duration::from_secs(9));
        assert_eq!(times.count(), 101);
        assert_eq!(times.percentile(50), Some(Duration::from_millis(5)));
        assert_eq!(times.percentile(49), Some(Duration::from_millis(2)));
        assert_eq!(times.percentile(100), None);
        assert_eq!(times.buckets().map(|(_, below)| below).max(), Some(100));
    }

    #[test]
    fn a_time_that_equals_a_bound_does_not_exceed_it() {
        let mut times = Histogram::new(BOUNDS);
        times.add(Duration::from_micros(100));
        assert_eq!(times.percentile(100), Some(Duration::from_micros(100)));
        times.add(Duration::from_nanos(100_001));
        assert_eq!(times.percentile(100), Some(Duration::from_micros(200)));
    }
}
