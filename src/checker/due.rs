//! The queues of targets whose next SYN is due.

use std::collections::VecDeque;

use super::pending::{Pending, Slot};
use super::target::Stage;

/// The targets whose next SYN is due, in order.
///
/// Invariant: the slot of a target whose stage is `Due` is in one of the queues. Entries of targets
/// that have changed their stage since are ignored.
#[derive(Default)]
pub(super) struct Due {
    /// Those whose last SYN is sent again: it replaces the earlier one, and needs no room.
    repeats: VecDeque<Slot>,
    others: VecDeque<Slot>,
}

impl Due {
    /// Adds a target behind all others.
    pub(super) fn push_back(&mut self, slot: Slot) {
        self.others.push_back(slot);
    }

    /// Adds a target ahead of all except repeats.
    pub(super) fn push_front(&mut self, slot: Slot) {
        self.others.push_front(slot);
    }

    /// Adds a target whose last SYN is repeated: behind other repeats, ahead of everything else.
    pub(super) fn push_repeat(&mut self, slot: Slot) {
        self.repeats.push_back(slot);
    }

    /// Returns true if the next one is a repeat.
    pub(super) fn repeats(&mut self, pending: &Pending) -> bool {
        discard_stale(&mut self.repeats, |slot| {
            pending[slot].stage == Stage::Due && pending.has_begun_all(slot)
        });
        !self.repeats.is_empty()
    }

    /// Returns how many are due besides repeats. Stale entries may be counted, but if none is due,
    /// the number is 0.
    pub(super) fn others(&mut self, pending: &Pending) -> usize {
        discard_stale(&mut self.others, |slot| pending[slot].stage == Stage::Due);
        self.others.len()
    }

    /// Takes the next one.
    pub(super) fn pop(&mut self, pending: &Pending) -> Option<Slot> {
        if self.repeats(pending) {
            return self.repeats.pop_front();
        }
        self.others(pending);
        self.others.pop_front()
    }
}

fn discard_stale(queue: &mut VecDeque<Slot>, is_due: impl Fn(Slot) -> bool) {
    while queue.front().is_some_and(|slot| !is_due(*slot)) {
        queue.pop_front();
    }
}
