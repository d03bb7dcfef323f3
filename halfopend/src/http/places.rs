//! Places for requests that take time, shared fairly among clients.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The places that are taken, in the order in which they were.
///
/// If none is free, the client with the most loses its newest one to a client with fewer. So a
/// client that asks for little is served, whatever others do.
#[derive(Default)]
pub(super) struct Places(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    count: u64,
    all: Vec<Holder>,
}

struct Holder {
    client: IpAddr,
    number: u64,
    _lost: oneshot::Sender<()>,
}

/// A place. It is free again when this value is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    lost: oneshot::Receiver<()>,
}

impl Places {
    /// Takes a place for a client, if it may have one. There are `most` places.
    pub(super) fn take(self: &Arc<Self>, client: IpAddr, most: usize) -> Option<Place> {
        let Taken { count, all } = &mut *self.lock();
        while all.len() >= most {
            all.remove(loser(all, client)?);
        }
        *count += 1;
        let (number, (sender, lost)) = (*count, oneshot::channel());
        all.push(Holder { client, number, _lost: sender });
        Some(Place { places: Arc::clone(self), number, lost })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits until the place is lost to another client.
    pub(super) async fn lost(&mut self) {
        let _ = (&mut self.lost).await; // its other half is gone
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().all.retain(|other| other.number != self.number);
    }
}

/// Returns the place that is lost to `client`: the newest one of the client with the most, unless
/// that would leave it fewer than `client`.
fn loser(all: &[Holder], client: IpAddr) -> Option<usize> {
    let mut counts = HashMap::new();
    for holder in all {
        *counts.entry(holder.client).or_insert(0) += 1;
    }
    let own = counts.get(&client).copied().unwrap_or(0);
    let newest = (0..all.len()).max_by_key(|index| counts[&all[*index].client])?;
    (counts[&all[newest].client] >= own + 2).then_some(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn is_lost(place: &mut Place) -> bool {
        place.lost.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    #[test]
    fn a_client_has_all_places_until_another_one_wants_some() {
        let places = Arc::<Places>::default();
        let mut first: Vec<_> = (0..4).map(|_| places.take(ONE, 4).unwrap()).collect();
        assert!(places.take(ONE, 4).is_none());
        let mut second: Vec<_> = (0..2).map(|_| places.take(OTHER, 4).unwrap()).collect();
        assert_eq!(first.iter_mut().map(is_lost).collect::<Vec<_>>(), [false, false, true, true]);
        assert!(places.take(OTHER, 4).is_none() && places.take(ONE, 4).is_none());
        assert!(second.iter_mut().all(|place| !is_lost(place)));
        second.pop();
        assert!(places.take(ONE, 4).is_some());
    }

    #[test]
    fn a_place_that_was_lost_frees_no_other() {
        let places = Arc::<Places>::default();
        let mut first: Vec<_> = (0..3).map(|_| places.take(ONE, 3).unwrap()).collect();
        let second = places.take(OTHER, 3).unwrap();
        drop(first.pop());
        assert!(places.take(OTHER, 3).is_none());
        drop(second);
        assert!(places.take(OTHER, 3).is_some());
        assert!(places.take(OTHER, 0).is_none(), "a reload has left none");
    }
}
