//! What the program writes: the contract's lines word by word, and everything else as snapshots to
//! be read.

mod contract;
mod explanations;
mod foreign_text;
mod pages;
mod pool_reports;
mod pools;
mod reports;
