//! The privilege that a caller has, is lent by the program's file, or lacks: what checks make of
//! it, and what is left of it.

mod dropping;
mod environment;
#[cfg(feature = "seccomp")]
mod filter;
mod flooding;
mod hook;
mod kept;
mod owner;
mod reading;
mod waiting;
mod ways;
