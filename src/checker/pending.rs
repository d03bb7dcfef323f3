//! The targets that are pending: found by endpoint, a hundred bytes each.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::ops::{Index, IndexMut};
use std::time::Duration;

use hashbrown::HashTable;

use crate::attempt::SourcePort;
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
    /// The source port of each, likewise. Tries with the same one are retransmissions: they have
    /// the sequence number in common, too.
    sent_from: Vec<u16>,
    /// All source ports so far, for IPv4 and for IPv6.
    ports: [BTreeSet<u16>; 2],
    /// Source addresses seen so far, without port: few, but for blocks of this machine's own
    /// addresses.
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

#[derive(Default, Clone)]
pub(super) struct Setback {
    /// The latest that the network or the routing table said, short of a final answer.
    pub(super) evidence: Option<Reason>,
    /// The tries that an ICMP error has ended, a bit each.
    pub(super) lost: u16,
    /// The tries from ports that drew an ACK without SYN, a bit each.
    pub(super) acked: u16,
    /// The tries from ports that drew a SYN+ACK with a wrong acknowledgement, a bit each.
    pub(super) misacknowledged: u16,
    /// Who acknowledged a SYN that went elsewhere.
    pub(super) answered_by: Option<SocketAddr>,
    /// The tries that were given up after their wait, so that an answer to them would not have been
    /// heard, a bit each.
    pub(super) given_up: u16,
    /// The latest fault that kept a SYN from leaving.
    pub(super) fault: Option<Fault>,
    /// How often the next SYN has been postponed, as far as that counts.
    pub(super) postponed: u8,
    /// When it is due again, in nanoseconds.
    pub(super) due_again: u64,
    /// How often the last try was repeated, and when it was last, in nanoseconds.
    pub(super) repeats: u8,
    pub(super) repeated_at: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Due,
    /// Its SYN has been handed out, and what became of it is yet to be said.
    Sending,
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
            Stage::Due | Stage::Sending | Stage::Ended => None,
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
            sent_from: Vec::new(),
            ports: [BTreeSet::new(), BTreeSet::new()],
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
            self.sent_from.resize(self.slots.len() * self.tries, 0);
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
        self.ports[family(local)].insert(local.port());
        let mut source = local;
        source.set_port(0);
        let source = *self.by_source.entry(source).or_insert_with(|| {
            self.sources.push(source);
            u32::try_from(self.sources.len() - 1).expect("fewer than 2³² addresses")
        });
        let at = self.at(slot, number);
        let repeated = self.was_sent(slot, number) && self.sent_from[at] == local.port();
        let progress = &mut self.slots[slot as usize];
        progress.source = source;
        progress.sent |= 1 << number;
        if let Some(setback) = &mut progress.setback {
            setback.postponed = 0;
        }
        if repeated {
            let setback = progress.setback.get_or_insert_default();
            setback.repeats = setback.repeats.saturating_add(1);
            setback.repeated_at = nanos(now);
        } else {
            self.sent_at[at] = wrapped(now);
            self.sent_from[at] = local.port();
        }
    }

    pub(super) fn was_sent(&self, slot: Slot, number: usize) -> bool {
        self[slot].sent & (1 << number) != 0
    }

    /// True where no try is left but to repeat the last.
    pub(super) fn has_begun_all(&self, slot: Slot) -> bool {
        usize::from(self[slot].begun) == self.tries
    }

    /// True where SYNs have left from the port of `local`.
    pub(super) fn is_port_of_ours(&self, local: SocketAddr) -> bool {
        self.ports[family(local)].contains(&local.port())
    }

    /// The tries of a target that have left from that port, a bit each.
    pub(super) fn sent_from(&self, slot: Slot, port: u16) -> u16 {
        let sent = self[slot].sent;
        let numbers = (0..self.tries).filter(|number| sent & (1 << number) != 0);
        let numbers = numbers.filter(|number| self.sent_from[self.at(slot, *number)] == port);
        numbers.fold(0, |mask, number| mask | 1 << number)
    }

    /// The tries that have left from the port of that one, a bit each: one connection to the other
    /// end.
    pub(super) fn alike(&self, slot: Slot, number: usize) -> u16 {
        self.sent_from(slot, self.sent_from[self.at(slot, number)])
    }

    /// Where a target's next try leaves from. A SYN that drew silence is sent again, once, and then
    /// a fresh port is taken; at once where the server, or something before it, has shown that the
    /// port stands for something else there.
    pub(super) fn next_port(&self, slot: Slot) -> SourcePort {
        let progress = &self[slot];
        let Some(newest) = progress.sent.checked_ilog2() else { return SourcePort::Fresh(0) };
        let newest = newest as usize;
        let alike = self.alike(slot, newest);
        let disputed = progress.setback.as_ref().map_or(0, |s| s.acked | s.misacknowledged);
        let repeats_last = newest + 1 == self.tries;
        if repeats_last || (alike.is_power_of_two() && alike & disputed == 0) {
            return SourcePort::Same(self.sent_from[self.at(slot, newest)]);
        }
        let sent = (0..=newest).filter(|number| self.was_sent(slot, *number));
        let ports: BTreeSet<_> = sent.map(|number| self.sent_from[self.at(slot, number)]).collect();
        SourcePort::Fresh(ports.len())
    }

    pub(super) fn setback(&mut self, slot: Slot) -> &mut Setback {
        self[slot].setback.get_or_insert_default()
    }

    /// The address that a target's SYNs leave from, without port.
    pub(super) fn source(&self, slot: Slot) -> SocketAddr {
        self.sources[self[slot].source as usize]
    }

    /// Where that try of a target left from.
    pub(super) fn local(&self, slot: Slot, number: usize) -> SocketAddr {
        let mut local = self.source(slot);
        local.set_port(self.sent_from[self.at(slot, number)]);
        local
    }

    /// Time since that try of a target was sent first, to the microsecond; none where an answer is
    /// stamped a little before the SYN that it answers.
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

/// So many microseconds before a SYN was sent are no time since then: a quarter of those that are
/// told apart.
const EARLIER: u32 = 1 << 30;

/// Microseconds, wrapping: enough for differences of up to 53 minutes, and no wait is that long.
fn wrapped(time: Duration) -> u32 {
    u32::try_from((nanos(time) / 1000) & u64::from(u32::MAX)).expect("masked")
}

fn family(address: SocketAddr) -> usize {
    usize::from(address.is_ipv6())
}
