//! Waits that end at a point in time, even if the process is stopped until then.

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

/// How long a wait lasts that cannot watch its descriptors.
const PAUSE: Duration = Duration::from_millis(5);

/// A descriptor that is ready to be read from a point in time on.
///
/// A timeout of `ppoll()` would not do: after a process has been stopped and continued, it waits
/// for what was left of the timeout when it was stopped (`poll_select_finish()`).
pub(super) struct Timer {
    descriptor: TimerFd,
    /// The start of time, by the kernel's monotonic clock.
    origin: Duration,
    /// The time that it is set to, counted from `origin`.
    set: Cell<Option<Duration>>,
}

impl Timer {
    /// Creates a timer that is not set. Time counts from `start`.
    pub(super) fn open(start: Instant) -> Result<Self, LocalError> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let descriptor =
            TimerFd::new(timerfd::ClockId::CLOCK_MONOTONIC, flags).map_err(LocalError::Timer)?;
        let origin = origin(start).map_err(LocalError::Timer)?;
        Ok(Self { descriptor, origin, set: Cell::new(None) })
    }

    /// Waits until one of `queues` or of `interrupts` is ready, or `deadline` has come, if there is
    /// one.
    pub(super) fn wait<'a>(
        &'a self,
        deadline: Option<Duration>,
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
            // These are more descriptors than the process may have by now (`RLIMIT_NOFILE`).
            Err(Errno::EINVAL) => pause(),
            Err(errno) => Err(LocalError::Receive(errno)),
        }
    }

    /// Sets the timer, unless it is set to that time already. Zero stops it, and so does a time
    /// that the kernel cannot count to: no wait lasts three centuries.
    fn set(&self, deadline: Option<Duration>) -> Result<(), LocalError> {
        if self.set.replace(deadline) == deadline {
            return Ok(());
        }
        let at = deadline.and_then(|deadline| self.origin.checked_add(deadline));
        let at = at.filter(|at| at.as_nanos() <= i64::MAX.unsigned_abs().into());
        let at = Expiration::OneShot(TimeSpec::from_duration(at.unwrap_or_default()));
        self.descriptor.set(at, TimerSetTimeFlags::TFD_TIMER_ABSTIME).map_err(LocalError::Timer)
    }
}

/// Waits for a moment instead of for descriptors. The caller looks at all of them then.
fn pause() -> Result<(), LocalError> {
    match ppoll(&mut [], Some(TimeSpec::from_duration(PAUSE)), None) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(LocalError::Receive(errno)),
    }
}

/// Returns `start` by the kernel's monotonic clock, or a moment later: a wait that ended too early
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::iter;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// Waits until `deadline` for something that is there already, with a timer that was set before
    /// and is to be `set` now.
    fn wait(deadline: Option<Duration>, set: bool) {
        let timer = Timer::open(Instant::now()).unwrap();
        let (mut near, far) = UnixStream::pair().unwrap();
        near.write_all(&[0]).unwrap();
        timer.wait(Some(Duration::from_hours(1)), iter::once(far.as_fd()), &[]).unwrap();
        timer.wait(deadline, iter::once(far.as_fd()), &[]).unwrap();
        assert_eq!(timer.descriptor.get().unwrap().is_some(), set);
    }

    #[test]
    fn a_wait_may_have_no_end() {
        wait(None, false);
    }

    #[test]
    fn a_deadline_may_be_further_than_the_kernel_can_count() {
        wait(Some(Duration::MAX), false);
        wait(Some(Duration::from_secs(u64::MAX / 2)), false);
        wait(Some(Duration::from_hours(1_000_000)), true);
    }

    #[test]
    fn a_deadline_that_is_past_ends_a_wait() {
        let timer = Timer::open(Instant::now()).unwrap();
        timer.wait(Some(Duration::ZERO), iter::empty(), &[]).unwrap();
    }
}
