//! Half-open TCP health checks: SYN, SYN+ACK, RST; the application never hears of it.
//!
//! Data flows one way:
//!
//! ```text
//! command line ─► Plan ─► TargetSet ─► endpoints ─► Checker ⇄ Engine ─► outcomes ─► Report ─► exit code
//!     cli          plan    target_set     resolve     checker   engine     verdict    status, report
//! ```
//!
//! [`event_loop::run`] is the one loop: it owns the clock and moves segments between the pure
//! [`checker::Checker`] and an [`engine::Engine`]. Everything else is a function from values to
//! values.

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
pub mod family;
pub mod local_error;
pub mod non_blocking_writer;
pub mod number;
pub mod pacer;
#[cfg(feature = "cli")]
pub mod plan;
pub mod privilege;
pub mod probe;
#[cfg(feature = "cli")]
pub mod report;
pub mod resolve;
pub mod schedule;
#[cfg(feature = "cli")]
pub mod self_test;
pub mod signals;
pub mod status;
pub mod target;
pub mod target_file;
pub mod target_set;
pub mod verdict;
pub mod wire;
