//! The signals that a supervisor sends.

use std::os::fd::{AsFd, BorrowedFd};

use halfopen::local_error::LocalError;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// To end.
    Stop,
    /// To read the configuration again.
    Reload,
}

/// Signals, which only make a descriptor readable.
pub struct Signals(SignalFd);

impl Signals {
    /// Blocks the signals, to be read from a descriptor. Call it before starting a thread: threads
    /// inherit the blocked signals.
    ///
    /// # Errors
    ///
    /// Returns [`LocalError::Signals`] if the kernel refuses.
    pub fn watch() -> Result<Self, LocalError> {
        let watched =
            SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGQUIT, Signal::SIGHUP]);
        let mut blocked = watched;
        blocked.add(Signal::SIGXFSZ); // writing fails, as on a full disk
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let descriptor =
            blocked.thread_block().and_then(|()| SignalFd::with_flags(&watched, flags));
        descriptor.map(Self).map_err(LocalError::Signals)
    }

    /// Returns what the next signal that has arrived asks for.
    pub fn take(&self) -> Option<Request> {
        let signal = self.0.read_signal().ok().flatten()?;
        let is_hangup = u32::try_from(Signal::SIGHUP as i32) == Ok(signal.ssi_signo);
        Some(if is_hangup { Request::Reload } else { Request::Stop })
    }
}

impl AsFd for Signals {
    /// Returns a descriptor that can be read when a signal has arrived.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
