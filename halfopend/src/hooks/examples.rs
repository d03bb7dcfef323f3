//! Events for tests.

use crate::event::{Event, EventKind, PoolView, TargetView};
use crate::fleet::health::State;

pub(super) fn event(sequence: u64, target: TargetView) -> Event {
    let pool =
        PoolView { name: "web".into(), up: 9, targets: 10, fails_open: false, fails_open_at: None };
    Event { sequence, kind: EventKind::Down, pool: Some(pool), target: Some(target) }
}

pub(super) fn down(label: &str) -> TargetView {
    TargetView {
        id: 0,
        label: label.into(),
        endpoint: label.parse().ok(),
        from: State::Up,
        to: State::Down,
        finding: Some("filtered"),
        reason: Some("no answer to 3 SYNs in 1.5 s".to_owned()),
        count: 3,
        advertised: State::Down,
        is_held: false,
    }
}
