//! Bytes ⇄ values: constants of packets as stacks send them, headers that lie, and a second
//! implementation as judge.

mod icmp;
mod ipv4;
mod packets;
mod random_segments;
mod segment;
