//! Half-open TCP health checks: SYN, SYN+ACK, RST. The application is not notified.
//!
//! Data flows one way:
//!
//! ```text
//! command line > Plan > TargetSet > endpoints > Checker <> Engine > outcomes > Report > exit code
//!     cli        plan   target_set   resolve    checker   engine   verdict    status, report
//! ```
//!
//! [`event_loop::run`] is the one loop: it owns the clock and moves segments between the pure
//! [`checker::Checker`] and an [`engine::Engine`]. Everything else is a function from values to
//! values.
//!
//! # Embedding
//!
//! Without the default feature `cli` the library has no command line and no reports. A program then
//! has three things of its own:
//!
//! - an engine: [`engine::EngineConfig::open`] opens one for the network ([`privilege`] raises the
//!   privilege for that, and gives it up afterwards); [`engine::SimulatedEngine`] is for tests;
//! - a [`probe::Secret`] of 16 random bytes;
//! - an [`event_loop::Driver`], which names the targets and is told how they ended. It may probe a
//!   target again and again, in rounds ([`event_loop::Next::At`]).
//!
//! ```
//! use std::net::SocketAddr;
//! use std::ops::ControlFlow;
//! use std::time::Duration;
//!
//! use halfopen::attempt::Attempts;
//! use halfopen::checker::{Checker, Ended};
//! use halfopen::engine::{Interrupt, SimulatedEngine};
//! use halfopen::event_loop::{self, Driver, Next, PacketEvent};
//! use halfopen::pacer::Pacer;
//! use halfopen::probe::Secret;
//! use halfopen::schedule::Schedule;
//! use halfopen::verdict::PortState;
//! use halfopen::wire::Segment;
//!
//! /// Probes one target three times, once per minute.
//! struct Rounds {
//!     target: SocketAddr,
//!     begun: u32,
//!     states: Vec<PortState>,
//! }
//!
//! impl Driver for Rounds {
//!     fn next(&mut self, now: Duration) -> Next {
//!         let due = Duration::from_mins(1) * self.begun;
//!         match self.begun {
//!             3 => Next::Nothing,
//!             _ if now < due => Next::At(due),
//!             round => {
//!                 self.begun += 1;
//!                 Next::Target(round, self.target)
//!             }
//!         }
//!     }
//!
//!     fn schedule(&mut self, _id: u32, _now: Duration) -> Schedule {
//!         Schedule::fit(Attempts::with_retries(2).unwrap(), Duration::from_secs(10))
//!     }
//!
//!     fn ended(&mut self, ended: Ended) {
//!         self.states.push(ended.outcome.expect("nothing is wrong here").state());
//!     }
//!
//!     fn flush(&mut self) {}
//!
//!     fn on_packet(&mut self, _at: Duration, _packet: &PacketEvent) {}
//!
//!     fn interrupts(&self) -> Vec<Interrupt<'_>> {
//!         Vec::new() // descriptors that end a wait: of signals, of name look-ups
//!     }
//!
//!     fn handle_interrupts(&mut self, _now: Duration) -> ControlFlow<()> {
//!         ControlFlow::Continue(())
//!     }
//! }
//!
//! let mut engine = SimulatedEngine::new(|_now: Duration, _sent: &Segment| vec![]); // silence
//! let attempts = Attempts::with_retries(2).unwrap();
//! let mut checker = Checker::new(Secret::new([7; 16]), attempts);
//! let mut pacer = Pacer::new(10_000, usize::MAX);
//! let target = "198.18.0.7:443".parse().unwrap();
//! let mut rounds = Rounds { target, begun: 0, states: Vec::new() };
//! event_loop::run(&mut checker, &mut engine, &mut pacer, &mut rounds, None, None)?;
//! assert_eq!(rounds.states, [PortState::Filtered; 3]);
//! # Ok::<(), halfopen::local_error::LocalError>(())
//! ```

pub mod alternatives;
pub mod attempt;
#[cfg(feature = "cli")]
pub mod check;
pub mod checker;
#[cfg(feature = "cli")]
pub mod cli;
pub mod descriptors;
pub mod engine;
pub mod event;
pub mod event_loop;
pub mod explain;
pub mod family;
pub mod local_error;
pub mod non_blocking_writer;
pub mod number;
pub mod pacer;
pub mod plan;
pub mod privilege;
pub mod probe;
pub mod question;
#[cfg(feature = "cli")]
pub mod report;
pub mod resolve;
pub mod schedule;
#[cfg(feature = "cli")]
pub mod self_test;
pub mod signals;
pub mod status;
pub mod surroundings;
pub mod target;
pub mod target_file;
pub mod target_set;
pub mod verdict;
pub mod wire;
