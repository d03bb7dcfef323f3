//! A queue of targets by the times at which they are due.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use super::time::Time;

/// The length of a day in the calendar, in nanoseconds. A `u32` can count them.
const DAY: u64 = 50_000_000;

/// Returns targets in the order of their times.
///
/// A heap of a million entries is slow, because each step through it misses the cache. So only the
/// entries of a twentieth of a second are in a heap. The later ones are kept by day, in any order,
/// and in few bytes.
#[derive(Debug, Default)]
pub(super) struct Calendar {
    /// Those of all days before `tomorrow`: when each target is due.
    today: BinaryHeap<Reverse<(Time, u32)>>,
    tomorrow: u64,
    later: BTreeMap<u64, Vec<Entry>>,
    len: usize,
}

/// When on a certain day a target is due, in nanoseconds from the start of that day, and the
/// target.
type Entry = (u32, u32);

impl Calendar {
    /// Adds a target that is due at that time.
    pub(super) fn add(&mut self, due: Duration, id: u32) {
        let due = Time::from(due);
        let (day, time) = (due.nanos() / DAY, due.nanos() % DAY);
        if day < self.tomorrow {
            self.today.push(Reverse((due, id)));
        } else {
            let time = u32::try_from(time).expect("less than a day");
            self.later.entry(day).or_default().push((time, id));
        }
        self.len += 1;
    }

    /// Returns the target that is due first, and when.
    pub(super) fn first(&mut self) -> Option<(Duration, u32)> {
        if self.today.is_empty()
            && let Some((day, entries)) = self.later.pop_first()
        {
            self.today =
                entries.into_iter().map(|(time, id)| Reverse((on(day, time), id))).collect();
            self.tomorrow = day + 1;
        }
        self.today.peek().map(|Reverse((due, id))| ((*due).into(), *id))
    }

    /// Removes the target that [`Calendar::first`] has returned.
    pub(super) fn remove_first(&mut self) {
        if self.today.pop().is_some() {
            self.len -= 1;
        }
    }

    /// Returns the number of entries.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Removes the entries for which `keep` is false.
    pub(super) fn retain(&mut self, keep: impl Fn(Duration, u32) -> bool) {
        self.today.retain(|Reverse((due, id))| keep((*due).into(), *id));
        self.later.retain(|day, entries| {
            entries.retain(|(time, id)| keep(on(*day, *time).into(), *id));
            !entries.is_empty()
        });
        self.len = self.today.len() + self.later.values().map(Vec::len).sum::<usize>();
    }
}

/// Returns that time of that day.
fn on(day: u64, time: u32) -> Time {
    Duration::from_nanos(day * DAY + u64::from(time)).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Add(u64),
        Take,
        /// Keeps the targets with an even number.
        Retain,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0..5_000_000_000_u64).prop_map(Step::Add),
            4 => Just(Step::Take),
            1 => Just(Step::Retain),
        ]
    }

    proptest! {
        #[test]
        fn targets_come_in_the_order_of_their_times(steps in prop::collection::vec(step(), 1..200)) {
            let mut calendar = Calendar::default();
            let mut sorted = Vec::new();
            for (id, step) in (0..).zip(steps) {
                match step {
                    Step::Add(nanos) => {
                        let due = Duration::from_nanos(nanos);
                        calendar.add(due, id);
                        sorted.push((due, id));
                        sorted.sort_unstable();
                    }
                    Step::Take => {
                        let first = (!sorted.is_empty()).then(|| sorted.remove(0));
                        prop_assert_eq!(calendar.first(), first);
                        calendar.remove_first();
                    }
                    Step::Retain => {
                        calendar.retain(|_, id| id % 2 == 0);
                        sorted.retain(|(_, id)| id % 2 == 0);
                    }
                }
                prop_assert_eq!(calendar.len(), sorted.len());
            }
        }
    }
}
