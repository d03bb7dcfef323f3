//! The program as its callers see it: words in, exit code and text out.
//!
//! Every test that checks a port does so over the loopback interface of a network of its own.

mod calls;
mod early_ends;
mod files;
mod grammar;
mod large_pools;
mod output;
mod pools;
mod privilege;
mod program;
mod slow_readers;
mod targets;
mod terminal;
mod usage;
mod verdicts;
