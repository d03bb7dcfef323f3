//! Engines send SYNs and receive the answers: by raw sockets, by the kernel's own handshake, or in
//! a simulated network.
//!
//! [`EngineConfig::open`] opens an engine on real sockets. [`OpenEngine`] is what a program asks
//! before it runs the loop; [`Engine`] is what the loop uses.

mod clock;
mod config;
mod connect;
mod filter;
mod group;
mod netlink;
mod per_family;
mod ping;
mod raw;
mod raw_socket;
mod recv;
mod reserved_port;
mod route;
mod rst_sender;
mod send;
pub mod simulated;
mod sockets;
mod surroundings;
mod timer;

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::time::Duration;

pub use self::config::{Egress, EngineConfig, EngineKind, OpenEngine};
pub use self::group::OpenEngines;
pub use self::simulated::SimulatedEngine;

use crate::attempt::Attempt;
use crate::event::Event;
use crate::local_error::{LocalError, SendError};
use crate::question::{CannotAsk, Question};
use crate::surroundings::Surroundings;
use crate::wire::Segment;

/// A network and a clock, as the loop uses them.
pub trait Engine {
    /// Returns the time since a fixed moment. It never goes backwards.
    fn now(&self) -> Duration;

    /// Returns how many more attempts may begin now.
    fn room(&self) -> usize {
        usize::MAX
    }

    /// Sends a SYN for each of `attempts`, and returns what became of each, in their order.
    ///
    /// A SYN leaves from the source address that routing chooses, and from a source port that no
    /// other program has until the engine is dropped. An engine that writes segments itself sends
    /// what `syn` makes of the attempt and its local endpoint, from the port that the attempt
    /// asks for. If the kernel writes them, each attempt has a port of its own, and the kernel
    /// retransmits.
    fn send_syns(
        &mut self,
        attempts: &[Attempt],
        syn: &dyn Fn(&Attempt, SocketAddr) -> Segment,
    ) -> Vec<Result<SentSyn, SendError>>;

    /// Reports that the timeout of an attempt has passed. An answer to it is still welcome; but if
    /// another attempt needs its place, the engine gives it up ([`HandshakeEnd::GivenUp`]).
    ///
    /// [`HandshakeEnd::GivenUp`]: crate::event::HandshakeEnd::GivenUp
    fn timed_out(&mut self, _remote: SocketAddr, _index: usize) {}

    /// Returns true if this machine may have dropped the last SYN to `remote` without an error.
    fn may_have_dropped_syn(&mut self, _remote: SocketAddr) -> bool {
        false
    }

    /// Returns what this machine's kernel knows about the way to the target `_id`, which is at
    /// `_to`, for segments from `_from` if that is known. It sends nothing. An engine that was not
    /// opened to explain ([`EngineConfig::explain`]) knows nothing.
    fn surroundings(
        &mut self,
        _id: u32,
        _to: SocketAddr,
        _from: Option<SocketAddr>,
    ) -> Surroundings {
        Surroundings::default()
    }

    /// Frees what `remote` has taken: its attempts have ended, or are no longer wanted.
    fn cancel(&mut self, _remote: SocketAddr) {}

    /// Sends RSTs from endpoints of ours without waiting for room, and returns what became of each,
    /// in their order.
    ///
    /// `Ok` means that the network has the RST, or that [`Engine::has_pending_rsts`] is true until
    /// it does. An engine whose kernel answers segments itself has nothing to send, and returns
    /// `Ok` for each.
    fn send_rsts(&mut self, rsts: &[Segment]) -> Vec<Result<(), LocalError>>;

    /// Does the same with RSTs that must leave before the next SYNs to their targets. Those for
    /// which it returns `Ok` have left.
    fn send_clearing_rsts(&mut self, rsts: &[Segment]) -> Vec<Result<(), LocalError>> {
        self.send_rsts(rsts)
    }

    /// Returns true while RSTs that were accepted have neither left nor been taken back by
    /// [`Engine::take_unsent_rsts`].
    fn has_pending_rsts(&self) -> bool {
        false
    }

    /// Returns the RSTs that were accepted and then found no room.
    fn take_unsent_rsts(&mut self) -> Vec<Segment> {
        Vec::new()
    }

    /// Sends a question. The answer comes as an event.
    ///
    /// # Errors
    ///
    /// Returns an error if it could not leave.
    fn ask(&mut self, _question: &Question) -> Result<SentQuestion, CannotAsk> {
        Err(CannotAsk::Kind("this engine asks nothing".to_owned()))
    }

    /// Returns what is ready to be read when an event can be drained.
    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        Vec::new()
    }

    /// Waits until an event can be drained, one of `interrupts` is ready, or `deadline` has come,
    /// if there is one.
    ///
    /// # Errors
    ///
    /// Returns an error if this machine can no longer wait.
    fn wait(
        &mut self,
        deadline: Option<Duration>,
        interrupts: &[Interrupt<'_>],
    ) -> Result<(), LocalError>;

    /// Adds a batch of what has arrived to `events`, each with the time of its arrival. Returns the
    /// time up to which everything has been drained, or `None` if more may be left.
    ///
    /// # Errors
    ///
    /// Returns an error if this machine can no longer receive.
    fn drain(
        &mut self,
        events: &mut Vec<(Duration, Event)>,
    ) -> Result<Option<Duration>, LocalError>;

    /// Drains what has arrived. If that is nothing and `deadline` has not passed, waits, and drains
    /// again. Returns what [`Engine::drain`] returns.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Engine::wait`] and [`Engine::drain`].
    fn receive(
        &mut self,
        deadline: Option<Duration>,
        interrupts: &[Interrupt<'_>],
        events: &mut Vec<(Duration, Event)>,
    ) -> Result<Option<Duration>, LocalError> {
        let drained_until = self.drain(events)?;
        if !events.is_empty()
            || drained_until.is_none()
            || deadline.is_some_and(|at| at <= self.now())
        {
            return Ok(drained_until);
        }
        self.wait(deadline, interrupts)?;
        self.drain(events)
    }
}

/// What ends a wait for events early.
#[derive(Debug, Clone, Copy)]
pub enum Interrupt<'a> {
    /// This descriptor is ready to be read.
    Readable(BorrowedFd<'a>),
    /// This descriptor is ready to be written.
    Writable(BorrowedFd<'a>),
}

/// A question that has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentQuestion {
    /// When it left.
    pub at: Duration,
    /// The endpoint that it left from; `None` for an echo request.
    pub local: Option<SocketAddr>,
}

/// A SYN that has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentSyn {
    /// When it left.
    pub at: Duration,
    /// The endpoint that it left from.
    pub local: SocketAddr,
    /// The segment, or `None` if the kernel wrote it.
    pub syn: Option<Segment>,
}
