//! The RSTs of a crowd leave on a thread of their own: a second core sends while the first takes in
//! answers.

use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use socket2::Socket;

use super::outbox;
use super::route::Aim;
use crate::fault::Fault;
use crate::wire::Segment;

/// Batches that may wait for the thread.
const BATCHES: usize = 64;

/// The thread, once it is started. Everything handed over that there is room for has left when this
/// is dropped.
pub(super) struct Resets {
    /// Its own: on one, two senders would wait for each other (`lock_sock()`).
    socket: Option<Socket>,
    aim: Aim,
    queue: Option<SyncSender<Vec<Segment>>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Batches that the thread has yet to send.
    waiting: AtomicUsize,
    /// What found no room.
    returned: Mutex<Vec<Segment>>,
}

impl Resets {
    /// No thread yet, but what it will send with and is told of the way.
    pub(super) fn new(socket: Socket, aim: Aim) -> Self {
        Self { socket: Some(socket), aim, queue: None, thread: None, shared: Arc::default() }
    }

    /// Starts the thread, if one can be started.
    pub(super) fn start(&mut self) {
        let Some(socket) = self.socket.take() else { return };
        let aim = self.aim;
        let (queue, batches) = sync_channel::<Vec<Segment>>(BATCHES);
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new().name("RSTs".to_owned()).spawn(move || {
            for segments in batches {
                let results = outbox::send(&socket, &segments, aim);
                let sent = segments.into_iter().zip(results);
                let short = sent.filter(|(_, result)| is_short(result)).map(|(segment, _)| segment);
                shared.returned.lock().unwrap_or_else(PoisonError::into_inner).extend(short);
                shared.waiting.fetch_sub(1, Ordering::Release);
            }
        });
        if let Ok(thread) = thread {
            self.thread = Some(thread);
            self.queue = Some(queue);
        }
    }

    /// Hands over segments that have one source address; false where there is no thread, or too
    /// much before them.
    pub(super) fn send(&self, segments: &[Segment]) -> bool {
        let Some(queue) = &self.queue else { return false };
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        let taken = queue.try_send(segments.to_vec()).is_ok();
        if !taken {
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        taken
    }

    /// True while the thread has something to send.
    pub(super) fn is_busy(&self) -> bool {
        self.shared.waiting.load(Ordering::Acquire) > 0
    }

    /// What was handed over and found no room.
    pub(super) fn take_returned(&self) -> Vec<Segment> {
        mem::take(&mut self.shared.returned.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn is_short<T>(result: &Result<T, Fault>) -> bool {
    result.as_ref().is_err_and(Fault::is_shortage)
}

impl Drop for Resets {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
