//! Waits that end at a point in time, whatever becomes of the process until then.

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{self, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::{ClockId, clock_gettime};

use super::Interrupt;
use crate::local_error::LocalError;

/// How long reading two clocks may take if they are to be compared, and how often that is tried.
const SIMULTANEOUS: Duration = Duration::from_micros(100);
const COMPARISONS: usize = 1000;

/// A descriptor that can be read from a point in time on.
///
/// `ppoll()` has a timeout of its own; but a process that is stopped and continued waits for what
/// was left of it when it was stopped (`poll_select_finish()`).
pub(super) struct Timer {
    descriptor: TimerFd,
    /// When time counts from, by the kernel's monotonic clock.
    origin: Duration,
    /// What it is set to, from there.
    set: Cell<Duration>,
}

impl Timer {
    /// Not set; time counts from `start`.
    pub(super) fn open(start: Instant) -> Result<Self, LocalError> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let descriptor =
            TimerFd::new(timerfd::ClockId::CLOCK_MONOTONIC, flags).map_err(LocalError::Timer)?;
        let origin = origin(start).map_err(LocalError::Timer)?;
        Ok(Self { descriptor, origin, set: Cell::new(Duration::ZERO) })
    }

    /// Waits until one of `queues` can be read, there is one of `interrupts`, or `deadline` has
    /// come.
    pub(super) fn wait<'a>(
        &'a self,
        deadline: Duration,
        queues: impl Iterator<Item = BorrowedFd<'a>>,
        interrupts: &[Interrupt<'a>],
    ) -> Result<(), LocalError> {
        self.set(deadline)?;
        let readable = |descriptor| PollFd::new(descriptor, PollFlags::POLLIN);
        let interrupts = interrupts.iter().map(|interrupt| match *interrupt {
            Interrupt::Readable(descriptor) => readable(descriptor),
            Interrupt::Writable(descriptor) => PollFd::new(descriptor, PollFlags::POLLOUT),
        });
        let own = [readable(self.descriptor.as_fd())];
        let mut watched: Vec<_> = queues.map(readable).chain(interrupts).chain(own).collect();
        match ppoll(&mut watched, None, None) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(LocalError::Receive(errno)),
        }
    }

    /// Unless it is set to that already.
    fn set(&self, deadline: Duration) -> Result<(), LocalError> {
        if self.set.replace(deadline) == deadline {
            return Ok(());
        }
        let at = Expiration::OneShot(TimeSpec::from_duration(self.origin + deadline));
        self.descriptor.set(at, TimerSetTimeFlags::TFD_TIMER_ABSTIME).map_err(LocalError::Timer)
    }
}

/// When `start` was by the kernel's monotonic clock, or a moment later: a wait that ended too early
/// would begin again and again.
fn origin(start: Instant) -> Result<Duration, Errno> {
    let mut comparisons = 0;
    loop {
        let before = start.elapsed();
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
        comparisons += 1;
        if start.elapsed() <= before + SIMULTANEOUS || comparisons == COMPARISONS {
            return Ok(Duration::from(now).saturating_sub(before));
        }
    }
}
