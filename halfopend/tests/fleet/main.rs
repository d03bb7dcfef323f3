//! The fleet alone, over days of virtual time: what it knows, when it checks, and what it tells.

mod outages;
mod replay;
mod world;
