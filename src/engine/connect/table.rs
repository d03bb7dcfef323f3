//! The handshakes that are under way.

use std::collections::hash_map::Entry;
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
        self.of_remote.contains_key(&remote)
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
        if let Entry::Occupied(mut of_remote) = self.of_remote.entry(removed.remote) {
            of_remote.get_mut().retain(|other| *other != key);
            if of_remote.get().is_empty() {
                of_remote.remove();
            }
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
        if self.timed_out.len() > 2 * self.spare {
            self.timed_out.retain(|(key, begun)| {
                self.by_key.get(key).is_some_and(|waiting| waiting.begun == *begun)
            });
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

#[cfg(test)]
mod tests {
    use socket2::{Domain, Type};

    use super::*;

    fn table(limit: usize) -> Handshakes {
        let (by_key, of_remote) = (HashMap::new(), HashMap::new());
        Handshakes { limit, by_key, of_remote, timed_out: VecDeque::new(), spare: 0 }
    }

    fn handshake(port: u16, index: usize, begun: u64) -> Handshake {
        Handshake {
            socket: Socket::new(Domain::IPV4, Type::STREAM, None).expect("a descriptor"),
            local: ([192, 0, 2, 1], 1024).into(),
            remote: ([192, 0, 2, 7], port).into(),
            index,
            begun: Duration::from_secs(begun),
            timed_out: false,
        }
    }

    #[test]
    fn what_has_ended_takes_no_memory() {
        let mut table = table(10);
        let lasting = handshake(1, 0, 0);
        let lasting_remote = lasting.remote;
        table.insert(lasting);
        table.time_out(lasting_remote, 0);
        for check in 1..1000 {
            for index in 0..3 {
                let silent = handshake(80, index, check);
                let remote = silent.remote;
                table.insert(silent);
                table.time_out(remote, index);
            }
            assert_eq!((table.by_key.len(), table.room()), (4, 10));
            table.remove_all(([192, 0, 2, 7], 80).into());
            let question = handshake(443, 0, check);
            let key = Handshakes::key(&question.socket);
            table.insert(question);
            table.remove(key).expect("just inserted");
        }
        assert!(table.timed_out.len() < 10, "{}", table.timed_out.len());
        assert_eq!(table.of_remote.keys().collect::<Vec<_>>(), [&lasting_remote]);
        assert!(!table.has(([192, 0, 2, 7], 443).into()));
        assert_eq!(table.timed_out.front().map(|(_, begun)| *begun), Some(Duration::ZERO));
    }
}
