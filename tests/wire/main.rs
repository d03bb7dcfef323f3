//! Bytes ⇄ values: constants of packets as stacks send them, malformed headers, and a second
//! implementation as the judge.

mod echo;
mod icmp;
mod ipv4;
mod packets;
mod random_segments;
mod segment;
