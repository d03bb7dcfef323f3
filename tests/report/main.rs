//! What the program writes: the contract's lines word by word, and every other one as a snapshot to
//! be read.

mod contract;
mod pages;
mod pools;
mod reports;
