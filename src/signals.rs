//! The signals that ask the program to end.

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::local_error::LocalError;

/// The signals of supervisors, terminals and limits. They only make a descriptor readable: some
/// callers learn nothing from a program that a signal has killed, and others take it for success.
pub struct Signals {
    descriptor: SignalFd,
    have_come: Cell<bool>,
}

const ENDINGS: [Signal; 12] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGALRM,
    Signal::SIGVTALRM,
    Signal::SIGXCPU,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGPROF,
    Signal::SIGIO,
    Signal::SIGPWR,
];

/// Why a wait is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// The descriptor is ready.
    Ready,
    /// A signal asks the program to end.
    Signal,
    /// The time is over.
    Late,
    /// The process may not watch so many descriptors any more (`RLIMIT_NOFILE`).
    Blind,
}

impl Signals {
    /// Blocks the signals, to be read from a descriptor. Call it before starting a thread: threads
    /// inherit the blocked signals.
    ///
    /// # Errors
    ///
    /// Returns [`LocalError::Signals`] if the kernel refuses.
    pub fn watch() -> Result<Self, LocalError> {
        let endings = SigSet::from_iter(ENDINGS);
        let mut blocked = endings;
        blocked.add(Signal::SIGXFSZ); // writing fails, as on a full disk
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let watched = blocked.thread_block().and_then(|()| SignalFd::with_flags(&endings, flags));
        let descriptor = watched.map_err(LocalError::Signals)?;
        Ok(Self { descriptor, have_come: Cell::new(false) })
    }

    /// Takes a signal that has arrived, if there is one. Returns true if there was.
    pub fn take(&self) -> bool {
        let come = matches!(self.descriptor.read_signal(), Ok(Some(_)));
        self.have_come.set(self.have_come() || come);
        come
    }

    /// Returns true if [`Signals::take`] has ever returned true.
    pub fn have_come(&self) -> bool {
        self.have_come.get()
    }

    /// Waits until `descriptor` can be read, for at most `patience`.
    pub fn wait_to_read(&self, descriptor: BorrowedFd<'_>, patience: Duration) -> Wake {
        self.wait(descriptor, PollFlags::POLLIN, Some(patience))
    }

    /// Waits until `descriptor` can be written, for at most `patience`; without limit if that is
    /// `None`.
    pub fn wait_to_write(&self, descriptor: BorrowedFd<'_>, patience: Option<Duration>) -> Wake {
        self.wait(descriptor, PollFlags::POLLOUT, patience)
    }

    fn wait(
        &self,
        descriptor: BorrowedFd<'_>,
        ready_for: PollFlags,
        patience: Option<Duration>,
    ) -> Wake {
        // A timer runs on while the process is stopped. The timeout of `ppoll()` does not, but
        // needs no descriptor.
        let timer = patience.and_then(|patience| timer(patience).ok());
        let timeout = patience.filter(|_| timer.is_none()).map(TimeSpec::from_duration);
        let mut watched =
            vec![PollFd::new(self.as_fd(), PollFlags::POLLIN), PollFd::new(descriptor, ready_for)];
        watched.extend(timer.iter().map(|timer| PollFd::new(timer.as_fd(), PollFlags::POLLIN)));
        loop {
            match ppoll(&mut watched, timeout, None) {
                Err(Errno::EINTR) => {}
                Ok(_) if watched[0].any() == Some(true) => return Wake::Signal,
                Ok(_) if watched[1].any() == Some(true) => return Wake::Ready,
                Err(Errno::EINVAL) => return Wake::Blind,
                Ok(_) | Err(_) => return Wake::Late,
            }
        }
    }
}

/// Returns a timer that can be read when `patience` is over.
fn timer(patience: Duration) -> Result<TimerFd, Errno> {
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC)?;
    // Zero would mean never.
    let patience = TimeSpec::from_duration(patience.max(Duration::from_nanos(1)));
    timer.set(Expiration::OneShot(patience), TimerSetTimeFlags::empty())?;
    Ok(timer)
}

impl AsFd for Signals {
    /// Returns a descriptor that can be read when a signal has arrived.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
