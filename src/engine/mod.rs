//! How segments leave this machine and come back: raw sockets, or a simulated network.

mod filter;
mod guard;
mod lane;
mod outbox;
pub mod raw;
mod received;
mod resets;
mod route;
pub mod simulated;
mod sockets;

use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::time::Duration;

pub use raw::RawEngine;
pub use simulated::SimulatedEngine;

use crate::fault::{Fault, Refusal};
use crate::wire::{Arrival, Segment};

/// What the loop needs of a network and of a clock.
pub trait Engine {
    /// Time since a fixed moment, monotonic.
    fn now(&self) -> Duration;

    /// Where try `number` to `remote` would leave from: the source address that routing chooses, and a source port that
    /// is ours alone until the engine is dropped. Numbers have different ports.
    fn local_endpoint(&mut self, remote: SocketAddr, number: usize) -> Result<SocketAddr, Refusal>;

    /// Hands `segments`, whose sources are endpoints of ours, to the network; says what became of each.
    fn send(&mut self, segments: &[Segment]) -> Vec<Result<(), Fault>>;

    /// Waits until something arrives, one of `interrupts` can be read, or `deadline` has come (at once where it is past),
    /// then adds what is there to `arrivals`, with the time. Where nothing was left behind, gives the moment by which
    /// everything has been heard.
    fn receive(
        &mut self,
        deadline: Duration,
        interrupts: &[BorrowedFd<'_>],
        arrivals: &mut Vec<(Duration, Arrival)>,
    ) -> Result<Option<Duration>, Fault>;
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
