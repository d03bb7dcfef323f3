//! The addresses that SYNs leave from, each stored once however many targets have it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;

/// Identifies an address in four bytes, also as an `Option`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SourceId(NonZeroU32);

impl SourceId {
    fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// The source addresses of pending targets, with port 0. There are few, unless the targets are a
/// block of this machine's own addresses. One that no target has any more is removed.
#[derive(Default)]
pub(super) struct Sources {
    /// Each with the number of targets that have it.
    used: Vec<(SocketAddr, u32)>,
    free: Vec<SourceId>,
    by_address: HashMap<SocketAddr, SourceId>,
    /// The one acquired last, which most targets share: it is found without a hash.
    newest: Option<SourceId>,
}

impl Sources {
    /// Adds a target to those that have the address of `local`, and returns the id of the address.
    pub(super) fn acquire(&mut self, mut local: SocketAddr) -> SourceId {
        local.set_port(0);
        if let Some(newest) = self.newest
            && let (address, targets) = &mut self.used[newest.index()]
            && *address == local
            && *targets > 0
        {
            *targets += 1;
            return newest;
        }
        let Self { used, free, by_address, .. } = self;
        let id = *by_address.entry(local).or_insert_with(|| {
            free.pop().unwrap_or_else(|| {
                used.push((local, 0));
                let count = u32::try_from(used.len()).expect("fewer than 2³² addresses");
                SourceId(NonZeroU32::new(count).expect("at least this one"))
            })
        });
        let (address, targets) = &mut used[id.index()];
        *address = local;
        *targets += 1;
        self.newest = Some(id);
        id
    }

    /// Removes a target from those that have it.
    pub(super) fn release(&mut self, id: SourceId) {
        let (address, targets) = &mut self.used[id.index()];
        *targets -= 1;
        if *targets == 0 {
            self.by_address.remove(address);
            self.free.push(id);
        }
    }

    /// Returns the address, with port 0.
    pub(super) fn get(&self, id: SourceId) -> SocketAddr {
        self.used[id.index()].0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_no_target_has_any_more_is_forgotten() {
        let mut sources = Sources::default();
        for port in 1..1000 {
            let [first, again] = [port, port + 1]
                .map(|port| sources.acquire(SocketAddr::from(([198, 18, 0, 0], port))));
            assert_eq!(first, again);
            sources.release(first);
            assert_eq!(sources.get(again), SocketAddr::from(([198, 18, 0, 0], 0)));
            sources.release(again);
        }
        assert_eq!((sources.used.len(), sources.by_address.len()), (1, 0));
    }

    #[test]
    fn addresses_in_use_are_told_apart() {
        let mut sources = Sources::default();
        let address = |last| SocketAddr::from(([198, 18, 0, last], 40_000));
        let ids: Vec<_> = (0..=255).map(|last| sources.acquire(address(last))).collect();
        for id in ids.iter().step_by(2) {
            sources.release(*id);
        }
        let others: Vec<_> =
            (0..=127).map(|last| sources.acquire(([198, 19, 0, last], 1).into())).collect();
        for (last, id) in (0..=255).zip(&ids).skip(1).step_by(2) {
            assert_eq!(sources.get(*id), SocketAddr::from(([198, 18, 0, last], 0)));
        }
        for (last, id) in (0..=127).zip(&others) {
            assert_eq!(sources.get(*id), SocketAddr::from(([198, 19, 0, last], 0)));
        }
        assert_eq!(sources.used.len(), 256);
    }
}
