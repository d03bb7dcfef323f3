//! How late checks begin.

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::histogram::Histogram;

/// The upper bounds of the buckets, in microseconds.
const BOUNDS: &[u64] = &[
    100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000,
    1_000_000, 2_000_000, 5_000_000,
];

/// The times between the moments at which checks were due, and those at which their first SYNs
/// left.
#[derive(Debug, Clone)]
pub struct Lags(Histogram);

impl Default for Lags {
    fn default() -> Self {
        Self(Histogram::new(BOUNDS))
    }
}

impl Deref for Lags {
    type Target = Histogram;

    fn deref(&self) -> &Histogram {
        &self.0
    }
}

impl DerefMut for Lags {
    fn deref_mut(&mut self) -> &mut Histogram {
        &mut self.0
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
