//! How SYNs leave this machine and answers come back: raw sockets, the kernel's own handshake, or a
//! simulated network.

mod clock;
mod connect;
mod filter;
mod handshaking;
mod netlink;
mod per_family;
mod raw;
mod raw_socket;
mod recv;
mod reserved_port;
mod route;
mod rst_sender;
mod send;
pub mod simulated;
mod sockets;
mod stream;
mod timer;

use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

pub use simulated::SimulatedEngine;

use self::connect::ConnectEngine;
use self::raw::RawEngine;
use crate::attempt::Attempt;
use crate::event::Event;
use crate::local_error::{LocalError, SendError};
use crate::wire::Segment;

/// What the loop needs of a network and of a clock.
pub trait Engine {
    /// As on the command line and in reports.
    fn name(&self) -> &'static str;

    /// Fails where nothing can be sent to any of the families that are wanted. Where only one of
    /// two is missing, that is said of its targets.
    fn ready(&self, v4: bool, v6: bool) -> Result<(), LocalError>;

    /// Makes room for crowds of answers; gives how many may be on their way at once.
    fn enable_batching(&mut self) -> usize;

    /// How many more attempts may begin now.
    fn room(&self) -> usize;

    /// The wait for an answer to that attempt is over. One that comes is still welcome; but if
    /// another attempt needs the room, this one is given up for it, and `receive()` tells of that.
    fn waited_for(&mut self, remote: SocketAddr, index: usize);

    /// True when the privilege that there is now is enough for the sockets that are yet to be
    /// opened, or bound again.
    fn can_go_on(&self) -> bool;

    /// How many retransmissions it was opened for.
    fn retries(&self) -> u8;

    /// Time since a fixed moment, monotonic.
    fn now(&self) -> Duration;

    /// Sends a SYN for each of `attempts`; says what became of each. It leaves from the source
    /// address that routing chooses, and from a source port that is ours alone until the engine is
    /// dropped. Where the engine writes the segment, it is what `syn` makes of the local and the
    /// remote endpoint, and the port is the one that is asked for. Where the kernel does, each
    /// attempt has a port of its own, and the kernel retransmits.
    fn send_syns(
        &mut self,
        attempts: &[Attempt],
        syn: &dyn Fn(SocketAddr, SocketAddr) -> Segment,
    ) -> Vec<Result<SentSyn, SendError>>;

    /// Hands RSTs, whose sources are endpoints of ours, to the network; says what became of each.
    /// Does not wait for room.
    fn send_resets(&mut self, resets: &[Segment]) -> Vec<Result<(), LocalError>>;

    /// True while RSTs that were handed over have yet to leave.
    fn owes_resets(&self) -> bool;

    /// RSTs that were handed over and found no room after all.
    fn take_returned(&mut self) -> Vec<Segment>;

    /// True where this machine may have held SYNs back, without a word, since it was asked last.
    fn held_back(&mut self) -> bool {
        false
    }

    /// Nothing that concerns `remote` is waited for any more.
    fn release(&mut self, remote: SocketAddr);

    /// Waits until something arrives, there is one of `interrupts`, or `deadline` has come (at once
    /// where it is past), then adds what is there to `events`, with the time. Where nothing was
    /// left behind, gives the moment by which everything has been heard.
    fn receive(
        &mut self,
        deadline: Duration,
        interrupts: &[Interrupt<'_>],
        events: &mut Vec<(Duration, Event)>,
    ) -> Result<Option<Duration>, LocalError>;
}

/// What ends a wait for answers, beside them.
#[derive(Debug, Clone, Copy)]
pub enum Interrupt<'a> {
    /// This can be read.
    Readable(BorrowedFd<'a>),
    /// This can be written.
    Writable(BorrowedFd<'a>),
}

/// A SYN that has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentSyn {
    /// When.
    pub at: Duration,
    /// Where from.
    pub local: SocketAddr,
    /// The segment; `None` where the kernel wrote it.
    pub syn: Option<Segment>,
}

/// How segments leave this machine; where nothing is set, the kernel chooses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Egress {
    /// Source address.
    pub source: Option<IpAddr>,
    /// Network interface, by name.
    pub interface: Option<String>,
    /// Firewall mark (`SO_MARK`).
    pub mark: Option<u32>,
    /// Differentiated services code point, 0 to 63.
    pub dscp: Option<u8>,
    /// Time to live or hop limit, 1 to 255.
    pub ttl: Option<u8>,
}

/// Which engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// Raw where raw sockets may be opened, the routing table asked, and a source port reserved;
    /// the kernel's handshake elsewhere.
    Auto,
    /// Raw sockets.
    Raw,
    /// The kernel's handshake.
    Connect,
}

/// What an engine is opened for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineConfig {
    /// Which engine.
    pub kind: EngineKind,
    /// How segments leave.
    pub egress: Egress,
    /// SYN retransmissions after the first. What needs to know how many asks the engine.
    pub retries: u8,
    /// Whether there may be IPv4 targets.
    pub v4: bool,
    /// Whether there may be IPv6 targets.
    pub v6: bool,
}

impl EngineConfig {
    /// SYNs for each target at most.
    fn attempts(&self) -> usize {
        usize::from(self.retries) + 1
    }

    /// Opens everything that takes privilege; nothing later does, but for what
    /// [`Engine::can_go_on`] says. Time counts from `start`.
    pub fn open(&self, start: Instant) -> Result<Box<dyn Engine>, LocalError> {
        if let Some(source) = self.egress.source {
            sockets::own(source)?;
        }
        if self.kind != EngineKind::Connect {
            let raw = RawEngine::open(start, self)?;
            let ready = raw.ready(self.v4, self.v6);
            let barred =
                matches!(ready, Err(LocalError::RawSocket(_) | LocalError::RoutingTable(_)))
                    || raw.lacks_ports();
            if self.kind == EngineKind::Raw || !barred {
                return Ok(Box::new(raw));
            }
        }
        Ok(Box::new(ConnectEngine::open(start, self)?))
    }
}
