//! Sends RSTs on a thread of their own, so that one core sends while another receives answers.

use std::mem;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use socket2::Socket;

use super::route::PacketInfo;
use super::send;
use crate::local_error::LocalError;
use crate::wire::Segment;

/// The most batches that wait for the thread.
const BATCHES: usize = 64;

/// The thread, once it is started. When this is dropped, everything that was accepted and found
/// room has left.
pub(super) struct RstSender {
    /// A socket of its own: two senders on one socket wait for each other (`lock_sock()`).
    socket: Option<Socket>,
    info: PacketInfo,
    queue: Option<SyncSender<Vec<Segment>>>,
    thread: Option<JoinHandle<()>>,
    pending: Arc<Mutex<Pending>>,
}

#[derive(Default)]
struct Pending {
    /// The number of batches that the thread has yet to send.
    waiting: usize,
    /// Segments that found no room, and have not been taken back.
    returned: Vec<Segment>,
}

impl RstSender {
    /// Creates a sender that has no thread yet.
    pub(super) fn new(socket: Socket, info: PacketInfo) -> Self {
        Self { socket: Some(socket), info, queue: None, thread: None, pending: Arc::default() }
    }

    /// Starts the thread, if that is possible, and waits until it runs: without memory for its
    /// second stack (`sigaltstack()`) it ends the program, which should not be in the middle of the
    /// output.
    pub(super) fn start(&mut self) {
        let Some(socket) = self.socket.take() else { return };
        let info = self.info;
        let (queue, batches) = sync_channel::<Vec<Segment>>(BATCHES);
        let (begun, has_begun) = sync_channel(1);
        let pending = Arc::clone(&self.pending);
        let thread = thread::Builder::new().name("RSTs".to_owned()).spawn(move || {
            let _ = begun.send(());
            for segments in batches {
                let results = send::send(&socket, &segments, info, None);
                let sent = segments.into_iter().zip(results);
                let short = sent.filter(|(_, result)| is_short(result)).map(|(segment, _)| segment);
                let mut pending = lock(&pending);
                pending.returned.extend(short);
                pending.waiting -= 1;
            }
        });
        if let Ok(thread) = thread {
            let _ = has_begun.recv();
            self.thread = Some(thread);
            self.queue = Some(queue);
        }
    }

    /// Hands over segments that have one source address. Returns false if there is no thread, or
    /// too many batches wait for it.
    pub(super) fn send(&self, segments: &[Segment]) -> bool {
        let Some(queue) = &self.queue else { return false };
        let mut pending = lock(&self.pending);
        let taken = queue.try_send(segments.to_vec()).is_ok();
        pending.waiting += usize::from(taken);
        taken
    }

    /// Returns true while something that was accepted has neither left nor been taken back.
    pub(super) fn has_pending(&self) -> bool {
        let pending = lock(&self.pending);
        pending.waiting > 0 || !pending.returned.is_empty()
    }

    /// Returns what was accepted and found no room.
    pub(super) fn take_unsent(&self) -> Vec<Segment> {
        mem::take(&mut lock(&self.pending).returned)
    }
}

fn lock(pending: &Mutex<Pending>) -> MutexGuard<'_, Pending> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_short<T>(result: &Result<T, LocalError>) -> bool {
    result.as_ref().is_err_and(LocalError::is_shortage)
}

impl Drop for RstSender {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Write};
    use std::net::{Ipv4Addr, SocketAddr};
    use std::time::Duration;

    use socket2::{Domain, Type};

    use super::*;
    use crate::wire::{Flags, Options, SequenceNumber};

    /// A socket that never has room: the other end of its connection does not read, and its send
    /// buffer is made far smaller after it was filled.
    fn full() -> (Socket, Socket) {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.set_recv_buffer_size(1).unwrap(); // the least that the kernel allows
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        listener.listen(1).unwrap();
        let mut full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        full.connect(&listener.local_addr().unwrap()).unwrap();
        full.set_nonblocking(true).unwrap();
        full.set_send_buffer_size(100_000).unwrap();
        let error = loop {
            if let Err(error) = full.write(&[0; 4096]) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        full.set_send_buffer_size(1).unwrap();
        (full, listener)
    }

    #[test]
    fn rsts_that_found_no_room_are_pending_until_they_are_taken_back() {
        let (socket, _listener) = full();
        let mut rst_sender = RstSender::new(socket, PacketInfo { source: true, device: 0 });
        rst_sender.start();
        let endpoint = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let rst = Segment {
            source: endpoint,
            destination: endpoint,
            sequence: SequenceNumber(1),
            acknowledgement: SequenceNumber(0),
            flags: Flags::RST,
            window: 0,
            options: Options::default(),
        };
        assert!(rst_sender.send(&[rst]));
        while lock(&rst_sender.pending).waiting > 0 {
            thread::sleep(Duration::from_millis(1));
        }
        assert!(rst_sender.has_pending());
        assert_eq!(rst_sender.take_unsent(), [rst]);
        assert!(!rst_sender.has_pending());
    }
}
