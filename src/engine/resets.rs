//! The RSTs of a crowd leave on a thread of their own: a second core sends while the first takes in answers.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use socket2::Domain;

use super::{Egress, outbox, sockets};
use crate::fault::Fault;
use crate::wire::Segment;

/// Batches that may wait for the thread; who has more waits for it.
const BATCHES: usize = 64;

/// The thread. Everything handed over has left when this is dropped.
pub(super) struct Resets {
    queue: Option<SyncSender<Vec<Segment>>>,
    thread: Option<JoinHandle<()>>,
}

impl Resets {
    /// Starts the thread, with a socket of its own: on one, two senders would wait for each other (`lock_sock()`).
    pub(super) fn start(domain: Domain, egress: &Egress) -> Result<Self, Fault> {
        let socket = sockets::deaf(domain, egress)?;
        let (queue, batches) = sync_channel::<Vec<Segment>>(BATCHES);
        let thread = thread::Builder::new().name("RSTs".to_owned()).spawn(move || {
            for segments in batches {
                // A lost RST is asked for again by the server's next SYN+ACK.
                outbox::send(&socket, &segments, &mut Vec::new());
            }
        });
        Ok(Self { queue: Some(queue), thread: Some(thread.map_err(|_| Fault::Threads)?) })
    }

    /// Hands over segments that have one source address.
    pub(super) fn send(&self, segments: &[Segment]) {
        if let Some(queue) = &self.queue {
            let _ = queue.send(segments.to_vec()); // the thread lives as long as the queue
        }
    }
}

impl Drop for Resets {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
