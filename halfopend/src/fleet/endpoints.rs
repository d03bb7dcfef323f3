//! Which endpoints are being checked: one at a time, even if several targets have the same one.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::mem;
use std::net::SocketAddr;
use std::time::Duration;

use foldhash::fast::RandomState;

use super::scheduler::REST;
use super::visits::is_visit;

/// The endpoints that are being checked, and those that rest after a check.
///
/// Targets with the same endpoint take turns: each waits until the check of the one before has
/// ended, and the endpoint has rested. One check serves all targets that are due and are checked in
/// the same way.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    busy: HashMap<SocketAddr, Busy, RandomState>,
    /// The targets that have waited for one another.
    shared: HashMap<SocketAddr, Vec<u32>, RandomState>,
    /// When which endpoint has rested, in this order.
    resting: VecDeque<(Duration, SocketAddr)>,
}

#[derive(Debug)]
struct Busy {
    /// The target that is being checked, or is the next one.
    owner: Option<u32>,
    /// When the endpoint has rested. `None` while it is being checked.
    rested: Option<Duration>,
    /// Other targets with this endpoint. Few endpoints have any, so they are boxed.
    others: Option<Box<Others>>,
}

#[derive(Debug, Default)]
struct Others {
    /// The targets that the same check serves.
    companions: Vec<u32>,
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

impl Others {
    /// Removes and returns the target whose turn is next. Companions come first.
    fn next(&mut self) -> Option<u32> {
        for companion in self.companions.drain(..).rev() {
            self.waiting.push_front(companion);
        }
        self.waiting.pop_front()
    }
}

impl Endpoints {
    /// Begins a check of `endpoint` for the target `id`, if it may begin at `now`.
    pub(super) fn claim(&mut self, endpoint: SocketAddr, id: u32, now: Duration) -> Turn {
        self.expire(now);
        let busy = match self.busy.entry(endpoint) {
            Entry::Occupied(busy) => busy.into_mut(),
            Entry::Vacant(free) => {
                free.insert(Busy { owner: Some(id), rested: None, others: None });
                return Turn::Now;
            }
        };
        let (Some(rested), true) = (busy.rested, busy.owner.is_none_or(|owner| owner == id)) else {
            busy.others.get_or_insert_default().waiting.push_back(id);
            let sharing = self.shared.entry(endpoint).or_default();
            for id in busy.owner.into_iter().chain([id]).filter(|id| !is_visit(*id)) {
                if !sharing.contains(&id) {
                    sharing.push(id);
                }
            }
            return Turn::Later;
        };
        busy.owner = Some(id);
        if rested > now {
            return Turn::At(rested);
        }
        busy.rested = None;
        Turn::Now
    }

    /// Lets the check of `endpoint`, which begins, also serve other targets, if they `can_join`,
    /// which is told whether they wait for their turn.
    pub(super) fn share(
        &mut self,
        endpoint: SocketAddr,
        can_join: impl Fn(u32, bool) -> bool,
    ) -> &[u32] {
        if self.shared.is_empty() {
            return &[];
        }
        let (Some(busy), Some(sharing)) =
            (self.busy.get_mut(&endpoint), self.shared.get(&endpoint))
        else {
            return &[];
        };
        let Busy { owner, others, .. } = busy;
        let Others { companions, waiting } = &mut **others.get_or_insert_default();
        let can_join = |id: &u32| Some(*id) != *owner && can_join(*id, waiting.contains(id));
        *companions = sharing.iter().copied().filter(can_join).collect();
        waiting.retain(|other| !companions.contains(other));
        companions
    }

    /// Records that a target has left this endpoint.
    pub(super) fn forget(&mut self, endpoint: SocketAddr, id: u32) {
        if let Some(sharing) = self.shared.get_mut(&endpoint) {
            sharing.retain(|other| *other != id);
            if sharing.is_empty() {
                self.shared.remove(&endpoint);
            }
        }
    }

    /// Returns the targets that the check of `endpoint` serves besides the one that it is for.
    pub(super) fn companions(&self, endpoint: SocketAddr) -> &[u32] {
        if self.shared.is_empty() {
            return &[]; // the usual case, without a look-up
        }
        let others = self.busy.get(&endpoint).and_then(|busy| busy.others.as_ref());
        others.map_or(&[], |others| &others.companions)
    }

    /// Takes these targets out, because the check has ended.
    pub(super) fn take_companions(&mut self, endpoint: SocketAddr) -> Vec<u32> {
        if self.shared.is_empty() {
            return Vec::new();
        }
        let others = self.busy.get_mut(&endpoint).and_then(|busy| busy.others.as_mut());
        others.map(|others| mem::take(&mut others.companions)).unwrap_or_default()
    }

    /// Returns true if a check of `endpoint` may begin at `now`.
    pub(super) fn is_free(&self, endpoint: SocketAddr, now: Duration) -> bool {
        self.busy.get(&endpoint).is_none_or(|busy| {
            busy.owner.is_none() && busy.rested.is_some_and(|rested| rested <= now)
        })
    }

    /// Begins a check of `endpoint` for `id`, as [`Endpoints::claim`] does, if no target is checked
    /// there or waits. Otherwise `id` does not wait either.
    pub(super) fn claim_unless_wanted(
        &mut self,
        endpoint: SocketAddr,
        id: u32,
        now: Duration,
    ) -> Turn {
        self.expire(now);
        match self.busy.get(&endpoint) {
            None => self.claim(endpoint, id, now),
            Some(Busy { owner: None, rested: Some(rested), .. }) => {
                if *rested > now {
                    return Turn::At(*rested);
                }
                self.claim(endpoint, id, now)
            }
            Some(_) => Turn::Later,
        }
    }

    /// Returns true if `endpoint` is being checked for the target `id`.
    pub(super) fn is_checked_for(&self, endpoint: SocketAddr, id: u32) -> bool {
        self.busy.get(&endpoint).is_some_and(|b| b.rested.is_none() && b.owner == Some(id))
    }

    /// Ends the check of `endpoint` for the target `id`, or its wait for one. Its companions wait
    /// for another check. Returns the target that is next, and when, if that changes.
    pub(super) fn release(
        &mut self,
        endpoint: SocketAddr,
        id: u32,
        now: Duration,
    ) -> Option<(u32, Duration)> {
        let busy = self.busy.get_mut(&endpoint)?;
        if busy.owner != Some(id) {
            if let Some(others) = &mut busy.others {
                others.waiting.retain(|waiting| *waiting != id);
                others.companions.retain(|companion| *companion != id);
            }
            return None;
        }
        let rested = *busy.rested.get_or_insert_with(|| {
            self.resting.push_back((now + REST, endpoint));
            now + REST
        });
        let next = busy.others.as_mut().and_then(|others| others.next());
        busy.owner = next;
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
            if let Entry::Occupied(busy) = self.busy.entry(endpoint)
                && busy.get().owner.is_none()
                && busy.get().rested == Some(rested)
            {
                busy.remove();
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

    #[test]
    fn those_that_are_checked_alike_have_their_turn_together() {
        let mut endpoints = Endpoints::default();
        let endpoint = "198.18.0.1:80".parse().unwrap();
        let odd = |id, _| id % 2 == 1;
        assert_eq!(endpoints.claim(endpoint, 1, SECOND), Turn::Now);
        for id in [3, 2, 5, 7] {
            assert_eq!(endpoints.claim(endpoint, id, SECOND), Turn::Later);
        }
        let rested = 2 * SECOND + REST;
        assert_eq!(endpoints.release(endpoint, 1, 2 * SECOND), Some((3, rested)));
        assert!(!endpoints.is_free(endpoint, rested), "it is that one's turn");
        assert_eq!(endpoints.claim(endpoint, 3, rested), Turn::Now);
        assert_eq!(endpoints.share(endpoint, odd), [1, 5, 7]);
        // One leaves. The check is cancelled, and the others still come before number 2.
        endpoints.forget(endpoint, 1);
        assert_eq!(endpoints.release(endpoint, 1, rested), None);
        let again = rested + REST;
        assert_eq!(endpoints.release(endpoint, 3, rested), Some((5, again)));
        assert_eq!(endpoints.claim(endpoint, 5, again), Turn::Now);
        assert_eq!(endpoints.share(endpoint, |id, waits| odd(id, waits) && waits), [7]);
        assert_eq!(endpoints.take_companions(endpoint), [7]);
        assert_eq!(endpoints.release(endpoint, 5, again), Some((2, again + REST)));
        for id in [2, 3, 5, 7] {
            endpoints.forget(endpoint, id);
        }
        assert!(endpoints.shared.is_empty());
    }
}
