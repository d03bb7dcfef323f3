//! How many descriptors may be open, and what they are for.

use std::fs;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// How many are taken to be open if `/proc` does not tell.
const UNKNOWN: usize = 64;

/// The most that all name look-ups together may use.
const LOOKUPS: usize = 640;

/// Descriptors that may be open at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptors {
    /// For name look-ups.
    pub lookups: usize,
    /// For everything else.
    pub others: usize,
}

impl Descriptors {
    /// Raises this process's limit as far as the system allows, and divides it.
    pub fn raise() -> Self {
        let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, hard)| {
            let raised = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
            if raised.is_ok() { hard } else { soft }
        });
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let lookups = LOOKUPS.min(limit / 4);
        Self { lookups, others: limit - lookups }
    }

    /// Returns how many of the others are left, given what this process has open now.
    pub fn left(&self) -> usize {
        let open = fs::read_dir("/proc/self/fd").map_or(UNKNOWN, Iterator::count);
        self.others.saturating_sub(open)
    }
}
