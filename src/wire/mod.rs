//! Converts packets to values and back. Only this folder knows the layout of a packet.
//!
//! Parsing rejects malformed packets, and never panics; the rest of the crate need not check again.

mod checksum;
pub mod echo;
pub mod icmp;
pub mod ipv4;
pub mod segment;

pub use echo::Echo;
pub use icmp::{IcmpError, Meaning, Origin, Quote};
pub use segment::{Flags, Options, Segment, SequenceNumber, Unsound};
