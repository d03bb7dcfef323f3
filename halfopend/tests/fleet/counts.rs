//! Rise and fall, beside a model that looks at all findings since the last change.

use std::time::Duration;

use halfopend::fleet::health::{Change, Finding, Health, Rules, State};
use proptest::prelude::*;

/// What the findings so far say, by reading them again each time.
struct Model {
    rules: Rules,
    state: State,
    /// Those that count, since the last change of the state.
    counted: Vec<Finding>,
    /// When the first of the faults came that are the newest findings which say anything.
    faults_since: Option<Duration>,
}

impl Model {
    fn take_in(&mut self, finding: Finding, now: Duration) {
        match finding {
            Finding::Unproven => return,
            Finding::Fault => {
                let since = *self.faults_since.get_or_insert(now);
                if now >= since + Duration::from_mins(5) && self.state != State::Unknown {
                    (self.state, self.counted) = (State::Unknown, Vec::new());
                }
                return;
            }
            _ => self.faults_since = None,
        }
        self.counted.push(finding);
        let newest = |is: &dyn Fn(Finding) -> bool| {
            self.counted.iter().rev().take_while(|finding| is(**finding)).count()
        };
        let good = newest(&|finding| finding == Finding::Open);
        let bad = newest(&|finding| finding != Finding::Open);
        let refused = newest(&|finding| finding == Finding::Refused);
        let Rules { rise, fall, fall_refused } = self.rules;
        let next = match self.state {
            State::Unknown if good > 0 => State::Up,
            State::Unknown => State::Down,
            State::Up if bad >= fall.into() || refused >= fall_refused.into() => State::Down,
            State::Down if good >= rise.into() => State::Up,
            same => same,
        };
        if next != self.state {
            (self.state, self.counted) = (next, Vec::new());
        }
    }
}

fn finding() -> impl Strategy<Value = Finding> {
    prop_oneof![
        6 => Just(Finding::Open),
        3 => Just(Finding::Refused),
        1 => Just(Finding::Rejected),
        1 => Just(Finding::Gone),
        6 => Just(Finding::Silent),
        2 => Just(Finding::Unproven),
        3 => Just(Finding::Fault),
    ]
}

/// Findings with the seconds before each. Often the same one comes many times.
fn findings() -> impl Strategy<Value = Vec<(Finding, u64)>> {
    let several = (finding(), 1..6usize, 0..90u64)
        .prop_map(|(finding, times, seconds)| vec![(finding, seconds); times]);
    prop::collection::vec(several, 1..60).prop_map(|several| several.concat())
}

proptest! {
    #[test]
    fn states_change_exactly_when_the_counts_say_so(
        findings in findings(),
        (rise, fall, fall_refused) in (1..5u8, 1..5u8, 1..5u8),
    ) {
        let rules = Rules { rise, fall, fall_refused };
        let (state, counted) = (State::Unknown, Vec::new());
        let mut model = Model { rules, state, counted, faults_since: None };
        let mut health = Health::default();
        let mut now = Duration::ZERO;
        for (finding, seconds) in findings {
            now += Duration::from_secs(seconds);
            let (before, was_held) = (health.state(), health.is_held());
            let changes = health.observe(finding, rules, now);
            model.take_in(finding, now);
            prop_assert_eq!(health.state(), model.state);
            prop_assert_eq!(health.is_held(), model.faults_since.is_some());
            let told = |wanted: &dyn Fn(&Change) -> bool| changes.iter().flatten().any(wanted);
            prop_assert_eq!(told(&|c| *c == Change::Held), !was_held && health.is_held());
            prop_assert_eq!(told(&|c| *c == Change::Released), was_held && !health.is_held());
            let moved = told(&|c| matches!(c, Change::State(from, _) if *from == before));
            prop_assert_eq!(moved, before != health.state());
        }
    }
}
