//! Bytes ⇄ values, pure: the only folder that knows the layout of a packet.
//!
//! Parsing rejects nonsense once (never with a panic), so that the rest of the crate never meets
//! it.

mod checksum;
pub mod icmp;
pub mod ipv4;
pub mod segment;

pub use icmp::{IcmpError, Meaning, Origin, Quote};
pub use segment::{Flags, Options, Segment, SequenceNumber, Unsound};
