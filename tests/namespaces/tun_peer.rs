//! A peer that follows a script, on a TUN device: every answer that a network can give, true or
//! forged, at any moment.

pub(crate) mod answer;
mod authentication;
pub(crate) mod scenario;
pub(crate) mod sent;

mod checksums;
mod forged;
pub(crate) mod icmp;
mod instrument;
mod malformed;
pub(crate) mod open;
mod stale;
