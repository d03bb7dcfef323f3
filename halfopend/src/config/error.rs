//! What is wrong with a configuration, and where.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use halfopen::local_error::in_words;
use halfopen::target_file::FileError;

use super::{LEAST_INTERVAL, MOST_POOLS, MOST_TARGETS};

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {file}: {}", in_words(source))]
    Read {
        /// Its name.
        file: String,
        /// The system's error.
        source: io::Error,
    },
    /// Something in the file, or in a file of targets that it names, is wrong.
    #[error("{position}: {problem}")]
    At {
        /// Where.
        position: Position,
        /// What.
        problem: Problem,
    },
    /// Something on the command line is wrong.
    #[error(transparent)]
    CommandLine(Problem),
    /// A file of targets cannot be used.
    #[error(transparent)]
    Targets(#[from] FileError),
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Problem {
    /// It is not TOML, a key is unknown, or a value cannot be read: what the parser says.
    #[error("{0}")]
    Toml(String),
    /// It is not text.
    #[error("not text (UTF-8)")]
    NotText,
    /// There is nothing to check.
    #[error("no pool: write one, such as [pool.web] with targets = [\"192.0.2.7:443\"]")]
    NoPool,
    /// There are too many pools.
    #[error("more than {MOST_POOLS} pools")]
    TooManyPools,
    /// A pool has nothing to check.
    #[error("no target: write targets = [\"192.0.2.7:443\"], or file = \"NAME\"")]
    NoTarget,
    /// There are too many targets.
    #[error("more than {MOST_TARGETS} targets, all pools together")]
    TooManyTargets,
    /// A target was there before, in the same pool.
    #[error("{0} is in this pool already")]
    Duplicate(String),
    /// A time between checks is too short.
    #[error("{0:?} is too short: write at least {LEAST_INTERVAL:?}")]
    ShortInterval(Duration),
    /// A check takes longer than the time to the next one.
    #[error("the timeout of {timeout:?} is longer than the interval of {interval:?}")]
    LongTimeout {
        /// The time that a check may take.
        timeout: Duration,
        /// The time between two checks.
        interval: Duration,
    },
    /// The rate is not enough for the targets.
    #[error(
        "the targets take {needed} SYNs per second or more, but the rate is {rate}: \
         raise rate, or the intervals"
    )]
    LowRate {
        /// How many SYNs per second the checks take, if all targets answer.
        needed: f64,
        /// How many are allowed.
        rate: u32,
    },
    /// The program of a hook is not a path.
    #[error("write the whole path of the program, such as [\"/usr/lib/halfopen/on-transition\"]")]
    NoProgram,
    /// A name where an address is needed.
    #[error("write an address or a block: names are resolved before they are compared")]
    AllowedName,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The name of the file.
    pub file: Arc<str>,
    /// Counted from 1.
    pub line: usize,
    /// In bytes, counted from 1.
    pub column: usize,
}

impl Position {
    /// Returns the place of a byte of `text`.
    pub(super) fn of(file: &Arc<str>, text: &str, byte: usize) -> Self {
        let before = &text[..text.floor_char_boundary(byte)];
        let lines = before.split('\n');
        let column = 1 + lines.clone().next_back().map_or(0, str::len);
        Self { file: file.clone(), line: lines.count(), column }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}
