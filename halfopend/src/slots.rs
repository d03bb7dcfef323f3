//! When the loop begins checks: those leave together that are due within a few milliseconds.

use std::time::Duration;

use crate::lag::Lags;

/// The length of a slot. Each wake-up of the loop costs as much as several checks.
const SLOT: Duration = Duration::from_millis(4);

/// Checks begin at the end of the slot of time in which they are due.
#[derive(Debug, Default)]
pub struct Slots {
    /// The end of the slot in which nothing more begins.
    closed_until: Duration,
    /// When the loop asked first. What was due while the program started is not late.
    started: Option<Duration>,
    /// When the newest check was due.
    due: Duration,
    lags: Lags,
}

impl Slots {
    /// Returns when the next check may begin, unless that is now.
    pub fn closed_until(&mut self, now: Duration) -> Option<Duration> {
        self.started.get_or_insert(now);
        Some(self.closed_until).filter(|end| *end > now)
    }

    /// Closes the slot of `now`, because nothing else is due in it. Returns when to begin what is
    /// due at `next`.
    pub fn close(&mut self, now: Duration, next: Duration) -> Duration {
        self.closed_until = end_of_slot(now + Duration::from_nanos(1));
        end_of_slot(next).max(self.closed_until)
    }

    /// Records that the next check to begin was due at that time.
    pub fn admit(&mut self, due: Duration) {
        self.due = due.max(self.started.unwrap_or_default());
    }

    /// Records that its first SYN leaves at `now`.
    pub fn begin(&mut self, now: Duration) {
        self.lags.add(now.saturating_sub(self.due));
    }

    /// Returns how late checks began so far.
    pub fn lags(&self) -> &Lags {
        &self.lags
    }
}

/// Returns the earliest end of a slot that is not before `time`.
fn end_of_slot(time: Duration) -> Duration {
    let end = time.as_nanos().next_multiple_of(SLOT.as_nanos());
    Duration::from_nanos(end.try_into().expect("less than five centuries"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn what_is_due_in_a_slot_begins_at_its_end() {
        let mut slots = Slots::default();
        assert_eq!(slots.closed_until(5 * MILLISECOND), None);
        assert_eq!(slots.close(5 * MILLISECOND, 9 * MILLISECOND), 12 * MILLISECOND);
        assert_eq!(slots.closed_until(7 * MILLISECOND), Some(8 * MILLISECOND));
        assert_eq!(slots.closed_until(8 * MILLISECOND), None);
        assert_eq!(slots.close(8 * MILLISECOND, 12 * MILLISECOND), 12 * MILLISECOND);
    }

    #[test]
    fn what_was_due_at_the_start_is_not_late() {
        let mut slots = Slots::default();
        assert_eq!(slots.closed_until(5 * MILLISECOND), None);
        for (due, now) in [(1, 5), (5, 6), (7, 8)] {
            slots.admit(due * MILLISECOND);
            slots.begin(now * MILLISECOND);
        }
        assert_eq!(slots.lags().sum(), 2 * MILLISECOND);
    }

    #[test]
    fn the_next_slot_is_never_now() {
        let now = 8 * MILLISECOND;
        for next in [Duration::ZERO, now] {
            assert_eq!(Slots::default().close(now, next), 12 * MILLISECOND);
        }
    }
}
