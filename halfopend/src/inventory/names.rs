//! The hosts whose addresses must be found, what is known of them, and the targets that depend on
//! it. Pure: no look-up is made here.

mod dependants;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::mem;
use std::net::SocketAddr;
use std::time::Duration;

use halfopen::resolve::{Addresses, NoAddress};
use halfopen::verdict::{LookupFailure, Outcome, Reason, Verdict};

use self::dependants::Dependant;
use super::members::{Host, Named};
use crate::fleet::{Fleet, Place};

/// The time from the end of a look-up to the next one. (The C library does not tell how long an
/// answer holds.)
const INTERVAL: Duration = Duration::from_secs(30);

/// How long a look-up may take before its targets are held, if no address is known.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most addresses of one name that are targets.
const MOST_ADDRESSES: usize = 256;

/// The hosts, by the ids of their look-ups.
#[derive(Default)]
pub(super) struct Names {
    hosts: Vec<Option<Known>>,
    free: Vec<u32>,
    ids: HashMap<Host, u32>,
    /// When something is to be done about which host. Entries that its `wake` contradicts are
    /// ignored.
    wakes: BinaryHeap<Reverse<(Duration, u32)>>,
    /// How many are being looked up.
    pending: usize,
}

/// What is known of a host.
struct Known {
    host: Host,
    answer: Answer,
    dependants: Vec<Dependant>,
    /// True if a reload waits for it.
    is_awaited: bool,
    /// True while it is being looked up.
    is_pending: bool,
    /// When to look it up, or to stop waiting for the answer.
    wake: Option<Duration>,
}

/// What the newest look-ups have said.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    /// Nothing yet.
    None,
    /// These addresses; and nothing else that counts since then.
    Addresses(Vec<SocketAddr>),
    /// That there is no such host.
    Gone(LookupFailure),
    /// Nothing, because of a fault.
    Fault(Outcome),
}

impl Answer {
    fn of(found: Addresses) -> Self {
        match found {
            Ok(mut addresses) => {
                addresses.truncate(MOST_ADDRESSES);
                Self::Addresses(addresses)
            }
            Err(NoAddress::NotResolved(
                failure @ (LookupFailure::NotFound
                | LookupFailure::NotAName
                | LookupFailure::NotOneHost(_)),
            )) => Self::Gone(failure),
            Err(fault) => Self::Fault(fault.outcome()),
        }
    }

    /// Returns where a target is whose host has this answer.
    fn place(&self) -> Place {
        match self {
            Self::None | Self::Addresses(_) | Self::Fault(_) => Place::Unresolved,
            Self::Gone(failure) => Place::Gone(*failure),
        }
    }
}

impl Names {
    /// Returns the id of a host that has no targets, for which a reload waits. It is looked up at
    /// `now`, and kept until [`Names::release`].
    pub(super) fn await_host(&mut self, host: &Host, now: Duration) -> u32 {
        let id = self.add(host, now);
        let known = self.known_mut(id);
        (known.is_awaited, known.answer) = (true, Answer::None);
        let wake = if known.is_pending { now + PATIENCE } else { now };
        self.wake_at(id, wake);
        id
    }

    /// Forgets a host for which no reload waits any more, unless it has targets.
    pub(super) fn release(&mut self, id: u32) {
        self.known_mut(id).is_awaited = false;
        self.forget_if_unused(id);
    }

    /// Returns true if a host is being looked up.
    pub(super) fn are_pending(&self) -> bool {
        self.pending > 0
    }

    /// Returns the id of a host, which is looked up from `now` on.
    fn add(&mut self, host: &Host, now: Duration) -> u32 {
        if let Some(id) = self.ids.get(host) {
            return *id;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.hosts.push(None);
            u32::try_from(self.hosts.len() - 1).expect("fewer than 2³² names")
        });
        self.ids.insert(host.clone(), id);
        self.hosts[id as usize] = Some(Known {
            host: host.clone(),
            answer: Answer::None,
            dependants: Vec::new(),
            is_awaited: false,
            is_pending: false,
            wake: None,
        });
        self.wake_at(id, now);
        id
    }

    /// Returns true if there are targets of this host.
    pub(super) fn is_used(&self, host: &Host) -> bool {
        self.ids.get(host).is_some_and(|id| !self.known(*id).dependants.is_empty())
    }

    /// Returns what is known of a host.
    pub(super) fn answer(&self, id: u32) -> &Answer {
        &self.known(id).answer
    }

    /// Returns what reports call a host.
    pub(super) fn host(&self, id: u32) -> &Host {
        &self.known(id).host
    }

    /// Adds the targets of a member of a pool. If `is_news`, it is told that they were added.
    pub(super) fn attach(
        &mut self,
        fleet: &mut Fleet,
        (pool, is_witness): (u32, bool),
        named: Named,
        is_news: bool,
        now: Duration,
    ) {
        let id = self.add(&named.host, now);
        let mut dependant = Dependant::new(pool, is_witness, named, is_news);
        dependant.follow(&self.known(id).answer, fleet, now);
        dependant.tell_additions();
        self.known_mut(id).dependants.push(dependant);
    }

    /// Removes the targets of a member of a pool.
    pub(super) fn detach(
        &mut self,
        fleet: &mut Fleet,
        (pool, is_witness): (u32, bool),
        named: &Named,
        now: Duration,
    ) {
        let Some(id) = self.ids.get(&named.host).copied() else { return };
        let dependants = &mut self.known_mut(id).dependants;
        if let Some(index) = dependants.iter().position(|d| d.is(pool, is_witness, named)) {
            dependants.swap_remove(index).leave(fleet, now);
        }
        self.forget_if_unused(id);
    }

    /// Forgets a host that has no targets, unless an answer is to come.
    fn forget_if_unused(&mut self, id: u32) {
        let Known { dependants, is_awaited, is_pending, .. } = self.known(id);
        if dependants.is_empty() && !is_awaited && !is_pending {
            let forgotten = self.hosts[id as usize].take().expect("a host");
            self.ids.remove(&forgotten.host);
            self.free.push(id);
        }
    }

    /// Returns the next host to look up at `now`. [`Names::resolved`] takes the answer.
    pub(super) fn poll(&mut self, fleet: &mut Fleet, now: Duration) -> Option<(u32, Host)> {
        while let Some(id) = self.poll_wake(now) {
            let known = self.known_mut(id);
            if !mem::replace(&mut known.is_pending, true) {
                let host = known.host.clone();
                self.pending += 1;
                self.wake_at(id, now + PATIENCE);
                return Some((id, host));
            }
            known.wake = None;
            if !matches!(known.answer, Answer::Addresses(_)) {
                let silence = Reason::NameNotResolved(LookupFailure::TimedOut);
                self.learn(id, Answer::Fault(Ok(Verdict::without_probe(silence))), fleet, now);
            }
        }
        None
    }

    /// Records how a look-up has ended.
    pub(super) fn resolved(&mut self, id: u32, found: Addresses, fleet: &mut Fleet, now: Duration) {
        self.known_mut(id).is_pending = false;
        self.pending -= 1;
        let answer = Answer::of(found);
        let is_fault = matches!(answer, Answer::Fault(_));
        if !(is_fault && matches!(self.known(id).answer, Answer::Addresses(_))) {
            self.learn(id, answer, fleet, now);
        }
        self.wake_at(id, now + INTERVAL);
        self.forget_if_unused(id);
    }

    /// Looks up all hosts again at `now`, except those that are being looked up or just were.
    pub(super) fn ask_again(&mut self, now: Duration) {
        self.wakes.clear();
        for (id, known) in (0..).zip(&mut self.hosts) {
            let Some(known) = known else { continue };
            if !known.is_pending && !known.is_awaited {
                known.wake = Some(now);
            }
            self.wakes.extend(known.wake.map(|at| Reverse((at, id))));
        }
    }

    /// Returns when to call [`Names::poll`] again.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        self.wakes.peek().map(|Reverse((at, _))| *at)
    }

    fn learn(&mut self, id: u32, answer: Answer, fleet: &mut Fleet, now: Duration) {
        let known = self.known_mut(id);
        known.answer = answer;
        for dependant in &mut known.dependants {
            dependant.follow(&known.answer, fleet, now);
        }
    }

    fn poll_wake(&mut self, now: Duration) -> Option<u32> {
        while let Some(Reverse((at, id))) = self.wakes.peek().copied()
            && at <= now
        {
            self.wakes.pop();
            let known = self.hosts[id as usize].as_ref();
            if known.is_some_and(|known| known.wake == Some(at)) {
                return Some(id);
            }
        }
        None
    }

    fn wake_at(&mut self, id: u32, at: Duration) {
        self.known_mut(id).wake = Some(at);
        self.wakes.push(Reverse((at, id)));
    }

    fn known(&self, id: u32) -> &Known {
        self.hosts[id as usize].as_ref().expect("a host")
    }

    fn known_mut(&mut self, id: u32) -> &mut Known {
        self.hosts[id as usize].as_mut().expect("a host")
    }
}

#[cfg(test)]
impl Names {
    /// Returns how many hosts there are.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Returns how many times are kept at which something is to be done.
    pub(super) fn wakes(&self) -> usize {
        self.wakes.len()
    }
}

#[cfg(test)]
mod tests;
