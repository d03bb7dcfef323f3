//! The table of pending targets, each of which takes about a hundred bytes.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::ops::{Index, IndexMut};
use std::time::Duration;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::endpoint::Endpoint;
use super::sources::Sources;
use super::target::{Incidents, PendingTarget, Stage};
use crate::attempt::SourcePort;
use crate::probe::Secret;

/// The place of a pending target in the table. Another target takes it when this one has ended.
pub(super) type Slot = u32;

/// The pending targets, and what their SYNs have in common.
pub(super) struct Pending {
    secret: Secret,
    attempts: usize,
    slots: Vec<PendingTarget>,
    free: Vec<Slot>,
    by_remote: HashTable<Slot>,
    /// What has happened to targets so far except silence, if anything.
    incidents: HashMap<Slot, Incidents>,
    /// When each attempt was sent, in microseconds, wrapping: `attempts` entries per slot.
    sent_at: Vec<u32>,
    /// The source port of each attempt, likewise. Attempts of a target from the same port have the
    /// same sequence number: they are retransmissions.
    sent_from: Vec<u16>,
    /// All source ports that were used, for IPv4 and for IPv6.
    ports: [BTreeSet<u16>; 2],
    sources: Sources,
}

impl Pending {
    /// Creates an empty table, keyed by `secret`, with room for this number of attempts at each
    /// target.
    pub(super) fn new(secret: Secret, attempts: usize) -> Self {
        Self {
            secret,
            attempts,
            slots: Vec::new(),
            free: Vec::new(),
            by_remote: HashTable::new(),
            incidents: HashMap::new(),
            sent_at: Vec::new(),
            sent_from: Vec::new(),
            ports: [BTreeSet::new(), BTreeSet::new()],
            sources: Sources::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_remote.len()
    }

    pub(super) fn slots(&self) -> Vec<Slot> {
        self.by_remote.iter().copied().collect()
    }

    /// Adds a target, unless its endpoint is pending already.
    pub(super) fn insert(&mut self, target: PendingTarget) -> Option<Slot> {
        assert!(
            target.progress.attempts() <= self.attempts,
            "more attempts than there is room for"
        );
        let hash = self.secret.hash(target.remote);
        let same = |slot: &Slot| self.slots[*slot as usize].remote == target.remote;
        let rehash = |slot: &Slot| self.secret.hash(self.slots[*slot as usize].remote);
        let Entry::Vacant(entry) = self.by_remote.entry(hash, same, rehash) else { return None };
        let slot = if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = target;
            slot
        } else {
            self.slots.push(target);
            self.sent_at.resize(self.slots.len() * self.attempts, 0);
            self.sent_from.resize(self.slots.len() * self.attempts, 0);
            Slot::try_from(self.slots.len() - 1).expect("fewer than 2³² pending")
        };
        entry.insert(slot);
        Some(slot)
    }

    /// Frees a slot.
    pub(super) fn remove(&mut self, slot: Slot) {
        let hash = self.secret.hash(self[slot].remote);
        if let Ok(entry) = self.by_remote.find_entry(hash, |other| *other == slot) {
            entry.remove();
            self.free.push(slot);
            self.incidents.remove(&slot);
            if let Some(source) = self[slot].source {
                self.sources.release(source);
            }
            self[slot].source = None;
        }
    }

    pub(super) fn find(&self, remote: SocketAddr) -> Option<Slot> {
        let remote = Endpoint::from(remote);
        let same = |slot: &Slot| self[*slot].remote == remote;
        self.by_remote.find(self.secret.hash(remote), same).copied()
    }

    /// Records that an attempt left from `local` at `now`.
    pub(super) fn mark_sent(&mut self, slot: Slot, index: usize, local: SocketAddr, now: Duration) {
        self.ports[family(local)].insert(local.port());
        let source = self.sources.acquire(local);
        let at = self.at(slot, index);
        let repeated = self.was_sent(slot, index) && self.sent_from[at] == local.port();
        let target = &mut self.slots[slot as usize];
        let former = target.source;
        target.source = Some(source);
        if let Some(former) = former {
            self.sources.release(former);
        }
        target.sent |= 1 << index;
        if let Some(incidents) = self.incidents.get_mut(&slot) {
            incidents.postponed = 0;
            incidents.lost &= !(1 << index);
        }
        if repeated {
            let incidents = self.incidents_mut(slot);
            incidents.repeats = incidents.repeats.saturating_add(1);
            incidents.repeated_at = nanos(now);
        } else {
            self.sent_at[at] = wrapped(now);
            self.sent_from[at] = local.port();
        }
    }

    pub(super) fn was_sent(&self, slot: Slot, index: usize) -> bool {
        self[slot].sent & (1 << index) != 0
    }

    /// Returns true if all attempts have begun.
    pub(super) fn has_begun_all(&self, slot: Slot) -> bool {
        self[slot].progress.has_begun_all()
    }

    /// Returns true if SYNs have left from the port of `local`.
    pub(super) fn is_port_of_ours(&self, local: SocketAddr) -> bool {
        self.ports[family(local)].contains(&local.port())
    }

    /// Returns the attempts of a target that left from that port, a bit each.
    pub(super) fn sent_from(&self, slot: Slot, port: u16) -> u16 {
        let sent = self[slot].sent;
        let indices = (0..self.attempts).filter(|index| sent & (1 << index) != 0);
        let indices = indices.filter(|index| self.sent_from[self.at(slot, *index)] == port);
        indices.fold(0, |mask, index| mask | 1 << index)
    }

    /// Returns the attempts that left from the same port as that one, a bit each. To the server
    /// they are one connection.
    pub(super) fn sharing_port_with(&self, slot: Slot, index: usize) -> u16 {
        self.sent_from(slot, self.sent_from[self.at(slot, index)])
    }

    /// Returns the attempts of a target that may still be answered, a bit each.
    pub(super) fn outstanding(&self, slot: Slot) -> u16 {
        let Incidents { lost, given_up, .. } = self.incidents(slot);
        self[slot].sent & !(lost | given_up)
    }

    /// Returns the source port of a target's next attempt. After silence the SYN is retransmitted
    /// once, and then a fresh port is used. After an unacceptable ACK a fresh port is used at once;
    /// after such ACKs on two ports the SYN is retransmitted from the second one, because some
    /// equipment admits a connection only if its SYN comes again after our RST.
    pub(super) fn next_port(&self, slot: Slot) -> SourcePort {
        let Some(newest) = self[slot].sent.checked_ilog2() else { return SourcePort::Fresh(0) };
        let newest = newest as usize;
        let same_port = self.sharing_port_with(slot, newest);
        let unacceptable = self.incidents(slot).unacceptable();
        let repeats_last = newest == self[slot].progress.last();
        let resend = same_port & unacceptable == 0 || unacceptable & !same_port != 0;
        if repeats_last || (same_port.is_power_of_two() && resend) {
            return SourcePort::Same(self.sent_from[self.at(slot, newest)]);
        }
        let sent = (0..=newest).filter(|index| self.was_sent(slot, *index));
        let ports: BTreeSet<_> = sent.map(|index| self.sent_from[self.at(slot, index)]).collect();
        SourcePort::Fresh(ports.len())
    }

    /// Returns when the stage of a target ends by a timeout, in nanoseconds.
    pub(super) fn waits_until(&self, slot: Slot) -> Option<u64> {
        match self[slot].stage {
            Stage::Waiting => Some(self[slot].until),
            Stage::Postponed => Some(self.incidents(slot).due_again),
            Stage::Due | Stage::Sending | Stage::Ended => None,
        }
    }

    pub(super) fn incidents(&self, slot: Slot) -> &Incidents {
        static NONE: Incidents = Incidents::NONE;
        self.incidents.get(&slot).unwrap_or(&NONE)
    }

    pub(super) fn incidents_mut(&mut self, slot: Slot) -> &mut Incidents {
        self.incidents.entry(slot).or_insert(Incidents::NONE)
    }

    /// Returns the address that a target's newest SYN left from, with port 0.
    pub(super) fn source(&self, slot: Slot) -> SocketAddr {
        self.sources.get(self[slot].source.expect("a SYN has left"))
    }

    /// Returns the endpoint that an attempt left from.
    pub(super) fn local(&self, slot: Slot, index: usize) -> SocketAddr {
        let mut local = self.source(slot);
        local.set_port(self.sent_from[self.at(slot, index)]);
        local
    }

    /// Returns the time since an attempt was sent first, to the microsecond. It is zero if `now`,
    /// the time stamp of an answer, is a little before the SYN.
    pub(super) fn since(&self, slot: Slot, index: usize, now: Duration) -> Duration {
        let micros = wrapped(now).wrapping_sub(self.sent_at[self.at(slot, index)]);
        let earlier = micros > u32::MAX - EARLIER;
        Duration::from_micros(if earlier { 0 } else { micros.into() })
    }

    fn at(&self, slot: Slot, index: usize) -> usize {
        slot as usize * self.attempts + index
    }
}

impl Index<Slot> for Pending {
    type Output = PendingTarget;

    fn index(&self, slot: Slot) -> &PendingTarget {
        &self.slots[slot as usize]
    }
}

impl IndexMut<Slot> for Pending {
    fn index_mut(&mut self, slot: Slot) -> &mut PendingTarget {
        &mut self.slots[slot as usize]
    }
}

/// Returns `time` in nanoseconds. 64 bits are enough for 584 years.
pub(super) fn nanos(time: Duration) -> u64 {
    time.as_secs() * 1_000_000_000 + u64::from(time.subsec_nanos())
}

/// How many microseconds a time may be before that of a SYN: a quarter of those that are told
/// apart.
const EARLIER: u32 = 1 << 30;

/// Returns `time` in microseconds, wrapping. Differences of up to 53 minutes can be told, and no
/// wait is that long.
fn wrapped(time: Duration) -> u32 {
    u32::try_from((nanos(time) / 1000) & u64::from(u32::MAX)).expect("masked")
}

fn family(address: SocketAddr) -> usize {
    usize::from(address.is_ipv6())
}
