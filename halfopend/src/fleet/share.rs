//! The highest share of the rate that certain checks may take.

use std::time::Duration;

/// The most SYNs that an unused share accumulates.
const BURST: u32 = 48;

/// A quarter of the rate.
#[derive(Debug)]
pub(super) struct Share {
    /// The time between two SYNs.
    spacing: Duration,
    /// When the next check may begin, if the share is used up.
    free_at: Duration,
}

impl Share {
    /// Returns a quarter of `rate` SYNs per second, or of any number if that is 0.
    pub(super) fn quarter_of(rate: u32) -> Self {
        let spacing = Duration::from_secs(4).checked_div(rate).unwrap_or_default();
        Self { spacing, free_at: Duration::ZERO }
    }

    /// Records that a check with at most this many SYNs begins at `now`.
    pub(super) fn charge(&mut self, syns: u32, now: Duration) {
        let slack = self.spacing * BURST;
        self.free_at = self.free_at.max(now.saturating_sub(slack)) + self.spacing * syns;
    }

    /// Records that so many SYNs of a check were not sent.
    pub(super) fn refund(&mut self, syns: u32) {
        self.free_at = self.free_at.saturating_sub(self.spacing * syns);
    }

    /// Returns the time between two SYNs.
    pub(super) fn spacing(&self) -> Duration {
        self.spacing
    }

    /// Returns when the next check may begin.
    pub(super) fn free_at(&self) -> Duration {
        self.free_at
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    use proptest::prelude::*;

    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    proptest! {
        /// How many of its three SYNs a check has sent is known when it ends.
        #[test]
        fn what_is_sent_is_at_most_a_quarter_of_the_rate(
            checks in prop::collection::vec(
                (prop_oneof![29 => Just(0), 1 => 0..500u64], 0..=3u32, 1..1500u64),
                1..400,
            ),
        ) {
            let mut share = Share::quarter_of(100);
            let (mut now, mut all) = (Duration::ZERO, 0);
            let mut ends = BinaryHeap::new();
            for (pause, sent, length) in checks {
                now += ms(pause);
                while let Some(Reverse((end, unsent))) = ends.peek().copied()
                    && end <= now.max(share.free_at())
                {
                    ends.pop();
                    now = now.max(end);
                    share.refund(unsent);
                }
                now = now.max(share.free_at());
                share.charge(3, now);
                ends.push(Reverse((now + ms(length), 3 - sent)));
                all += sent;
                prop_assert!(ms(40) * all <= now + ms(40) * (BURST + 3), "{all} by {now:?}");
            }
        }
    }
}
