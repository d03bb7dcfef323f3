//! What the daemon and its helper tell each other.

use serde::{Deserialize, Serialize};

/// A run that the daemon wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) number: u64,
    /// The program and its arguments.
    pub(super) command: Vec<String>,
    /// All of its environment.
    pub(super) environment: Vec<(String, String)>,
    /// Its standard input.
    pub(super) input: String,
}

/// How a run has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) number: u64,
    pub(super) end: End,
    /// The beginning of what it has printed.
    pub(super) output: String,
    /// How many bytes it has printed after that.
    pub(super) omitted: u64,
}

impl Report {
    /// Returns the report of a run that has printed nothing.
    pub(super) fn silent(number: u64, end: End) -> Self {
        Self { number, end, output: String::new(), omitted: 0 }
    }
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum End {
    /// The program has ended with this exit code.
    Exited(i32),
    /// A signal has ended the program.
    Signalled(i32),
    /// The program and all that it had started were killed.
    TimedOut,
    /// They were killed, but some of them live on.
    Survived,
    /// It was not started.
    NotStarted(String),
    /// The process that watches over it has ended before it.
    Unwatched,
}
