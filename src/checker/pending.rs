//! The targets that are pending: found by endpoint, a hundred bytes each.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::{Index, IndexMut};
use std::time::Duration;

use hashbrown::HashTable;

use crate::fault::Fault;
use crate::probe::Secret;
use crate::verdict::Reason;

/// Where a pending target stands; another one's once it has ended.
pub(super) type Slot = u32;

/// A slot for each pending target, and what their SYNs have in common.
pub(super) struct Pending {
    secret: Secret,
    tries: usize,
    slots: Vec<Progress>,
    free: Vec<Slot>,
    by_remote: HashTable<Slot>,
    /// When each try of each slot was sent, in microseconds, wrapping: `tries` entries a slot.
    sent_at: Vec<u32>,
    /// Source ports by try number, for IPv4 and for IPv6.
    ports: [Vec<u16>; 2],
    /// Source addresses seen so far, without port: few, but for blocks of this machine's own addresses.
    sources: Vec<SocketAddr>,
    by_source: HashMap<SocketAddr, u32>,
}

/// A target that is pending, in few bytes: there may be a million of them.
pub(super) struct Progress {
    pub(super) remote: SocketAddr,
    /// When the wait for its newest try ends, in nanoseconds.
    pub(super) until: u64,
    /// What stood in the way so far.
    pub(super) setback: Option<Box<Setback>>,
    pub(super) label: u32,
    /// The wait of its first try, in nanoseconds.
    pub(super) first_wait: u32,
    /// The tries whose SYN left, a bit each.
    pub(super) sent: u16,
    /// Where they left from: an index.
    pub(super) source: u32,
    /// Tries begun, whether or not their SYN could leave.
    pub(super) begun: u8,
    pub(super) stage: Stage,
}

#[derive(Default)]
pub(super) struct Setback {
    /// The latest that the network or the routing table said, short of a final answer.
    pub(super) evidence: Option<Reason>,
    /// The tries that drew an ACK without SYN, a bit each.
    pub(super) acked: u16,
    /// The latest fault that kept a SYN from leaving.
    pub(super) fault: Option<Fault>,
    /// How often the next SYN has been postponed, as far as that counts.
    pub(super) postponed: u8,
    /// When it is due again, in nanoseconds.
    pub(super) due_again: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Due,
    Waiting,
    /// There was no room for the SYN that was due.
    Postponed,
    Ended,
}

impl Progress {
    /// When the target's stage ends by itself, in nanoseconds.
    pub(super) fn waits_until(&self) -> Option<u64> {
        match self.stage {
            Stage::Waiting => Some(self.until),
            Stage::Postponed => self.setback.as_ref().map(|setback| setback.due_again),
            Stage::Due | Stage::Ended => None,
        }
    }
}

impl Pending {
    /// None yet; `secret` keys the table.
    pub(super) fn new(secret: Secret, tries: usize) -> Self {
        Self {
            secret,
            tries,
            slots: Vec::new(),
            free: Vec::new(),
            by_remote: HashTable::new(),
            sent_at: Vec::new(),
            ports: [Vec::new(), Vec::new()],
            sources: Vec::new(),
            by_source: HashMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_remote.len()
    }

    pub(super) fn slots(&self) -> Vec<Slot> {
        self.by_remote.iter().copied().collect()
    }

    /// Takes in a target, whose endpoint must be new.
    pub(super) fn insert(&mut self, progress: Progress) -> Slot {
        let hash = self.secret.hash(progress.remote);
        let slot = if let Some(slot) = self.free.pop() {
            self[slot] = progress;
            slot
        } else {
            self.slots.push(progress);
            self.sent_at.resize(self.slots.len() * self.tries, 0);
            Slot::try_from(self.slots.len() - 1).expect("fewer than 2³² pending")
        };
        let rehash = |slot: &Slot| self.secret.hash(self.slots[*slot as usize].remote);
        self.by_remote.insert_unique(hash, slot, rehash);
        slot
    }

    /// The slot is free from now on.
    pub(super) fn remove(&mut self, slot: Slot) {
        let hash = self.secret.hash(self[slot].remote);
        if let Ok(entry) = self.by_remote.find_entry(hash, |other| *other == slot) {
            entry.remove();
            self.free.push(slot);
        }
    }

    pub(super) fn find(&self, remote: SocketAddr) -> Option<Slot> {
        let same = |slot: &Slot| self[*slot].remote == remote;
        self.by_remote.find(self.secret.hash(remote), same).copied()
    }

    /// That try of a target has left from `local` at `now`.
    pub(super) fn mark_sent(
        &mut self,
        slot: Slot,
        number: usize,
        local: SocketAddr,
        now: Duration,
    ) {
        let ports = &mut self.ports[family(local)];
        if ports.len() <= number {
            ports.resize(number + 1, 0);
        }
        ports[number] = local.port();
        let mut source = local;
        source.set_port(0);
        let source = *self.by_source.entry(source).or_insert_with(|| {
            self.sources.push(source);
            u32::try_from(self.sources.len() - 1).expect("fewer than 2³² addresses")
        });
        let at = self.at(slot, number);
        self.sent_at[at] = wrapped(now);
        let progress = &mut self[slot];
        progress.source = source;
        progress.sent |= 1 << number;
        if let Some(setback) = &mut progress.setback {
            setback.postponed = 0;
        }
    }

    pub(super) fn was_sent(&self, slot: Slot, number: usize) -> bool {
        self[slot].sent & (1 << number) != 0
    }

    /// Which try leaves from the port of `local`.
    pub(super) fn number(&self, local: SocketAddr) -> Option<usize> {
        self.ports[family(local)].iter().position(|port| *port == local.port())
    }

    /// Where that try of a target left from.
    pub(super) fn local(&self, slot: Slot, number: usize) -> SocketAddr {
        let progress = &self[slot];
        let mut local = self.sources[progress.source as usize];
        local.set_port(self.ports[family(progress.remote)][number]);
        local
    }

    /// Time since that try of a target was sent, to the microsecond; none where an answer is stamped a little before the SYN
    /// that it answers.
    pub(super) fn since(&self, slot: Slot, number: usize, now: Duration) -> Duration {
        let micros = wrapped(now).wrapping_sub(self.sent_at[self.at(slot, number)]);
        let earlier = micros > u32::MAX - EARLIER;
        Duration::from_micros(if earlier { 0 } else { micros.into() })
    }

    fn at(&self, slot: Slot, number: usize) -> usize {
        slot as usize * self.tries + number
    }
}

impl Index<Slot> for Pending {
    type Output = Progress;

    fn index(&self, slot: Slot) -> &Progress {
        &self.slots[slot as usize]
    }
}

impl IndexMut<Slot> for Pending {
    fn index_mut(&mut self, slot: Slot) -> &mut Progress {
        &mut self.slots[slot as usize]
    }
}

/// 2⁶⁴ of them are half a millennium.
pub(super) fn nanos(time: Duration) -> u64 {
    time.as_secs() * 1_000_000_000 + u64::from(time.subsec_nanos())
}

/// So many microseconds before a SYN was sent are no time since then: a quarter of those that are told apart.
const EARLIER: u32 = 1 << 30;

/// Microseconds, wrapping: enough for differences of up to 53 minutes, and no wait is that long.
fn wrapped(time: Duration) -> u32 {
    u32::try_from((nanos(time) / 1000) & u64::from(u32::MAX)).expect("masked")
}

fn family(address: SocketAddr) -> usize {
    usize::from(address.is_ipv6())
}
