//! The fleet alone, over days of virtual time: what it knows, when it checks, and what it tells.

mod counts;
mod crowds;
mod doubt;
mod endurance;
mod lanes;
mod model;
mod outages;
mod random;
mod replay;
mod shared;
mod special;
mod visits;
mod world;
