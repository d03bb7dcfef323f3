//! Finds the targets that have a given endpoint.

use std::hash::BuildHasher;
use std::net::SocketAddr;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// The ids of targets, by their endpoints. (A million take 10 MB.)
#[derive(Debug, Default)]
pub(super) struct ByEndpoint {
    ids: HashTable<u32>,
    state: RandomState,
}

impl ByEndpoint {
    /// Adds a target. `endpoint_of` returns the endpoint of one that was added.
    pub(super) fn insert(
        &mut self,
        id: u32,
        endpoint: SocketAddr,
        endpoint_of: impl Fn(u32) -> Option<SocketAddr>,
    ) {
        let hash = |endpoint: SocketAddr| self.state.hash_one(endpoint);
        self.ids.insert_unique(hash(endpoint), id, |id| endpoint_of(*id).map_or(0, hash));
    }

    /// Removes a target that has this endpoint.
    pub(super) fn remove(&mut self, id: u32, endpoint: SocketAddr) {
        let hash = self.state.hash_one(endpoint);
        if let Ok(entry) = self.ids.find_entry(hash, |other| *other == id) {
            entry.remove();
        }
    }

    /// Returns the targets that have this endpoint.
    pub(super) fn find(
        &self,
        endpoint: SocketAddr,
        endpoint_of: impl Fn(u32) -> Option<SocketAddr>,
    ) -> impl Iterator<Item = u32> {
        let hash = self.state.hash_one(endpoint);
        let found = self.ids.iter_hash(hash).copied();
        found.filter(move |id| endpoint_of(*id) == Some(endpoint))
    }
}
