//! Reads what has arrived at the raw socket and in its error queue.

use std::io::IoSliceMut;
use std::mem;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, getsockopt, recvmmsg};
use nix::{getsockopt_impl, libc, sockopt_impl};

use super::super::filter::LONGEST;
use super::super::recv::{self, Received};
use super::{BATCH, Buffer, RawSocket};
use crate::event::Event;
use crate::local_error::{LocalError, is_refusal};
use crate::wire::{Flags, Meaning, Origin};

/// How often a queue is read before it is the other one's turn.
const LOOKS: usize = 4;

/// The most ICMP errors that are held back.
const MAX_HELD: usize = 1024;

sockopt_impl!(
    /// The memory of a socket, and how many messages it has dropped (`SO_MEMINFO`).
    MemoryInfo, GetOnly, libc::SOL_SOCKET, libc::SO_MEMINFO, [u32; 9]
);

/// The indices of what both queues take, and of the messages that were dropped
/// (`SK_MEMINFO_RMEM_ALLOC`, `SK_MEMINFO_DROPS` of `linux/sock_diag.h`).
const QUEUED: usize = 0;
const DROPS: usize = 8;

impl RawSocket {
    /// Reads a batch of each of the socket's queues. Returns true if both were seen empty.
    ///
    /// Every segment that arrived before an ICMP error is handed over before it: the error queue is
    /// read first, and its errors are held until the other queue has been seen empty. A SYN+ACK
    /// with an ICMP error behind it is an open port.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses to say what has arrived.
    pub(in crate::engine) fn drain(
        &mut self,
        events: &mut Vec<Received>,
    ) -> Result<bool, LocalError> {
        if self.receiving.is_none() {
            return Ok(true); // there is no SYN that could be answered
        }
        let mut held = mem::take(&mut self.held_errors);
        let (mut all_errors, mut all_segments) = (true, true);
        if !self.is_empty() {
            // The rest stays in the kernel's queue, which has a limit.
            all_errors = held.len() < MAX_HELD && self.read(MsgFlags::MSG_ERRQUEUE, &mut held)?;
            all_segments = self.read(MsgFlags::empty(), events)?;
        }
        let lost = Some(mem::take(&mut self.newly_lost)).filter(|count| *count > 0);
        let lost = lost.map(Event::SegmentsLost);
        events.extend(lost.map(|event| Received { stamp: None, event }));
        if all_segments {
            events.append(&mut held);
        }
        self.held_errors = held;
        Ok(all_errors && all_segments)
    }

    /// Reads at most a batch from one of the socket's queues. Returns true if the queue was seen
    /// empty.
    ///
    /// Fewer messages than there was room for do not prove that, because a pending error ends a
    /// batch, too (`do_recvmmsg()`). That error may be of any flow, returning it clears it, and the
    /// error queue has the details. Reading that queue returns no pending error (from Linux 4.17
    /// on), so a refusal there is one of the call itself.
    fn read(&mut self, queue: MsgFlags, events: &mut Vec<Received>) -> Result<bool, LocalError> {
        let mut buffers = mem::take(&mut self.buffers);
        buffers.resize(self.batch, [0; LONGEST as usize]);
        let mut empty = false;
        for _ in 0..LOOKS {
            match self.read_batch(queue, &mut buffers, events) {
                Ok(count) if count == buffers.len() => {
                    self.batch = BATCH; // this is a flood
                    break;
                }
                Err(Errno::EAGAIN) => {
                    empty = true;
                    break;
                }
                Err(errno) if queue.contains(MsgFlags::MSG_ERRQUEUE) && is_refusal(errno) => {
                    return Err(LocalError::Receive(errno));
                }
                Ok(_) if self.is_empty() => {
                    empty = true;
                    break;
                }
                Ok(_) | Err(_) => {}
            }
        }
        self.buffers = buffers;
        Ok(empty)
    }

    /// Reads messages with one system call, and drops what is not for a reserved port. Returns how
    /// many messages there were.
    fn read_batch(
        &self,
        queue: MsgFlags,
        buffers: &mut [Buffer],
        events: &mut Vec<Received>,
    ) -> nix::Result<usize> {
        let space = nix::cmsg_space!(
            libc::sock_extended_err,
            libc::sockaddr_in6,
            libc::in6_pktinfo,
            libc::c_int,
            libc::timespec
        );
        let mut bytes: Vec<_> =
            buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(bytes.len(), Some(space));
        let flags = queue | MsgFlags::MSG_DONTWAIT;
        let messages = recvmmsg(self.raw.as_raw_fd(), &mut headers, &mut bytes, flags, None)?;
        let mut count = 0;
        for message in messages {
            count += 1;
            events.extend(recv::read(&message).and_then(|read| self.complete(read)));
        }
        Ok(count)
    }

    /// Returns true if both queues are empty: a message is charged to the socket before it is
    /// queued (`skb_set_owner_r()`), and until it has been read. Also counts the messages that have
    /// found no room: `SO_RXQ_OVFL` would report them only with the next one that finds room, so
    /// those at the end of a burst would stay unknown.
    pub(super) fn is_empty(&mut self) -> bool {
        let Ok(info) = getsockopt(&self.raw, MemoryInfo) else { return false };
        self.newly_lost += info[DROPS].wrapping_sub(mem::replace(&mut self.lost, info[DROPS]));
        info[QUEUED] == 0
    }

    /// Adds what this machine has to do with an event: whether the kernel answers a segment, and
    /// whether an ICMP error comes from here. Returns `None` if it is not about a reserved port.
    fn complete(&self, mut received: Received) -> Option<Received> {
        let reserved = |port| self.reserved_ports.iter().find(|reserved| reserved.port() == port);
        match &mut received.event {
            Event::Segment { segment, hop_limit, reset_by_kernel } => {
                let reserved = reserved(segment.destination.port())?;
                *reset_by_kernel =
                    reserved.lets_kernel_reset(*hop_limit) && !segment.flags.contains(Flags::RST);
            }
            Event::WrongChecksum { destination, .. } => {
                reserved(destination.port())?;
            }
            Event::Icmp(error, quote) => {
                reserved(quote.local_port)?;
                match self.router.has_not_left(error, quote.remote, self.options) {
                    Ok(false) => {}
                    // A SYN that the local firewall rejects has not left (EPERM), so this is about
                    // the next hop.
                    Ok(true) if error.meaning == Meaning::Unreachable => {
                        error.origin = Origin::NoNeighbour;
                    }
                    Ok(true) => error.origin = Origin::LocalFirewall,
                    // What it proves cannot be known.
                    Err(_) => received.event = Event::SegmentsLost(1),
                }
            }
            Event::EchoReply { .. } | Event::Handshake { .. } | Event::SegmentsLost(_) => {}
        }
        Some(received)
    }
}
