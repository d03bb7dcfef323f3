//! What the loop asks of the program that runs it, and reports to it.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::time::Duration;

use crate::checker::Ended;
use crate::engine::Interrupt;
use crate::event::Event;
use crate::explain::Explanation;
use crate::local_error::SendError;
use crate::probe::DiscardReason;
use crate::schedule::Schedule;
use crate::verdict::Outcome;
use crate::wire::{Flags, Segment};

/// A packet that was sent or received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketEvent {
    /// A segment that the engine sent.
    Sent(Segment),
    /// A SYN that the kernel wrote and sent.
    SentByKernel {
        /// The endpoint that it left from.
        local: SocketAddr,
        /// The target.
        remote: SocketAddr,
    },
    /// Something that arrived, and why it was discarded if it was.
    Received(Event, Result<(), DiscardReason>),
}

impl PacketEvent {
    /// Returns the target of a SYN that left.
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

/// Supplies targets and receives their results as they end.
pub trait Driver {
    /// Returns the next target, if there is one at `now`.
    fn next(&mut self, now: Duration) -> Next;

    /// Returns the schedule of the target `id`, whose first SYN leaves at `now`.
    fn schedule(&mut self, id: u32, now: Duration) -> Schedule;

    /// Reports that a target has ended.
    fn ended(&mut self, ended: Ended);

    /// Reports that a SYN to `remote` could not leave. The next attempt may.
    fn on_send_error(&mut self, _remote: SocketAddr, _error: &SendError) {}

    /// Returns true if a target that ends like this is to be explained, if there is an explainer.
    fn wants_explanation(&self, _outcome: &Outcome) -> bool {
        false
    }

    /// Returns a target that has ended and is to be explained afterwards, if there is an explainer.
    /// [`Driver::explained`] reports the result. Later checks of the target go on meanwhile. A
    /// driver that wants this wants no explanation before the end
    /// ([`Driver::wants_explanation`]).
    fn poll_inquiry(&mut self) -> Option<Ended> {
        None
    }

    /// Reports why a target is about to end as it does, or has ended.
    fn explained(&mut self, _remote: SocketAddr, _explanation: Explanation) {}

    /// Returns the next pending target that is to be cancelled.
    fn poll_unwanted(&mut self) -> Option<SocketAddr> {
        None
    }

    /// Reports that all targets that have ended so far were reported.
    fn flush(&mut self);

    /// Reports a packet that was sent or received at `at`.
    fn on_packet(&mut self, at: Duration, packet: &PacketEvent);

    /// Returns the descriptors for which a wait for answers ends early.
    fn interrupts(&self) -> Vec<Interrupt<'_>>;

    /// Serves these descriptors. The loop stops if this returns [`ControlFlow::Break`].
    fn handle_interrupts(&mut self, now: Duration) -> ControlFlow<()>;
}

/// What the loop is to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Probe this target under this id. One that is pending already ends at once, without a verdict
    /// ([`NoVerdict::AlreadyPending`](crate::verdict::NoVerdict::AlreadyPending)).
    Target(u32, SocketAddr),
    /// Ask again at that time, which is later than now, or whenever the loop wakes before.
    At(Duration),
    /// Ask again whenever the loop wakes.
    Later,
    /// Never ask again: there are no more targets.
    Nothing,
}
