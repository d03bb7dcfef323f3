//! Accepts connections, and gives each its bounds.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::serve::serve;
use super::shared::{Shared, group};

/// The most connections at a time, if there are descriptors for them.
pub(super) const CONNECTIONS: usize = 256;

/// How long to wait if no connection can be accepted.
const PAUSE: Duration = Duration::from_millis(50);

/// The connections of all listeners, in the order in which they were accepted.
///
/// If there is no room for one more, the client that has most of them loses one. So a client that
/// has few is served, whatever others do.
pub(super) struct Connections {
    all: Mutex<Vec<Connection>>,
    most: usize,
}

struct Connection {
    client: IpAddr,
    is_busy: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

/// The place of a connection. It is free again when this value is dropped.
pub(super) struct Place {
    connections: Arc<Connections>,
    is_busy: Arc<AtomicBool>,
}

/// A request that is being answered, until the value is dropped.
pub(super) struct Busy(Arc<AtomicBool>);

impl Connections {
    /// Creates an empty set of at most so many connections.
    pub(super) fn new(most: usize) -> Self {
        Self { all: Mutex::default(), most }
    }

    /// Serves a client in a task of its own, after another one has lost its place if need be.
    async fn serve(self: &Arc<Self>, stream: TcpStream, client: IpAddr, shared: Arc<Shared>) {
        while let Some(victim) = self.poll_victim() {
            victim.abort();
            let _ = victim.await; // then its descriptor is closed
        }
        let is_busy = Arc::<AtomicBool>::default();
        let place = Place { connections: Arc::clone(self), is_busy: Arc::clone(&is_busy) };
        // It begins when this task waits.
        let task = tokio::spawn(serve(stream, client, place, shared));
        self.all().push(Connection { client: group(client), is_busy, task });
    }

    /// Removes the connection that has to make room for another one, if there is none.
    fn poll_victim(&self) -> Option<JoinHandle<()>> {
        let mut all = self.all();
        let victim = if all.len() < self.most { None } else { victim(&all) };
        victim.map(|victim| all.remove(victim).task)
    }

    fn all(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Tells that a request is being answered.
    pub(super) fn busy(&self) -> Busy {
        self.is_busy.store(true, Ordering::Relaxed);
        Busy(Arc::clone(&self.is_busy))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let is_own = |other: &Connection| Arc::ptr_eq(&other.is_busy, &self.is_busy);
        self.connections.all().retain(|other| !is_own(other));
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Returns the connection that makes room: of the client that has most, the oldest that is idle, or
/// else the oldest.
fn victim(all: &[Connection]) -> Option<usize> {
    let mut counts = HashMap::new();
    for connection in all {
        *counts.entry(connection.client).or_insert(0) += 1;
    }
    let is_idle = |connection: &Connection| !connection.is_busy.load(Ordering::Relaxed);
    let rank = |connection: &Connection| (counts[&connection.client], is_idle(connection));
    // The last of those that rank highest would be the newest.
    (0..all.len()).rev().max_by_key(|index| rank(&all[*index]))
}

/// Accepts connections, and serves them.
pub(super) async fn accept(
    listener: TcpListener,
    connections: Arc<Connections>,
    shared: Arc<Shared>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, client)) => {
                let (client, shared) = (client.ip().to_canonical(), Arc::clone(&shared));
                connections.serve(stream, client, shared).await;
            }
            Err(error) if is_of_the_connection(&error) => {}
            // Without descriptors or memory, the next attempt would fail at once.
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// Returns true if a connection has failed before it was accepted (accept(2)).
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Connections of these clients; those with a star are being answered.
    fn connections(clients: &[&str]) -> Vec<Connection> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let connection = |text: &&str| Connection {
            client: group(text.trim_end_matches('*').parse().unwrap()),
            is_busy: Arc::new(text.ends_with('*').into()),
            task: runtime.spawn(async {}),
        };
        clients.iter().map(connection).collect()
    }

    #[test]
    fn the_client_that_has_most_connections_loses_its_oldest_idle_one() {
        for (clients, loser) in [
            (&["192.0.2.1", "192.0.2.2", "192.0.2.2"][..], 1),
            (&["192.0.2.1", "192.0.2.2*", "192.0.2.2", "192.0.2.2"], 2),
            (&["192.0.2.1", "192.0.2.2*", "192.0.2.2*"], 1),
            (&["192.0.2.1*", "192.0.2.2", "192.0.2.3"], 1),
            (&["192.0.2.1", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"], 1),
        ] {
            assert_eq!(victim(&connections(clients)), Some(loser), "{clients:?}");
        }
    }
}
