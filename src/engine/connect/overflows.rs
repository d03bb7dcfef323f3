//! How often the neighbour tables have overflowed, and whether that may concern a SYN.

use std::time::Duration;

/// The number of overflows, which the kernel counts for the whole machine and since it started.
#[derive(Default)]
pub(super) struct Overflows {
    /// The newest number, and when it was read first.
    counted: Option<(u64, Duration)>,
}

impl Overflows {
    /// Returns true if the number has been read before.
    pub(super) fn are_counted(&self) -> bool {
        self.counted.is_some()
    }

    /// Takes in the number at `now`, and returns true if there may have been an overflow when a SYN
    /// was sent at `sent_at`: the number has changed since, or was not known then.
    pub(super) fn may_concern(&mut self, sent_at: Duration, count: u64, now: Duration) -> bool {
        let known = self.counted.filter(|(known, _)| *known == count);
        let (_, since) = *self.counted.insert(known.unwrap_or((count, now)));
        count > 0 && sent_at < since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_overflow_after_the_last_known_number_concerns_a_syn() {
        let seconds = Duration::from_secs;
        let mut none = Overflows::default();
        assert!(!none.may_concern(seconds(1), 0, seconds(2)));
        let mut old = Overflows::default();
        assert!(old.may_concern(seconds(0), 7, seconds(1)), "it may have been at 0 s");
        assert!(!old.may_concern(seconds(1), 7, seconds(3)), "there was none since 1 s");
        assert!(old.may_concern(seconds(0), 7, seconds(4)));
        assert!(old.may_concern(seconds(3), 8, seconds(5)));
        assert!(old.may_concern(seconds(4), 8, seconds(6)), "the eighth may have been at 4 s");
        assert!(!old.may_concern(seconds(5), 8, seconds(7)));
    }
}
