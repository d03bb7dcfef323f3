//! Checks over a simulated network and a clock that jumps: everything a network can do to them, to
//! the nanosecond.

mod alternatives;
mod authentication;
mod capacity;
mod crowd;
mod explain;
mod handshake;
mod hostile;
mod icmp;
mod loss;
mod lost_answers;
mod network;
mod next_hop;
#[cfg(feature = "cli")] // makes plans of command lines
mod overlapping_targets;
mod pacing;
mod pool;
mod refusal;
mod rounds;
mod rsts;
mod segments;
mod shortage;
mod silence;
mod stale;
#[cfg(feature = "cli")] // makes plans of command lines
mod target_set;
