//! Which endpoints are being checked: one at a time, even if several targets have the same one.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use super::scheduler::REST;

/// The endpoints that are being checked, and those that rest after a check.
///
/// Targets with the same endpoint take turns: each waits until the check of the one before has
/// ended, and the endpoint has rested.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    busy: HashMap<SocketAddr, Busy>,
    /// When which endpoint has rested, in this order.
    resting: VecDeque<(Duration, SocketAddr)>,
}

#[derive(Debug)]
struct Busy {
    /// The target that is being checked, or is the next one.
    owner: Option<u32>,
    /// When the endpoint has rested. `None` while it is being checked.
    rested: Option<Duration>,
    /// The targets that come after the owner.
    waiting: VecDeque<u32>,
}

/// When a target may be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Now. Its check has begun.
    Now,
    /// At that time: the endpoint rests until then.
    At(Duration),
    /// After others, as [`Endpoints::release`] tells.
    Later,
}

impl Endpoints {
    /// Begins a check of `endpoint` for the target `id`, if it may begin at `now`.
    pub(super) fn claim(&mut self, endpoint: SocketAddr, id: u32, now: Duration) -> Turn {
        self.expire(now);
        let busy = match self.busy.entry(endpoint) {
            Entry::Occupied(busy) => busy.into_mut(),
            Entry::Vacant(free) => {
                free.insert(Busy { owner: Some(id), rested: None, waiting: VecDeque::new() });
                return Turn::Now;
            }
        };
        let (Some(rested), true) = (busy.rested, busy.owner.is_none_or(|owner| owner == id)) else {
            busy.waiting.push_back(id);
            return Turn::Later;
        };
        busy.owner = Some(id);
        if rested > now {
            return Turn::At(rested);
        }
        busy.rested = None;
        Turn::Now
    }

    /// Returns true if `endpoint` is being checked for the target `id`.
    pub(super) fn is_checked_for(&self, endpoint: SocketAddr, id: u32) -> bool {
        self.busy.get(&endpoint).is_some_and(|b| b.rested.is_none() && b.owner == Some(id))
    }

    /// Ends the check of `endpoint` for the target `id`, or its wait for one. Returns the target
    /// that is next, and when, if that changes.
    pub(super) fn release(
        &mut self,
        endpoint: SocketAddr,
        id: u32,
        now: Duration,
    ) -> Option<(u32, Duration)> {
        let busy = self.busy.get_mut(&endpoint)?;
        if busy.owner != Some(id) {
            busy.waiting.retain(|waiting| *waiting != id);
            return None;
        }
        let rested = *busy.rested.get_or_insert_with(|| {
            self.resting.push_back((now + REST, endpoint));
            now + REST
        });
        busy.owner = busy.waiting.pop_front();
        let next = busy.owner;
        if next.is_none() && rested <= now {
            self.busy.remove(&endpoint);
        }
        next.map(|next| (next, rested))
    }

    /// Forgets the endpoints that have rested, unless a target is about to be checked.
    fn expire(&mut self, now: Duration) {
        while let Some((rested, endpoint)) = self.resting.front().copied()
            && rested <= now
        {
            self.resting.pop_front();
            let is_over = |busy: &Busy| busy.owner.is_none() && busy.rested == Some(rested);
            if self.busy.get(&endpoint).is_some_and(is_over) {
                self.busy.remove(&endpoint);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn targets_with_the_same_endpoint_take_turns() {
        let mut endpoints = Endpoints::default();
        let endpoint = "198.18.0.1:80".parse().unwrap();
        assert_eq!(endpoints.claim(endpoint, 1, SECOND), Turn::Now);
        assert_eq!(endpoints.claim(endpoint, 2, SECOND), Turn::Later);
        assert_eq!(endpoints.claim(endpoint, 3, SECOND), Turn::Later);
        let rested = 2 * SECOND + REST;
        assert_eq!(endpoints.release(endpoint, 1, 2 * SECOND), Some((2, rested)));
        assert_eq!(endpoints.claim(endpoint, 1, rested), Turn::Later, "it was checked before");
        assert_eq!(endpoints.claim(endpoint, 2, rested), Turn::Now);
        let rested = 4 * SECOND + REST;
        assert_eq!(endpoints.release(endpoint, 2, 4 * SECOND), Some((3, rested)));
        // The next one leaves before its turn.
        assert_eq!(endpoints.release(endpoint, 3, 4 * SECOND), Some((1, rested)));
        assert_eq!(endpoints.claim(endpoint, 1, rested), Turn::Now);
        assert!(endpoints.is_checked_for(endpoint, 1));
        assert_eq!(endpoints.release(endpoint, 1, 5 * SECOND), None);
        assert_eq!(endpoints.claim(endpoint, 1, 5 * SECOND), Turn::At(5 * SECOND + REST));
        assert_eq!(endpoints.release(endpoint, 1, 6 * SECOND), None);
        assert!(endpoints.busy.is_empty());
        assert_eq!(endpoints.claim(endpoint, 1, 7 * SECOND), Turn::Now);
        assert!(endpoints.resting.is_empty());
    }
}
