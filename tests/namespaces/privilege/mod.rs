//! The privilege of callers, their own or lent by the program's file: how checks use it, and what
//! is left of it.

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
