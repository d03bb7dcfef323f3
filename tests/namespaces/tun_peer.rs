//! A peer that follows a script, on a TUN device: every answer that a network can give, honest or
//! not, at any moment.

mod answer;
mod scenario;
mod sent;

mod forged;
mod icmp;
mod instrument;
mod malformed;
mod open;
mod stale;
