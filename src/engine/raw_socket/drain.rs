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
use crate::wire::{Flags, Meaning, Origin};

/// How often a queue is asked before the other one has its turn.
const LOOKS: usize = 4;

/// ICMP errors that are held back at most.
const MOST_HELD: usize = 1024;

sockopt_impl!(
    /// What a socket holds and what it has dropped (`SO_MEMINFO`).
    MemoryInfo, GetOnly, libc::SOL_SOCKET, libc::SO_MEMINFO, [u32; 9]
);

/// Where in that the dropped messages stand (`SK_MEMINFO_DROPS` of `linux/sock_diag.h`).
const LOST: usize = 8;

impl RawSocket {
    /// Takes in a batch of what waits in the socket's queues; true when both were seen empty.
    ///
    /// No ICMP error is handed over before every segment that arrived ahead of it: the error queue
    /// is read first, and its errors wait until the other queue has been seen empty. A SYN+ACK with
    /// an ICMP error behind it is an open port.
    pub(in crate::engine) fn drain(&mut self, events: &mut Vec<Received>) -> bool {
        let mut held = mem::take(&mut self.held);
        // What is too much to hold stays with the kernel, which limits it.
        let all_errors = held.len() < MOST_HELD && self.read(MsgFlags::MSG_ERRQUEUE, &mut held);
        let all_segments = self.read(MsgFlags::empty(), events);
        let lost = self.newly_lost().map(Event::SegmentsLost);
        events.extend(lost.map(|event| Received { stamp: None, event }));
        if all_segments {
            events.append(&mut held);
        }
        self.held = held;
        all_errors && all_segments
    }

    /// Reads a batch, or less, from one of the socket's queues; true when the queue was seen empty.
    /// Fewer messages than there was room for do not prove that, because a pending error ends a
    /// batch, too (`do_recvmmsg()`). It is that of some flow, and cleared by being returned; its
    /// story is in the error queue.
    fn read(&mut self, queue: MsgFlags, events: &mut Vec<Received>) -> bool {
        let mut buffers = mem::take(&mut self.buffers);
        buffers.resize(self.batch, [0; LONGEST as usize]);
        let mut empty = false;
        for _ in 0..LOOKS {
            match self.read_batch(queue, &mut buffers, events) {
                Ok(count) if count == buffers.len() => {
                    self.batch = BATCH; // somebody floods us
                    break;
                }
                Err(Errno::EAGAIN) => {
                    empty = true;
                    break;
                }
                Ok(_) | Err(_) => {}
            }
        }
        self.buffers = buffers;
        empty
    }

    /// Reads what one system call gives, and leaves out what is not for a guarded port; gives how
    /// many messages it was.
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
            events.extend(recv::read(&message).and_then(|read| self.own(read)));
        }
        Ok(count)
    }

    /// How many messages the queue has had no room for since this was asked last. `SO_RXQ_OVFL`
    /// would tell of them with the next message that there is room for; the last ones of a burst
    /// would stay unknown.
    pub(super) fn newly_lost(&mut self) -> Option<u32> {
        let lost = getsockopt(&self.raw, MemoryInfo).ok()?[LOST];
        let newly = lost.wrapping_sub(mem::replace(&mut self.lost, lost));
        (newly > 0).then_some(newly)
    }

    /// Knows whether the guard of the port that `event` is about leaves the RST to us, and
    /// whether an ICMP error comes from this machine.
    fn own(&self, mut received: Received) -> Option<Received> {
        let guard = |port| self.reserved_ports.iter().find(|guard| guard.port() == port);
        match &mut received.event {
            Event::Segment { segment, hop_limit, reset_by_kernel } => {
                let guard = guard(segment.destination.port())?;
                *reset_by_kernel =
                    guard.lets_kernel_reset(*hop_limit) && !segment.flags.contains(Flags::RST);
            }
            Event::WrongChecksum { destination, .. } => {
                guard(destination.port())?;
            }
            Event::Icmp(error, quote) => {
                guard(quote.local_port)?;
                match self.router.is_from_here(error, quote.remote, self.options) {
                    Ok(false) => {}
                    // What our own firewall rejects has not left (EPERM): the next hop is meant.
                    Ok(true) if error.meaning == Meaning::Unreachable => {
                        error.origin = Origin::NoNeighbour;
                    }
                    Ok(true) => error.origin = Origin::LocalFirewall,
                    // What it proves cannot be known.
                    Err(_) => received.event = Event::SegmentsLost(1),
                }
            }
            Event::Handshake { .. } | Event::SegmentsLost(_) => {}
        }
        Some(received)
    }
}
