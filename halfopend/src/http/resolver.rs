//! Looks names up for clients, apart from those of pools.

use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use halfopen::family::Family;
use halfopen::local_error::LocalError;
use halfopen::resolve::{Addresses, LookupEvent, Lookups};
use nix::errno::Errno;
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// The most descriptors that a look-up takes.
const EACH: usize = 5;

/// The descriptors for as many look-ups as there may be at a time: 64.
pub(super) const LOOKUP_DESCRIPTORS: usize = 64 * EACH;

/// The part of the look-ups that one client may have, or one of them: a look-up cannot be stopped,
/// however long it takes.
const OF_ONE_CLIENT: usize = 4;

/// Looks names up, on threads that start when they are needed.
pub(super) struct Resolver {
    state: Mutex<State>,
    room: Arc<Semaphore>,
    /// The most look-ups for one client.
    of_one_client: usize,
    clients: Mutex<HashMap<IpAddr, Arc<Semaphore>>>,
}

#[derive(Default)]
struct State {
    lookups: Option<Lookups>,
    count: u32,
    asking: HashMap<u32, Asking>,
}

struct Asking {
    answer: oneshot::Sender<Addresses>,
    _room: [OwnedSemaphorePermit; 2],
}

impl Resolver {
    /// Creates a resolver that takes at most so many descriptors, or those of one look-up.
    pub(super) fn new(descriptors: usize) -> Self {
        let most = (descriptors / EACH).max(1);
        Self {
            state: Mutex::default(),
            room: Arc::new(Semaphore::new(most)),
            of_one_client: most.div_ceil(OF_ONE_CLIENT),
            clients: Mutex::default(),
        }
    }

    /// Looks a name up for a client, as soon as there is room.
    pub(super) async fn look_up(self: &Arc<Self>, name: Box<str>, client: IpAddr) -> Addresses {
        let own = self.room_of(client).acquire_owned().await;
        let room = Arc::clone(&self.room).acquire_owned().await;
        let (Ok(own), Ok(room)) = (own, room) else {
            unreachable!("semaphores that nobody closes");
        };
        let answer = self.ask(name, [own, room])?;
        answer.await.unwrap_or_else(|_| Err(LocalError::Lookup(Errno::ECANCELED).into()))
    }

    fn ask(
        self: &Arc<Self>,
        name: Box<str>,
        room: [OwnedSemaphorePermit; 2],
    ) -> Result<oneshot::Receiver<Addresses>, LocalError> {
        let state = &mut *lock(&self.state);
        state.count = state.count.wrapping_add(1);
        let (id, (answer, receiver)) = (state.count, oneshot::channel());
        if let Some(lookups) = &state.lookups {
            lookups.add(vec![(id, name)])?;
        } else {
            state.lookups = Some(self.start(id, name)?);
        }
        state.asking.insert(id, Asking { answer, _room: room });
        Ok(receiver)
    }

    /// Starts the look-up of a name, and a task that passes on the result.
    fn start(self: &Arc<Self>, id: u32, name: Box<str>) -> Result<Lookups, LocalError> {
        let lookups = Lookups::start(vec![(id, name)], Family::Any)?;
        let full = LocalError::Lookup(Errno::EMFILE);
        let wake = lookups.as_fd().try_clone_to_owned().map_err(|_| full.clone())?;
        let wake = UnixStream::from_std(wake.into()).map_err(|_| full)?;
        let resolver = Arc::clone(self);
        tokio::spawn(async move {
            while wake.readable().await.is_ok() {
                let _ = wake.try_read(&mut [0; 64]);
                resolver.answer();
            }
        });
        Ok(lookups)
    }

    /// Passes on what has been found.
    fn answer(&self) {
        let State { lookups, asking, .. } = &mut *lock(&self.state);
        while let Some(event) = lookups.as_mut().and_then(Lookups::poll) {
            if let LookupEvent::Ended(id, found) = event
                && let Some(Asking { answer, .. }) = asking.remove(&id)
            {
                let _ = answer.send(found); // the client may be gone
            }
        }
    }

    fn room_of(&self, client: IpAddr) -> Arc<Semaphore> {
        let mut clients = lock(&self.clients);
        clients.retain(|_, room| Arc::strong_count(room) > 1); // each permit holds one
        let room = clients.entry(client);
        Arc::clone(room.or_insert_with(|| Arc::new(Semaphore::new(self.of_one_client))))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
