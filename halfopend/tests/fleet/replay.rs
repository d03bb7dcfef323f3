//! Follows the events of a fleet: what a reader knows who sees nothing else.

use std::collections::HashMap;
use std::net::SocketAddr;

use halfopend::event::{Event, EventKind};
use halfopend::fleet::Fleet;
use halfopend::fleet::health::State;

/// What the events have said so far.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    sequence: u64,
    targets: HashMap<u32, Known>,
    pub(crate) is_isolated: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Known {
    state: State,
    advertised: State,
    is_held: bool,
}

impl Replay {
    pub(crate) fn take_in(&mut self, event: &Event) {
        assert_eq!(event.sequence, self.sequence + 1, "an event is missing");
        self.sequence = event.sequence;
        let Some(target) = &event.target else {
            match event.kind {
                EventKind::Isolated => self.is_isolated = true,
                EventKind::Released => self.is_isolated = false,
                _ => {}
            }
            return;
        };
        let known = self.targets.entry(target.id).or_default();
        assert_eq!(target.from, known.state, "{event:?}");
        let kind = match event.kind {
            EventKind::Up => Some(State::Up),
            EventKind::Down => Some(State::Down),
            EventKind::Unknown => Some(State::Unknown),
            _ => None,
        };
        assert_eq!(target.to, kind.unwrap_or(known.state), "{event:?}");
        assert_eq!(kind.is_some(), target.from != target.to, "{event:?}");
        let is_held = target.is_held;
        *known = Known { state: target.to, advertised: target.advertised, is_held };
    }

    /// Checks that the fleet says of these targets what its events have said.
    pub(crate) fn compare(&self, fleet: &Fleet, targets: &[(u32, SocketAddr)]) {
        for (id, endpoint) in targets {
            let health = fleet.health(*id);
            let known = self.targets.get(id).copied().unwrap_or_default();
            let (state, is_held) = (health.state(), health.is_held());
            let is = Known { state, advertised: fleet.advertised(*id), is_held };
            assert_eq!(known, is, "{endpoint}");
        }
        assert_eq!(self.is_isolated, fleet.is_isolated());
    }
}
