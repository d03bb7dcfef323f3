//! When each target is checked.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// The least time from the end of a check to the next one of the same target: sequence numbers of
/// two rounds must differ by more than a window ([`halfopen::checker::Checker::admit`]).
pub(super) const REST: Duration = Duration::from_millis(500);

/// How many checks the fast lane may make up for.
const BURST: f64 = 16.0;

/// Knows which target is due.
///
/// There are two lanes: targets whose state may be about to change are checked more often, in the
/// fast lane. It takes at most a quarter of the rate, so that many targets that fail at the same
/// time do not delay the checks of the others.
#[derive(Debug)]
pub(super) struct Scheduler {
    lanes: [BinaryHeap<Reverse<(Duration, u32)>>; 2],
    /// The time between two checks of the fast lane.
    spacing: Duration,
    /// When its next check may begin, if it has used up its share.
    fast_at: Duration,
}

/// Which lane a target is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// For targets in a steady state.
    Steady,
    /// For those whose state may be about to change.
    Fast,
}

/// When a target is checked. The scheduler has one entry for it, unless it is being checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    /// When its regular check is due, without jitter: intervals are counted from here.
    pub(super) phase: Duration,
    /// When it is due.
    pub(super) due: Duration,
    /// In which lane.
    pub(super) lane: Lane,
    /// When the newest check began.
    pub(super) begun: Duration,
    /// The earliest time at which the next one may begin.
    pub(super) rested: Duration,
    /// True while it is being checked, or waits for the check of another target with its endpoint.
    pub(super) is_pending: bool,
}

impl Timing {
    /// Creates the timing of a target that is due at `first`.
    pub(super) fn starting_at(first: Duration) -> Self {
        Self {
            phase: first,
            due: first,
            lane: Lane::Steady,
            begun: first,
            rested: Duration::ZERO,
            is_pending: false,
        }
    }

    /// Records that a check begins at `now`.
    pub(super) fn begin(&mut self, now: Duration) {
        self.begun = now;
        self.is_pending = true;
    }

    /// Records that it has ended at `now`.
    pub(super) fn end(&mut self, now: Duration) {
        self.is_pending = false;
        self.rested = now + REST;
    }

    /// Makes the next regular check due, `interval` after the last one, as moved by `jitter`, a
    /// fraction of the interval from -0.5 to 0.5.
    pub(super) fn next_regular(&mut self, interval: Duration, jitter: f64, now: Duration) {
        // If this machine was paused, the checks that were missed are not made up for.
        let missed = now.saturating_sub(self.phase).as_nanos() / interval.as_nanos().max(1);
        self.phase += interval * (u32::try_from(missed).unwrap_or(u32::MAX) + 1);
        let moved = self.phase.as_secs_f64() + interval.as_secs_f64() * jitter;
        self.lane = Lane::Steady;
        self.due = Duration::from_secs_f64(moved.max(0.0)).max(self.rested);
    }

    /// Makes a check due in the fast lane, `interval` after the newest one began.
    pub(super) fn next_fast(&mut self, interval: Duration) {
        self.lane = Lane::Fast;
        self.due = (self.begun + interval).max(self.rested);
    }
}

impl Scheduler {
    /// Creates a scheduler for at most `rate` checks per second, or any number if that is 0.
    pub(super) fn new(rate: u32) -> Self {
        let spacing = Duration::from_secs(4).checked_div(rate).unwrap_or_default();
        Self { lanes: [BinaryHeap::new(), BinaryHeap::new()], spacing, fast_at: Duration::ZERO }
    }

    /// Adds a target.
    pub(super) fn add(&mut self, id: u32, timing: &Timing) {
        self.lanes[timing.lane as usize].push(Reverse((timing.due, id)));
    }

    /// Removes and returns the next target that is due at `now`. Entries are ignored for which
    /// `is_current` is false: the target has been given another time, or is gone.
    ///
    /// # Errors
    ///
    /// Returns when the next one is due, if there is one.
    pub(super) fn poll(
        &mut self,
        now: Duration,
        mut is_current: impl FnMut(u32, Lane, Duration) -> bool,
    ) -> Result<u32, Option<Duration>> {
        let mut first = |lane: Lane| {
            let heap = &mut self.lanes[lane as usize];
            while let Some(Reverse((due, id))) = heap.peek().copied() {
                if is_current(id, lane, due) {
                    return Some((due, id));
                }
                heap.pop();
            }
            None
        };
        let (fast, steady) = (first(Lane::Fast), first(Lane::Steady));
        let fast = fast.map(|(due, id)| (due.max(self.fast_at), id));
        if let Some((due, id)) = fast
            && due <= now
        {
            self.lanes[Lane::Fast as usize].pop();
            let slack = self.spacing.mul_f64(BURST);
            self.fast_at = self.fast_at.max(now.saturating_sub(slack)) + self.spacing;
            return Ok(id);
        }
        if let Some((due, id)) = steady
            && due <= now
        {
            self.lanes[Lane::Steady as usize].pop();
            return Ok(id);
        }
        Err([fast, steady].into_iter().flatten().map(|(due, _)| due).min())
    }
}
