//! The clock of initial sequence numbers, M of RFC 6528, which tells rounds apart.

use std::time::Duration;

use super::pending::nanos;

/// A tick of the clock, in nanoseconds: 4 µs, as RFC 6528 §3 has it. The 32 bits of M that a
/// sequence number has room for wrap after 4.8 hours.
const TICK: u64 = 4_000;

/// How long an answer may be on its way: twice the maximum segment lifetime (RFC 9293 §3.4.2).
const LIFETIME: Duration = Duration::from_mins(4);

/// Gives each target an M of its own when it is admitted, and tells which M an answer may still be
/// about.
#[derive(Default)]
pub(super) struct Clock {
    /// The first M that was given, unless none was.
    first: Option<u64>,
    /// The newest.
    newest: u64,
}

impl Clock {
    /// Returns the M of a target that is admitted at `now`. None is given twice, so no round has a
    /// sequence number in common with another one.
    pub(super) fn tick(&mut self, now: Duration) -> u32 {
        self.newest =
            if self.first.is_none() { ticks(now) } else { ticks(now).max(self.newest + 1) };
        self.first.get_or_insert(self.newest);
        wrapped(self.newest)
    }

    /// Returns true if an answer that arrives at `now` may be about a SYN of this `clock`: an M
    /// that was given so lately that the answer can have lived until now, and before that of the
    /// target that is `pending`, if one is.
    pub(super) fn may_have_given(&self, clock: u32, pending: Option<u32>, now: Duration) -> bool {
        let Some(first) = self.first else { return false };
        let oldest = first.max(ticks(now.saturating_sub(LIFETIME)));
        let end = pending.map_or(self.newest + 1, |pending| {
            self.newest - u64::from(wrapped(self.newest).wrapping_sub(pending))
        });
        oldest < end && u64::from(clock.wrapping_sub(wrapped(oldest))) < end - oldest
    }
}

fn ticks(time: Duration) -> u64 {
    nanos(time) / TICK
}

fn wrapped(ticks: u64) -> u32 {
    u32::try_from(ticks & u64::from(u32::MAX)).expect("masked")
}
