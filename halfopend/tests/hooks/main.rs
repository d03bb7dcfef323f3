//! Hooks, run by the helper of the built program. What hooks do and find is judged by files that
//! they write.

mod bounds;
mod contract;
mod endings;
mod order;
mod processes;
mod support;
