//! The clock of initial sequence numbers (M of RFC 6528), by which rounds are told apart.

use std::time::Duration;

use super::pending::nanos;

/// The length of a tick in nanoseconds: 4 µs (RFC 6528 §3). The 32 bits of M in a sequence number
/// wrap after 4.8 hours.
const TICK: u64 = 4_000;

/// How long after its SYN an answer may arrive: twice the maximum segment lifetime (RFC 9293
/// §3.4.2).
const LIFETIME: Duration = Duration::from_mins(4);

/// The largest window without scaling.
const WINDOW: u32 = 65_535;

/// Gives each target an M of its own when it is admitted, and knows to which M answers may arrive.
#[derive(Default)]
pub(super) struct Clock {
    /// The first M that was given, if any.
    first: Option<u64>,
    /// The newest M.
    newest: u64,
}

impl Clock {
    /// Returns the M of a target that is admitted at `now`. None is given twice, so no two rounds
    /// have the same sequence number.
    pub(super) fn tick(&mut self, now: Duration) -> u32 {
        self.newest =
            if self.first.is_none() { ticks(now) } else { ticks(now).max(self.newest + 1) };
        self.first.get_or_insert(self.newest);
        wrapped(self.newest)
    }

    /// Returns true if `clock` is that of the `pending` target, or so little before it that no
    /// earlier round on this target had it: rounds on a target are more than a window (65,535)
    /// apart.
    pub(super) fn is_of_this_round(clock: u32, pending: u32) -> bool {
        pending.wrapping_sub(clock) <= WINDOW
    }

    /// Returns true if an answer that arrives at `now` may be to a SYN with this `clock`: the M was
    /// given no longer ago than an answer may take, and before that of the `pending` target, if
    /// there is one.
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
