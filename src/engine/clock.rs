//! When segments arrived, on a clock that nobody sets.
//!
//! The kernel stamps what arrives, so that a pause of this program does not show in round-trip
//! times (`SO_TIMESTAMPNS`). Its stamps are of the wall clock, which may be stepped.

use std::time::{Duration, Instant, SystemTime};

/// A wall clock that has moved so far against the other one was stepped.
const STEP: Duration = Duration::from_millis(1);

/// The kernel stamps a segment before it queues it; hardly ever by more than this.
const ON_ITS_WAY: Duration = Duration::from_millis(10);

/// Two clocks that are read one after the other within this are read at one moment.
const MOMENT: Duration = Duration::from_micros(10);

/// How often that is tried.
const READINGS: usize = 4;

/// Sending a segment takes a few microseconds; this long it takes only where this program is held
/// up.
const AT_MOST_EACH: Duration = Duration::from_micros(50);

/// The monotonic clock, and the wall clock beside it.
pub(super) struct Clock {
    start: Instant,
    /// Both, before the receive queues were last seen empty: what is read later was stamped later,
    /// but for [`ON_ITS_WAY`].
    baseline: Moment,
}

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// Since the start.
    pub(super) at: Duration,
    /// By how much the wall clock, counted from 1970, is ahead of that.
    ahead: Option<Duration>,
}

impl Clock {
    /// Time counts from `start`.
    pub(super) fn new(start: Instant) -> Self {
        Self { start, baseline: Moment::read(start) }
    }

    pub(super) fn now(&self) -> Duration {
        self.at(Instant::now())
    }

    pub(super) fn at(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.start)
    }

    pub(super) fn moment(&self) -> Moment {
        Moment::read(self.start)
    }

    /// The receive queues have been seen empty after `moment`.
    pub(super) fn seen_empty(&mut self, moment: Moment) {
        self.baseline = moment;
    }

    /// When that arrived which has been read by `read` and bears `stamp`, the wall clock's time
    /// since 1970. It is the time of reading where there is no stamp, or none to be trusted: the
    /// wall clock has been stepped since the queues were last seen empty, or the stamp is older
    /// than that, or is of the future.
    pub(super) fn arrival(&self, stamp: Option<Duration>, read: Moment) -> Duration {
        let earliest = self.baseline.at.saturating_sub(ON_ITS_WAY);
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
            // This program was held up in between.
            (at, wall) = (after, SystemTime::now());
        }
        let wall = wall.duration_since(SystemTime::UNIX_EPOCH).ok();
        Self { at, ahead: wall.and_then(|wall| wall.checked_sub(at)) }
    }
}

/// When each segment of a batch left that one system call has sent, which began and ended then: one
/// after the other. Where it took too long for that, something has come in between, nobody knows
/// where, and they are taken to have left at once.
pub(super) fn departures(
    begun: Instant,
    ended: Instant,
    count: usize,
) -> impl Iterator<Item = Instant> {
    let count = u32::try_from(count).expect("a batch");
    let each = ended.duration_since(begun) / count.max(1);
    let each = if each <= AT_MOST_EACH { each } else { Duration::ZERO };
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
    fn stamps_count_for_nothing_where_the_wall_clock_was_stepped_before_or_after_them() {
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
    fn stamps_of_another_clock_count_for_nothing() {
        let before = AHEAD + STAMPED.checked_sub(2 * ON_ITS_WAY).unwrap();
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
