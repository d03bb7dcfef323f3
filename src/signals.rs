//! The signals that ask the program to end.

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::fault::Fault;

/// From now on these signals do nothing but make the descriptor readable. To be called before there is another thread:
/// threads inherit what is blocked.
pub fn watch() -> Result<SignalFd, Fault> {
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
    signals
        .thread_block()
        .and_then(|()| SignalFd::with_flags(&signals, flags))
        .map_err(Fault::Signals)
}
