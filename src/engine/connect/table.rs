//! The handshakes that are under way.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;

use socket2::Socket;

use super::handshake::Handshake;
use crate::descriptors::Descriptors;

/// The number of descriptors that belong neither to a handshake nor to a name look-up, unless
/// [`Handshakes::limit`] is called.
const OTHER_DESCRIPTORS: usize = 32;

/// The most handshakes at a time, however many descriptors there are: each takes almost 8 KiB of
/// kernel memory.
const MAX_HANDSHAKES: usize = 30_000;

/// The handshakes that are under way, by the descriptors of their sockets.
pub(super) struct Handshakes {
    /// How many there may be.
    limit: usize,
    by_key: HashMap<u64, Handshake>,
    of_remote: HashMap<SocketAddr, Vec<u64>>,
    /// Those that timed out, oldest first, and when they began: the descriptor may belong to
    /// another one by now.
    timed_out: VecDeque<(u64, Duration)>,
    /// How many of `by_key` have timed out.
    spare: usize,
}

impl Handshakes {
    /// Creates an empty table. Raises the limit on open descriptors as far as possible.
    pub(super) fn new() -> Self {
        let mut handshakes = Self {
            limit: 0,
            by_key: HashMap::new(),
            of_remote: HashMap::new(),
            timed_out: VecDeque::new(),
            spare: 0,
        };
        handshakes.limit(Descriptors::raise().others.saturating_sub(OTHER_DESCRIPTORS));
        handshakes
    }

    /// Sets how many there may be: at least one.
    pub(super) fn limit(&mut self, most: usize) {
        self.limit = most.clamp(1, MAX_HANDSHAKES);
    }

    /// Returns the key of a handshake on `socket`.
    pub(super) fn key(socket: &Socket) -> u64 {
        u64::try_from(socket.as_raw_fd()).expect("descriptors are not negative")
    }

    /// Returns how many more may begin, given that those that timed out can be given up.
    pub(super) fn room(&self) -> usize {
        (self.limit + self.spare).saturating_sub(self.by_key.len())
    }

    /// Returns true if an attempt at `remote` is under way.
    pub(super) fn has(&self, remote: SocketAddr) -> bool {
        self.of_remote.get(&remote).is_some_and(|keys| !keys.is_empty())
    }

    /// Returns the handshake with `remote` that began last.
    pub(super) fn newest(&self, remote: SocketAddr) -> Option<&Handshake> {
        self.of_remote.get(&remote)?.last().and_then(|key| self.by_key.get(key))
    }

    /// Adds a handshake.
    pub(super) fn insert(&mut self, handshake: Handshake) {
        let key = Self::key(&handshake.socket);
        self.of_remote.entry(handshake.remote).or_default().push(key);
        self.by_key.insert(key, handshake);
    }

    /// Removes a handshake.
    pub(super) fn remove(&mut self, key: u64) -> Option<Handshake> {
        let removed = self.by_key.remove(&key)?;
        self.spare -= usize::from(removed.timed_out);
        if let Some(of_remote) = self.of_remote.get_mut(&removed.remote) {
            of_remote.retain(|other| *other != key);
        }
        Some(removed)
    }

    /// Removes the handshake of an attempt that is made again: only one can have these endpoints.
    pub(super) fn remove_attempt(&mut self, remote: SocketAddr, index: usize) {
        let mut keys = self.of_remote.get(&remote).into_iter().flatten();
        let same =
            |key: &&u64| self.by_key.get(key).is_some_and(|handshake| handshake.index == index);
        if let Some(key) = keys.find(same).copied() {
            self.remove(key);
        }
    }

    /// Removes all attempts at `remote`.
    pub(super) fn remove_all(&mut self, remote: SocketAddr) {
        for key in self.of_remote.remove(&remote).into_iter().flatten() {
            self.remove(key);
        }
    }

    /// Notes that an attempt timed out. It goes on as long as there is room.
    pub(super) fn time_out(&mut self, remote: SocketAddr, index: usize) {
        for key in self.of_remote.get(&remote).into_iter().flatten() {
            let handshake = self.by_key.get_mut(key);
            let newly = |waiting: &&mut Handshake| waiting.index == index && !waiting.timed_out;
            if let Some(waiting) = handshake.filter(newly) {
                waiting.timed_out = true;
                self.spare += 1;
                self.timed_out.push_back((*key, waiting.begun));
            }
        }
    }

    /// Gives up handshakes that timed out until there is room for another, and returns them. One
    /// that has ended meanwhile is kept, because its end is about to be read.
    pub(super) fn make_room(&mut self) -> Vec<Handshake> {
        let mut given_up = Vec::new();
        while self.by_key.len() >= self.limit
            && let Some((key, begun)) = self.timed_out.pop_front()
        {
            let there = self.by_key.get(&key).filter(|waiting| waiting.begun == begun);
            if there.is_some_and(|waiting| !waiting.has_ended()) {
                given_up.extend(self.remove(key));
            }
        }
        given_up
    }
}
