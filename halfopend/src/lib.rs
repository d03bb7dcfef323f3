//! A resident half-open TCP health checker: checks targets for ever, and tells which are up.
//!
//! Data flows one way:
//!
//! ```text
//! configuration > Fleet > checks > Checker <> Engine > outcomes > Fleet > events > readers
//! ```
//!
//! [`fleet::Fleet`] is pure, as the [`Checker`](halfopen::checker::Checker) is: outcomes and the
//! time go in, checks and events come out. [`daemon::Daemon`] is the driver of the one loop.

pub mod agent;
pub mod answers;
pub mod arguments;
pub mod board;
pub mod causes;
pub mod config;
pub mod daemon;
pub mod descriptors;
pub mod egress;
pub mod event;
pub mod faults;
pub mod filter;
pub mod fleet;
pub mod histogram;
pub mod hooks;
pub mod http;
pub mod inventory;
pub mod journal;
pub mod lag;
pub mod line_output;
pub mod live;
pub mod log;
pub mod metrics;
pub mod notify;
pub mod outputs;
pub mod probe;
pub mod signals;
pub mod slots;
pub mod snapshot;
pub mod visitors;
