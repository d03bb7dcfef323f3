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

/// What a supervisor, a terminal or a limit sends: it does nothing but make a descriptor readable.
/// Death by a signal would say nothing to some callers, and to others that all is well.
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
    /// What was waited for is there.
    Ready,
    /// The program is asked to end.
    Signal,
    /// Patience is over.
    Late,
}

impl Signals {
    /// To be called before there is another thread: threads inherit what is blocked.
    pub fn watch() -> Result<Self, LocalError> {
        let endings = SigSet::from_iter(ENDINGS);
        let mut blocked = endings;
        blocked.add(Signal::SIGXFSZ); // writing fails, as on a full disk
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let watched = blocked.thread_block().and_then(|()| SignalFd::with_flags(&endings, flags));
        let descriptor = watched.map_err(LocalError::Signals)?;
        Ok(Self { descriptor, have_come: Cell::new(false) })
    }

    /// True once for each signal that has come.
    pub fn take(&self) -> bool {
        let come = matches!(self.descriptor.read_signal(), Ok(Some(_)));
        self.have_come.set(self.have_come() || come);
        come
    }

    /// True once [`Signals::take`] has been.
    pub fn have_come(&self) -> bool {
        self.have_come.get()
    }

    /// Waits until `descriptor` can be read, as long as there is patience.
    pub fn wait_to_read(&self, descriptor: BorrowedFd<'_>, patience: Duration) -> Wake {
        self.wait(descriptor, PollFlags::POLLIN, Some(patience))
    }

    /// Waits until `descriptor` can be written, as long as there is patience: without limit if that
    /// is `None`.
    pub fn wait_to_write(&self, descriptor: BorrowedFd<'_>, patience: Option<Duration>) -> Wake {
        self.wait(descriptor, PollFlags::POLLOUT, patience)
    }

    fn wait(
        &self,
        descriptor: BorrowedFd<'_>,
        ready_for: PollFlags,
        patience: Option<Duration>,
    ) -> Wake {
        // It goes on while the process is stopped. The timeout of `ppoll()` does not, but takes no
        // descriptor.
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
                Ok(_) | Err(_) => return Wake::Late,
            }
        }
    }
}

/// Can be read when `patience` is over.
fn timer(patience: Duration) -> Result<TimerFd, Errno> {
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC)?;
    // Zero would mean never.
    let patience = TimeSpec::from_duration(patience.max(Duration::from_nanos(1)));
    timer.set(Expiration::OneShot(patience), TimerSetTimeFlags::empty())?;
    Ok(timer)
}

impl AsFd for Signals {
    /// Can be read when a signal has come.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
