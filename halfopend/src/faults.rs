//! What the log says of events: only what is wrong with this machine or with a whole pool. Targets
//! that go up and down are not its business.

use std::time::Duration;

use crate::event::{Event, EventKind, PoolView, TargetView};

/// The shortest time between two lines about targets that are held: a fault may hide all of them.
const PAUSE: Duration = Duration::from_mins(1);

/// Turns events into lines of the log.
#[derive(Debug, Default)]
pub struct Faults {
    /// Until when lines about held targets are left out.
    quiet_until: Duration,
    /// How many were left out.
    left_out: u32,
    /// Until when no more lines about late checks are logged.
    late_until: Duration,
    /// How many checks had waited for a descriptor when the newest such line was written.
    delayed: u64,
}

impl Faults {
    /// Returns what the log says of an event at `now`, if anything.
    pub fn line(&mut self, event: &Event, now: Duration) -> Option<String> {
        match (event.kind, &event.pool, &event.target) {
            (EventKind::Isolated, ..) => {
                Some("nothing answers: this machine is cut off, and all states stand".to_owned())
            }
            (EventKind::Released, None, None) => {
                Some("something answers again: states change from now on".to_owned())
            }
            (EventKind::FailOpen, Some(pool), None) => Some(fail_open(pool)),
            (EventKind::Held, Some(pool), Some(target)) => self.held(pool, target, now),
            _ => None,
        }
    }

    /// Returns what to log at `now`, given how many checks have waited for a descriptor so far.
    pub fn delayed(&mut self, delayed: u64, now: Duration) -> Option<String> {
        if delayed == self.delayed || now < self.late_until {
            return None;
        }
        self.late_until = now + PAUSE;
        let more = delayed - std::mem::replace(&mut self.delayed, delayed);
        Some(format!(
            "{more} checks have waited for a descriptor, so they are late; try: a higher limit on \
             open files (LimitNOFILE=, ulimit -n), or longer intervals"
        ))
    }

    fn held(&mut self, pool: &PoolView, target: &TargetView, now: Duration) -> Option<String> {
        if now < self.quiet_until {
            self.left_out += 1;
            return None;
        }
        self.quiet_until = now + PAUSE;
        let (pool, label) = (&pool.name, &target.label);
        let reason = target.reason.as_deref().unwrap_or("a fault of this machine");
        let others = match std::mem::take(&mut self.left_out) {
            0 => String::new(),
            count => format!("; before it, {count} more"),
        };
        Some(format!("{pool}: {label} cannot be checked, and its state stands: {reason}{others}"))
    }
}

fn fail_open(PoolView { name, up, targets, fails_open, .. }: &PoolView) -> String {
    let counts = format!("{name}: {up} of {targets} targets are up");
    if *fails_open {
        format!("{counts}, so silent ones are advertised as up")
    } else {
        format!("{counts}, so only those are advertised")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::health::State;

    fn event(kind: EventKind, pool: Option<PoolView>, target: Option<TargetView>) -> Event {
        Event { sequence: 1, kind, pool, target }
    }

    fn pool(fails_open: bool) -> PoolView {
        PoolView { name: "web".into(), up: 1, targets: 4, fails_open, fails_open_at: Some(1) }
    }

    fn target(reason: &str) -> TargetView {
        TargetView {
            id: 7,
            label: "192.0.2.7:443".into(),
            endpoint: None,
            from: State::Up,
            to: State::Up,
            finding: None,
            reason: Some(reason.to_owned()),
            count: 0,
            advertised: State::Up,
            is_held: true,
        }
    }

    #[test]
    fn checks_that_wait_are_told_once_a_minute() {
        let mut faults = Faults::default();
        let told: Vec<_> = [(0, 0), (1, 3), (2, 5), (60, 5), (61, 5), (62, 6), (200, 6)]
            .into_iter()
            .filter_map(|(second, delayed)| faults.delayed(delayed, Duration::from_secs(second)))
            .map(|line| line.split_once(' ').expect("a number").0.to_owned())
            .collect();
        assert_eq!(told, ["3", "2", "1"]);
    }

    #[test]
    fn what_concerns_many_targets_is_told() {
        let mut faults = Faults::default();
        for (event, expected) in [
            (event(EventKind::Isolated, None, None), "nothing answers"),
            (event(EventKind::Released, None, None), "something answers again"),
            (
                event(EventKind::FailOpen, Some(pool(true)), None),
                "web: 1 of 4 targets are up, so silent",
            ),
            (
                event(EventKind::FailOpen, Some(pool(false)), None),
                "web: 1 of 4 targets are up, so only",
            ),
        ] {
            let line = faults.line(&event, Duration::ZERO).expect(expected);
            assert!(line.starts_with(expected), "{line}");
        }
    }

    #[test]
    fn a_fault_that_holds_many_targets_is_told_once_a_minute() {
        let mut faults = Faults::default();
        let mut at = |seconds| {
            let held = event(EventKind::Held, Some(pool(false)), Some(target("no route")));
            faults.line(&held, Duration::from_secs(seconds))
        };
        let line = "web: 192.0.2.7:443 cannot be checked, and its state stands: no route";
        assert_eq!(at(0).as_deref(), Some(line));
        assert_eq!((at(1), at(59)), (None, None));
        assert_eq!(at(60), Some(format!("{line}; before it, 2 more")));
    }

    #[test]
    fn the_log_leaves_transitions_to_events() {
        let mut faults = Faults::default();
        for kind in [EventKind::Up, EventKind::Down, EventKind::FailOpen, EventKind::Released] {
            let event = event(kind, Some(pool(true)), Some(target("no answer")));
            assert_eq!(faults.line(&event, Duration::ZERO), None);
        }
    }
}
