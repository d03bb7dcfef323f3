//! When each target is checked.

use std::time::Duration;

use super::calendar::Calendar;
use super::share::Share;
use super::time::Time;

/// The least time from the end of a check to the next one of the same target: sequence numbers of
/// two rounds must differ by more than a window ([`halfopen::checker::Checker::admit`]).
pub(super) const REST: Duration = Duration::from_millis(500);

/// So many entries beyond twice the number of targets are too many.
const SPARE: usize = 1024;

/// Knows which target is due.
///
/// There are two lanes: targets whose state may be about to change are checked more often, in the
/// fast lane. It takes at most a quarter of the rate, so that many targets that fail at the same
/// time do not delay the checks of the others. Such a target keeps its place in the steady lane:
/// however full the fast lane is, it is checked as often as the others.
#[derive(Debug)]
pub(super) struct Scheduler {
    lanes: [Calendar; 2],
    /// The share of the fast lane.
    share: Share,
    /// When the next target that is added may be checked first.
    ready: Duration,
}

/// Which lane a target is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// For all targets.
    Steady,
    /// For those whose state may be about to change.
    Fast,
}

/// When a target is checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    /// When its next regular check is due, without jitter: intervals are counted from here.
    phase: Time,
    /// When that check is due.
    due: Time,
    /// When it is due in the fast lane, if it ever is.
    fast: Option<Time>,
    /// When the newest check began.
    begun: Time,
    /// The earliest time at which the next one may begin.
    rested: Time,
    /// True while it is being checked, or waits for the check of another target with its endpoint.
    pub(super) is_pending: bool,
    /// True if a check was left out since the newest one.
    is_late: bool,
}

impl Timing {
    /// Creates the timing of a target that is due at `first`, and then at whole intervals from
    /// `phase`.
    pub(super) fn starting_at(first: Duration, phase: Duration) -> Self {
        Self {
            phase: phase.into(),
            due: first.into(),
            fast: None,
            begun: Time::default(),
            rested: Time::default(),
            is_pending: false,
            is_late: false,
        }
    }

    /// Returns when the target is due in a lane. In the steady lane, that may be while it is being
    /// checked for another reason.
    pub(super) fn due_in(&self, lane: Lane) -> Option<Duration> {
        match lane {
            Lane::Steady => Some(self.due()),
            Lane::Fast => self.fast.map(Duration::from),
        }
    }

    /// Returns when the next regular check is due.
    pub(super) fn due(&self) -> Duration {
        self.due.into()
    }

    /// Returns when the next check is due, in any lane.
    pub(super) fn next(&self) -> Duration {
        self.fast.map_or(self.due, |fast| fast.min(self.due)).into()
    }

    /// Returns when the newest check began.
    pub(super) fn begun(&self) -> Duration {
        self.begun.into()
    }

    /// Returns the earliest time at which the next one may begin.
    pub(super) fn rested(&self) -> Duration {
        self.rested.into()
    }

    /// Corrects when the newest check began.
    pub(super) fn set_begun(&mut self, now: Duration) {
        self.begun = now.into();
    }

    /// Makes the next regular check due at `due`, from which later ones are counted.
    pub(super) fn move_to(&mut self, due: Duration) {
        (self.phase, self.due) = (due.into(), due.into());
    }

    /// Makes the next regular check due at `due`. Later ones come when they would have come.
    pub(super) fn set_due(&mut self, due: Duration) {
        self.due = due.into();
    }

    /// Returns true if a check may begin at `now`.
    pub(super) fn may_begin(&self, now: Duration) -> bool {
        !self.is_pending && self.rested() <= now
    }

    /// Returns true if a check is due at `now`, and may begin.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        self.may_begin(now) && self.next() <= now
    }

    /// Records that a check begins at `now`.
    pub(super) fn begin(&mut self, now: Duration) {
        (self.begun, self.is_pending, self.is_late) = (now.into(), true, false);
        self.fast = None;
    }

    /// Records that it has ended at `now`.
    pub(super) fn end(&mut self, now: Duration) {
        self.is_pending = false;
        self.rested = (now + REST).into();
    }

    /// Makes the next regular check due, if it is not yet: `interval` after the last one, as moved
    /// by `jitter`, a fraction of the interval from -0.5 to 0.5. Checks that were missed are not
    /// made up for.
    pub(super) fn set_regular(&mut self, interval: Duration, jitter: f64) {
        if self.due <= self.begun {
            self.pass_by(self.begun() + interval / 2, interval, jitter);
        } else if Duration::from(self.phase) > self.begun() + interval * 3 / 2 {
            // The interval was longer when this was planned.
            self.pass_by(self.begun(), interval, jitter);
        }
        self.due = self.due.max(self.rested);
    }

    /// Leaves out the check that was due by `now`, unless one was left out before it.
    pub(super) fn leave_out(&mut self, now: Duration, interval: Duration, jitter: f64) {
        if !std::mem::replace(&mut self.is_late, true) {
            self.pass_by(now, interval, jitter);
        }
    }

    /// Moves the next regular check by whole intervals, to the first one after `time`.
    fn pass_by(&mut self, time: Duration, interval: Duration, jitter: f64) {
        let interval = interval.max(Duration::from_nanos(1));
        let phase = Duration::from(self.phase);
        let distance = time.abs_diff(phase);
        let steps = u32::try_from(distance.as_nanos() / interval.as_nanos()).unwrap_or(u32::MAX);
        let rest = distance.saturating_sub(interval * steps);
        let phase = match time < phase {
            true if rest.is_zero() => time + interval,
            true => time + rest,
            false => time + interval.saturating_sub(rest),
        };
        self.phase = phase.into();
        let moved = phase.as_secs_f64() + interval.as_secs_f64() * jitter;
        self.due = Duration::from_secs_f64(moved.max(0.0)).into();
    }

    /// Makes a check due in the fast lane, `interval` after the newest one began, if that is
    /// earlier than the regular one.
    pub(super) fn set_fast(&mut self, interval: Duration) {
        let due = Time::from(self.begun() + interval).max(self.rested);
        self.fast = Some(due).filter(|due| *due < self.due);
    }

    /// Makes the regular check due at `time`, instead of the one that has begun.
    pub(super) fn postpone(&mut self, time: Duration) {
        (self.is_pending, self.due) = (false, time.into());
    }
}

impl Scheduler {
    /// Creates a scheduler for at most `rate` SYNs per second, or any number if that is 0.
    pub(super) fn new(rate: u32) -> Self {
        Self { lanes: Default::default(), share: Share::quarter_of(rate), ready: Duration::ZERO }
    }

    /// Returns the earliest time at which another target that is added at `now` may be checked
    /// first: new targets take at most four fifths of the rate; a quarter if others are checked
    /// already, which they must not delay.
    pub(super) fn ready_for_another(&mut self, now: Duration, others: bool) -> Duration {
        let ready = self.ready.max(now);
        let spacing = self.share.spacing();
        self.ready = ready + if others { spacing } else { spacing * 5 / 16 };
        ready
    }

    /// Adds a target to a lane.
    pub(super) fn add(&mut self, id: u32, lane: Lane, due: Duration) {
        self.lanes[lane as usize].add(due, id);
    }

    /// Removes the entries for which `is_current` is false, if there are many: the target has been
    /// given another time, or is gone.
    pub(super) fn tidy(
        &mut self,
        targets: usize,
        is_current: impl Fn(u32, Lane, Duration) -> bool,
    ) {
        for lane in [Lane::Steady, Lane::Fast] {
            let calendar = &mut self.lanes[lane as usize];
            if calendar.len() > 2 * targets + SPARE {
                calendar.retain(|due, id| is_current(id, lane, due));
            }
        }
    }

    /// Removes and returns the next target that is due at `now`, its lane, and when it was due.
    /// Entries are ignored for which `is_current` is false.
    ///
    /// # Errors
    ///
    /// Returns when the next one is due, if there is one.
    pub(super) fn poll(
        &mut self,
        now: Duration,
        is_current: impl Fn(u32, Lane, Duration) -> bool,
    ) -> Result<(u32, Lane, Duration), Option<Duration>> {
        let mut next: Option<Duration> = None;
        for lane in [Lane::Fast, Lane::Steady] {
            let Some((due, id)) = self.first(lane, &is_current) else { continue };
            let at = if lane == Lane::Fast { due.max(self.share.free_at()) } else { due };
            if at <= now {
                self.lanes[lane as usize].remove_first();
                return Ok((id, lane, due));
            }
            next = next.into_iter().chain([at]).min();
        }
        Err(next)
    }

    /// Removes and returns all targets that are due at `now` in the steady lane.
    pub(super) fn take_due(
        &mut self,
        now: Duration,
        is_current: impl Fn(u32, Duration) -> bool,
    ) -> Vec<u32> {
        let is_current = |id: u32, _: Lane, due: Duration| is_current(id, due);
        let mut taken = Vec::new();
        while let Some((due, id)) = self.first(Lane::Steady, is_current)
            && due <= now
        {
            self.lanes[Lane::Steady as usize].remove_first();
            taken.push(id);
        }
        taken
    }

    /// Records that a check with at most this many SYNs begins at `now` because of the fast lane.
    pub(super) fn charge(&mut self, syns: u32, now: Duration) {
        self.share.charge(syns, now);
    }

    /// Returns true if the fast lane has used up its share at `now`.
    pub(super) fn is_used_up(&self, now: Duration) -> bool {
        self.share.free_at() > now
    }

    fn first(
        &mut self,
        lane: Lane,
        is_current: impl Fn(u32, Lane, Duration) -> bool,
    ) -> Option<(Duration, u32)> {
        let calendar = &mut self.lanes[lane as usize];
        while let Some((due, id)) = calendar.first() {
            if is_current(id, lane, due) {
                return Some((due, id));
            }
            calendar.remove_first();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten thousand targets are due in the fast lane all the time, each with three SYNs.
    #[test]
    fn the_fast_lane_takes_a_quarter_of_the_rate() {
        let mut scheduler = Scheduler::new(1000);
        for id in 0..10_000 {
            scheduler.add(id, Lane::Fast, Duration::ZERO);
        }
        let mut begun = Vec::new();
        for now in (0..20_000).map(Duration::from_millis) {
            while let Ok((_, lane, _)) = scheduler.poll(now, |_, _, _| true) {
                assert_eq!(lane, Lane::Fast);
                scheduler.charge(3, now);
                begun.push(now);
            }
            let again = scheduler.poll(now, |_, _, _| true);
            assert!(again.is_err_and(|at| at.is_some_and(|at| at > now)));
        }
        assert_eq!(begun.len(), 20 * 250 / 3 + 1);
        for (index, from) in begun.iter().enumerate() {
            for (more, to) in (1..).zip(&begun[index..]) {
                let share = to.saturating_sub(*from).as_secs_f64() * 250.0 + 48.0 + 3.0;
                assert!(f64::from(more * 3) <= share + 0.001);
            }
        }
    }

    #[test]
    fn new_targets_take_at_most_four_fifths_of_the_rate_or_a_quarter() {
        let begin = Duration::from_secs(5);
        for (count, others) in [(8000, false), (2500, true)] {
            let mut scheduler = Scheduler::new(1000);
            let ready: Vec<_> =
                (0..=count).map(|_| scheduler.ready_for_another(begin, others)).collect();
            assert_eq!([ready[0], ready[count]], [begin, Duration::from_secs(15)]);
        }
        let mut unlimited = Scheduler::new(0);
        assert!((0..8000).all(|_| unlimited.ready_for_another(begin, true) == begin));
    }

    #[test]
    fn stale_entries_are_bounded() {
        let mut scheduler = Scheduler::new(0);
        for number in 0..100_000 {
            let due = Duration::from_secs(number);
            scheduler.add(0, Lane::Steady, due);
            scheduler.tidy(1, |_, _, other| other == due);
        }
        assert!(scheduler.lanes[Lane::Steady as usize].len() <= 2 + SPARE);
        let last = Duration::from_secs(99_999);
        let polled = scheduler.poll(last, |_, _, due| due == last);
        assert_eq!(polled, Ok((0, Lane::Steady, last)));
    }
}
