//! The RSTs of a crowd leave on a thread of their own: a second core sends while the first takes in answers.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use socket2::Socket;

use super::outbox;
use super::route::Aim;
use crate::wire::Segment;

/// Batches that may wait for the thread; who has more waits for it.
const BATCHES: usize = 64;

/// The thread, once it is started. Everything handed over has left when this is dropped.
pub(super) struct Resets {
    /// Its own: on one, two senders would wait for each other (`lock_sock()`).
    socket: Option<Socket>,
    queue: Option<SyncSender<Vec<Segment>>>,
    thread: Option<JoinHandle<()>>,
}

impl Resets {
    /// No thread yet, but what it will send with.
    pub(super) fn new(socket: Socket) -> Self {
        Self { socket: Some(socket), queue: None, thread: None }
    }

    /// Starts the thread, if one can be started.
    pub(super) fn start(&mut self) {
        let Some(socket) = self.socket.take() else { return };
        let (queue, batches) = sync_channel::<Vec<Segment>>(BATCHES);
        let thread = thread::Builder::new().name("RSTs".to_owned()).spawn(move || {
            for segments in batches {
                // A lost RST is asked for again by the server's next SYN+ACK.
                outbox::send(&socket, &segments, Aim::USUAL);
            }
        });
        if let Ok(thread) = thread {
            self.thread = Some(thread);
            self.queue = Some(queue);
        }
    }

    /// Hands over segments that have one source address; false where there is no thread to send them.
    pub(super) fn send(&self, segments: &[Segment]) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.send(segments.to_vec()).is_ok())
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
