//! The targets whose next SYN is due, in the order of their turns.

use std::collections::VecDeque;

use super::pending::{Pending, Slot};
use super::target::Stage;

/// Invariant: the slot of a target whose stage is `Due` stands in one of the queues. Entries whose
/// slot has moved on since are passed over.
#[derive(Default)]
pub(super) struct Due {
    /// Those whose last SYN is to be sent again: it replaces the earlier one, and needs no room.
    repeats: VecDeque<Slot>,
    others: VecDeque<Slot>,
}

impl Due {
    /// Behind all others.
    pub(super) fn push_back(&mut self, slot: Slot) {
        self.others.push_back(slot);
    }

    /// Ahead of all but repeats.
    pub(super) fn push_front(&mut self, slot: Slot) {
        self.others.push_front(slot);
    }

    /// Behind other repeats, ahead of everything else.
    pub(super) fn push_repeat(&mut self, slot: Slot) {
        self.repeats.push_back(slot);
    }

    /// True where the next one is a repeat.
    pub(super) fn repeats(&mut self, pending: &Pending) -> bool {
        discard_stale(&mut self.repeats, |slot| {
            pending[slot].stage == Stage::Due && pending.has_begun_all(slot)
        });
        !self.repeats.is_empty()
    }

    /// How many are due, but for repeats. Stale entries may be among them, but not alone.
    pub(super) fn others(&mut self, pending: &Pending) -> usize {
        discard_stale(&mut self.others, |slot| pending[slot].stage == Stage::Due);
        self.others.len()
    }

    /// The next one.
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
