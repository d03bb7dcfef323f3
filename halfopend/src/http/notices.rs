//! Lines for the log, which belongs to the loop.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};

use nix::sys::eventfd::{EfdFlags, EventFd};

/// The most lines that wait for the loop.
const BACKLOG: usize = 64;

/// Lines for the log, on their way to the loop.
pub struct Notices {
    lines: Mutex<Vec<String>>,
    /// Readable if there are some.
    wake: EventFd,
}

impl Notices {
    pub(super) fn new() -> io::Result<Self> {
        let wake = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
        Ok(Self { lines: Mutex::default(), wake })
    }

    pub(super) fn push(&self, line: String) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() < BACKLOG {
            lines.push(line);
            let _ = self.wake.write(1); // fails only if it is readable
        }
    }

    /// Returns the lines that have come since this was called last.
    pub fn take(&self) -> Vec<String> {
        if self.wake.read().is_err() {
            return Vec::new();
        }
        std::mem::take(&mut self.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl AsFd for Notices {
    /// Returns a descriptor that can be read when there are lines.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
