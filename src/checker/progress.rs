//! How far the attempts at a target have come.

use crate::attempt::Attempts;

/// How many attempts a target gets, and how many of them have begun, whether or not their SYN could
/// leave. Both are at most 11, so they fit in one byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress(u8);

const _: () = assert!(Attempts::MAX.count() < 16);

impl Progress {
    /// Returns the progress of a target that gets this number of attempts, none of which has begun.
    pub(super) fn new(attempts: Attempts) -> Self {
        Self(u8::try_from(attempts.count() << 4).expect("at most 11"))
    }

    /// Returns how many attempts the target gets.
    pub(super) fn attempts(self) -> usize {
        usize::from(self.0 >> 4)
    }

    /// Returns the index of the last attempt.
    pub(super) fn last(self) -> usize {
        self.attempts() - 1
    }

    /// Returns how many attempts have begun.
    pub(super) fn begun(self) -> usize {
        usize::from(self.0 & 15)
    }

    /// Returns true if all attempts have begun.
    pub(super) fn has_begun_all(self) -> bool {
        self.begun() == self.attempts()
    }

    /// Begins the next attempt, or the last one again. Returns its index.
    pub(super) fn begin(&mut self) -> usize {
        let index = self.begun().min(self.last());
        self.0 += u8::from(!self.has_begun_all());
        index
    }

    /// Takes back the last [`Progress::begin`]: that attempt has not begun.
    pub(super) fn take_back(&mut self) {
        self.0 -= 1;
    }
}
