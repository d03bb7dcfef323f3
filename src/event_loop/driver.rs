//! What the loop asks of its client, and tells it.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::time::Duration;

use crate::checker::Ended;
use crate::engine::Interrupt;
use crate::event::Event;
use crate::local_error::SendError;
use crate::probe::DiscardReason;
use crate::wire::{Flags, Segment};

/// Something that crossed between us and the network, for those who want to watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketEvent {
    /// A segment that left.
    Sent(Segment),
    /// A SYN that the kernel wrote and sent for us.
    SentByKernel {
        /// Where from.
        local: SocketAddr,
        /// Where to.
        remote: SocketAddr,
    },
    /// Something that arrived, and why it proves nothing where it does not.
    Received(Event, Result<(), DiscardReason>),
}

impl PacketEvent {
    /// Where a SYN that left goes to.
    pub fn syn_to(&self) -> Option<SocketAddr> {
        match self {
            Self::Sent(segment) => {
                Some(segment.destination).filter(|_| segment.flags == Flags::SYN)
            }
            Self::SentByKernel { remote, .. } => Some(*remote),
            Self::Received(..) => None,
        }
    }
}

/// Who wants to know: names the targets and is told what becomes of them, as it happens.
pub trait Driver {
    /// The next target, when there is one by now.
    fn next(&mut self, now: Duration) -> Next;

    /// Returns the time limit of a target whose first SYN leaves at `now`: all attempts and their
    /// timeouts fit into it.
    fn time_limit(&mut self, now: Duration) -> Duration;

    /// A target has ended.
    fn ended(&mut self, ended: Ended);

    /// A SYN to `remote` could not leave; it is tried again.
    fn on_send_error(&mut self, _remote: SocketAddr, _error: &SendError) {}

    /// The next target whose end need not be known any more.
    fn poll_unwanted(&mut self) -> Option<SocketAddr> {
        None
    }

    /// All that have ended so far have been told.
    fn flush(&mut self);

    /// A packet has crossed at `at`.
    fn on_packet(&mut self, at: Duration, packet: &PacketEvent);

    /// When the client wants attention.
    fn interrupts(&self) -> Vec<Interrupt<'_>>;

    /// Looks after that; true when the rest need not be known any more.
    fn handle_interrupts(&mut self, now: Duration) -> ControlFlow<()>;
}

/// What a client wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// This target, under this label. One that is pending already ends at once, without a verdict
    /// ([`NoVerdict::AlreadyPending`](crate::verdict::NoVerdict::AlreadyPending)).
    Target(u32, SocketAddr),
    /// The next target at that time, which is later than now, or whenever the loop wakes.
    At(Duration),
    /// To be asked again whenever the loop wakes.
    Later,
    /// No more.
    Nothing,
}
