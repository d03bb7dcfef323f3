//! Converts the times at which segments arrived to a monotonic clock.
//!
//! The kernel stamps what arrives (`SO_TIMESTAMPNS`), so a pause of this program does not show in
//! round-trip times. Its stamps are wall-clock times, and that clock may be set.

use std::time::{Duration, Instant, SystemTime};

/// The least by which the two clocks drift apart if the wall clock has been set.
const STEP: Duration = Duration::from_millis(1);

/// The most time between the kernel's stamp and the moment at which a segment can be read.
const MAX_QUEUEING: Duration = Duration::from_millis(10);

/// The most time between readings of two clocks that count as simultaneous.
const MOMENT: Duration = Duration::from_micros(10);

/// How often to try for simultaneous readings.
const READINGS: usize = 4;

/// The most time that sending a segment takes unless this program is held up: a few microseconds
/// are usual.
const MAX_SENDING: Duration = Duration::from_micros(50);

/// The monotonic clock, and the wall clock beside it.
pub(super) struct Clock {
    start: Instant,
    /// Both clocks before the receive queues were last seen empty: what is read later was stamped
    /// later, or at most [`MAX_QUEUEING`] earlier.
    baseline: Moment,
}

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// The time since the start.
    pub(super) at: Duration,
    /// The wall clock's time since 1970, less `at`.
    ahead: Option<Duration>,
}

impl Clock {
    /// Creates a clock that counts from `start`.
    pub(super) fn new(start: Instant) -> Self {
        Self { start, baseline: Moment::read(start) }
    }

    /// Returns the time since the start.
    pub(super) fn now(&self) -> Duration {
        self.at(Instant::now())
    }

    /// Returns the time between the start and `instant`.
    pub(super) fn at(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.start)
    }

    /// Reads both clocks.
    pub(super) fn moment(&self) -> Moment {
        Moment::read(self.start)
    }

    /// Notes that the receive queues have been seen empty after `moment`.
    pub(super) fn seen_empty(&mut self, moment: Moment) {
        self.baseline = moment;
    }

    /// Returns when a segment arrived that was read before `read` and has `stamp`, the wall clock's
    /// time since 1970. That is the time of reading if there is no stamp, or it cannot be trusted:
    /// the wall clock has been set since the queues were last seen empty, or the stamp is older
    /// than that, or is in the future.
    pub(super) fn arrival(&self, stamp: Option<Duration>, read: Moment) -> Duration {
        let earliest = self.baseline.at.saturating_sub(MAX_QUEUEING);
        let trusted = || {
            let (stamp, ahead) = (stamp?, read.ahead?);
            let steady = ahead.abs_diff(self.baseline.ahead?) <= STEP;
            let at = stamp.checked_sub(ahead)?;
            (steady && (earliest..=read.at).contains(&at)).then_some(at)
        };
        trusted().unwrap_or(read.at)
    }
}

impl Moment {
    fn read(start: Instant) -> Self {
        let mut at = start.elapsed();
        let mut wall = SystemTime::now();
        for _ in 1..READINGS {
            let after = start.elapsed();
            if after.saturating_sub(at) <= MOMENT {
                break;
            }
            // This program was paused in between.
            (at, wall) = (after, SystemTime::now());
        }
        let wall = wall.duration_since(SystemTime::UNIX_EPOCH).ok();
        Self { at, ahead: wall.and_then(|wall| wall.checked_sub(at)) }
    }
}

/// Returns when each segment of a batch left that one system call has sent, which began and ended
/// at these times: one after the other. If the call took longer than that explains, something has
/// come in between at an unknown place, and all are taken to have left at its beginning.
pub(super) fn departures(
    begun: Instant,
    ended: Instant,
    count: usize,
) -> impl Iterator<Item = Instant> {
    let count = u32::try_from(count).expect("a batch");
    let each = ended.duration_since(begun) / count.max(1);
    let each = if each <= MAX_SENDING { each } else { Duration::ZERO };
    (0..count).map(move |number| begun + each * number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How far the wall clock is ahead.
    const AHEAD: Duration = Duration::from_hours(500_000);

    const STAMPED: Duration = Duration::from_millis(250);
    const READ: Duration = Duration::from_secs(4);

    /// The queues were seen empty shortly before the segment came.
    fn clock() -> Clock {
        let baseline = Moment { at: STAMPED.saturating_sub(STEP), ahead: Some(AHEAD) };
        Clock { start: Instant::now(), baseline }
    }

    fn read(ahead: Duration) -> Moment {
        Moment { at: READ, ahead: Some(ahead) }
    }

    #[test]
    fn a_segment_that_waited_to_be_read_arrived_when_it_was_stamped() {
        assert_eq!(clock().arrival(Some(AHEAD + STAMPED), read(AHEAD)), STAMPED);
    }

    #[test]
    fn without_a_stamp_it_arrived_when_it_was_read() {
        assert_eq!(clock().arrival(None, read(AHEAD)), READ);
    }

    #[test]
    fn stamps_are_ignored_if_the_wall_clock_was_stepped_before_or_after_them() {
        for step in [2 * STEP, Duration::from_hours(1)] {
            for stepped in [AHEAD + step, AHEAD.checked_sub(step).unwrap()] {
                for ahead in [AHEAD, stepped] {
                    let stamp = Some(ahead + STAMPED);
                    assert_eq!(clock().arrival(stamp, read(stepped)), READ, "{step:?}");
                }
            }
        }
    }

    #[test]
    fn stamps_of_another_clock_are_ignored() {
        let before = AHEAD + STAMPED.checked_sub(2 * MAX_QUEUEING).unwrap();
        let after = AHEAD + READ + STEP;
        for stamp in [before, after, Duration::ZERO, 2 * AHEAD, Duration::MAX] {
            assert_eq!(clock().arrival(Some(stamp), read(AHEAD)), READ, "{stamp:?}");
        }
    }

    #[test]
    fn a_wall_clock_before_1970_is_none() {
        let read = Moment { at: READ, ahead: None };
        assert_eq!(clock().arrival(Some(STAMPED), read), READ);
    }

    #[test]
    fn the_segments_of_a_batch_left_one_after_the_other() {
        let begun = Instant::now();
        let times = departures(begun, begun + Duration::from_micros(40), 4);
        assert!(times.eq([0, 10, 20, 30].map(|micros| begun + Duration::from_micros(micros))));
    }

    #[test]
    fn no_segment_of_a_batch_that_was_held_up_left_later_than_the_first() {
        let begun = Instant::now();
        assert!(departures(begun, begun + Duration::from_millis(48), 16).eq([begun; 16]));
    }
}
