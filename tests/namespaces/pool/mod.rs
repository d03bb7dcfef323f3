//! Pools: many targets in one process, every verdict as right as if it were the only one.

mod duplicates;
mod foreign_load;
mod interrupt;
mod loss;
mod memory;
mod mixed;
mod options;
mod pace;
mod stall;
mod streaming;
mod thousands;
mod ways;
