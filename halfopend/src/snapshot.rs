//! All that is known, told a little at a time.

use crate::fleet::Fleet;

/// How many targets are told of at a time.
const TARGETS: usize = 512;

/// Tells of all targets, for a reader that knows nothing or has lost events.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The id to continue with, if there is something to tell.
    next: Option<u32>,
    /// True if another snapshot was asked for when this one had begun.
    again: bool,
}

impl Snapshot {
    /// Tells of all targets from now on.
    pub fn start(&mut self) {
        self.again = self.is_under_way();
        self.next.get_or_insert(0);
    }

    /// Returns true if there is something to tell.
    pub fn is_under_way(&self) -> bool {
        self.next.is_some()
    }

    /// Tells of some targets.
    pub fn tell_some(&mut self, fleet: &mut Fleet) {
        let Some(first) = self.next else { return };
        self.next = fleet.tell_snapshot(first, TARGETS);
        if self.next.is_none() && std::mem::take(&mut self.again) {
            self.next = Some(0);
        }
    }
}
