//! Checks on demand, on their way from clients of HTTP to the loop and back.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use halfopen::event_loop::Next;
use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::sync::oneshot;

use crate::egress::id_with_engine;
use crate::fleet::{Check, Fleet, Visit, VisitEnd, Wanted};

/// Where clients ask for checks, and the loop takes them.
pub struct Desk {
    asking: Mutex<Vec<Asking>>,
    /// Readable if a client asks or has left.
    wake: EventFd,
}

struct Asking {
    visit: Visit<Instant>,
    client: oneshot::Sender<VisitEnd>,
}

/// A client's claim to a result. If it is dropped, the check is cancelled.
pub struct Ticket {
    desk: Arc<Desk>,
    answer: oneshot::Receiver<VisitEnd>,
    is_answered: bool,
}

/// The clients that wait, for the loop.
pub struct Visitors {
    desk: Arc<Desk>,
    waiting: HashMap<u32, oneshot::Sender<VisitEnd>>,
}

impl Desk {
    /// Creates a desk without requests.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel has no descriptor.
    pub fn new() -> io::Result<Self> {
        let wake = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
        Ok(Self { asking: Mutex::default(), wake })
    }

    /// Asks for a check.
    pub fn ask(self: &Arc<Self>, visit: Visit<Instant>) -> Ticket {
        let (client, answer) = oneshot::channel();
        let mut asking = self.asking();
        // However long the loop is busy, there is at most one per waiting client.
        asking.retain(|other| !other.client.is_closed());
        asking.push(Asking { visit, client });
        drop(asking);
        self.wake();
        Ticket { desk: Arc::clone(self), answer, is_answered: false }
    }

    fn wake(&self) {
        let _ = self.wake.write(1); // fails only if it is readable
    }

    fn asking(&self) -> MutexGuard<'_, Vec<Asking>> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Desk {
    /// Returns a descriptor that can be read when there is something to do for [`Visitors`].
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

impl Ticket {
    /// Waits for the end of the check. `None` if the loop has ended.
    pub async fn answer(mut self) -> Option<VisitEnd> {
        let answer = (&mut self.answer).await;
        self.is_answered = true;
        answer.ok()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.is_answered {
            self.answer.close();
            self.desk.wake();
        }
    }
}

impl Visitors {
    /// Creates it without clients.
    pub fn new(desk: Arc<Desk>) -> Self {
        Self { desk, waiting: HashMap::new() }
    }

    /// Passes new requests to the fleet, and cancels those of clients that have left.
    pub fn serve(&mut self, fleet: &mut Fleet, now: Duration) {
        if self.desk.wake.read().is_err() {
            return;
        }
        let asking = std::mem::take(&mut *self.desk.asking());
        let gone: Vec<_> =
            self.waiting.extract_if(|_, client| client.is_closed()).map(|(id, _)| id).collect();
        for id in gone {
            fleet.leave(id, now);
        }
        let time = Instant::now();
        for Asking { visit, client } in asking {
            if client.is_closed() {
                continue;
            }
            let Visit { endpoint, engine, attempts, timeout, until } = visit;
            let until = now + until.saturating_duration_since(time);
            let visit = Visit { endpoint, engine, attempts, timeout, until };
            self.waiting.insert(fleet.visit(visit, now), client);
        }
    }

    /// Tells clients how their checks have ended.
    pub fn answer(&mut self, fleet: &mut Fleet) {
        while let Some((id, end)) = fleet.poll_visit() {
            if let Some(client) = self.waiting.remove(&id) {
                let _ = client.send(end); // it may be gone
            }
        }
    }
}

impl AsFd for Visitors {
    /// Returns a descriptor that can be read when [`Visitors::serve`] has something to do.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.desk.as_fd()
    }
}

/// Returns the next check of a visitor, or when to ask again: at `wake` at the latest, if there is
/// something to do then.
pub fn next(fleet: &mut Fleet, now: Duration, wake: Option<Duration>) -> Next {
    let at = match fleet.next_visit(now) {
        Wanted::Check(Check { id, endpoint, engine, .. }) => {
            return Next::Target(id_with_engine(id, engine), endpoint);
        }
        Wanted::At(at) => Some(at),
        Wanted::Nothing => None,
    };
    at.into_iter().chain(wake).min().map_or(Next::Later, Next::At)
}
