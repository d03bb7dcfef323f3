//! A file of targets: one per line, with comments and blank lines.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::local_error::in_words;
use crate::signals::{Signals, Wake};
use crate::target::{Target, TargetError};

/// The longest file that is read, in bytes.
const LONGEST: u64 = 64 << 20;

/// The most targets that are read; each takes about a hundred bytes until the program ends.
const MOST: usize = 1 << 20;

/// What messages call the file `-`.
const STANDARD_INPUT: &str = "standard input";

/// Why a file of targets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file cannot be read.
    #[error("cannot read {file}: {}", in_words(source))]
    Read {
        /// Its name.
        file: String,
        /// The system's error.
        source: io::Error,
    },
    /// The thread that reads the file, or its descriptors, could not be created.
    #[error(
        "cannot start to read {file}: {}; try: higher limits on processes and open files",
        in_words(source)
    )]
    Start {
        /// Its name.
        file: String,
        /// The system's error.
        source: io::Error,
    },
    /// The file is too long.
    #[error(
        "{0} is longer than 64 MiB; shorten it with blocks such as 198.18.0.0/16 and ranges such as 8000-8010"
    )]
    TooLong(String),
    /// The file has too many lines.
    #[error("{0} names more than {MOST} targets; use blocks and ranges of ports")]
    TooMany(String),
    /// A line is not a target.
    #[error("{file}:{line}:{column}: {cause}")]
    Line {
        /// Its name.
        file: String,
        /// Counted from 1.
        line: usize,
        /// In bytes, counted from 1.
        column: usize,
        /// What is wrong.
        cause: LineError,
    },
    /// No line is a target.
    #[error("{0} names no target")]
    Empty(String),
    /// The file was not read to its end in time.
    #[error("{0} was not read to its end before the deadline (--timeout)")]
    Late(String),
    /// A signal came before the file was read to its end.
    #[error("interrupted before {0} was read to its end")]
    Interrupted(String),
}

/// Why a line is not a target.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// It cannot be parsed.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// It is not text.
    #[error("not text (UTF-8)")]
    NotText,
}

/// Reads the targets of the file `name`, or of standard input if it is `-`. Gives up after `limit`
/// or if a signal arrives, because a pipe may have no writer or no end.
///
/// # Errors
///
/// Returns an error if the file cannot be read to its end in time, or is not a list of targets.
pub fn read_within(
    limit: Duration,
    name: &str,
    signals: &Signals,
) -> Result<Vec<Target>, FileError> {
    let path = name.to_owned();
    let name = if name == "-" { STANDARD_INPUT } else { name };
    let failed = |source| FileError::Start { file: name.to_owned(), source };
    let (done_rx, done_tx) = UnixStream::pair().map_err(failed)?;
    let (sender, receiver) = mpsc::channel();
    let reader = move || match path.as_str() {
        "-" => read(STANDARD_INPUT, io::stdin()),
        name => match File::open(name) {
            Ok(opened) => read(name, opened),
            Err(source) => Err(FileError::Read { file: path, source }),
        },
    };
    // Not joined: if it hangs, it ends with the program.
    let thread = thread::Builder::new().spawn(move || {
        let _ = sender.send(reader());
        drop(done_tx); // the other end can be read now
    });
    thread.map_err(failed)?;
    match signals.wait_to_read(done_rx.as_fd(), limit) {
        Wake::Signal => Err(FileError::Interrupted(name.to_owned())),
        Wake::Ready | Wake::Late | Wake::Blind => {
            receiver.try_recv().unwrap_or_else(|_| Err(FileError::Late(name.to_owned())))
        }
    }
}

/// Reads the targets of `input`, which messages call `file`. A `#` begins a comment.
///
/// # Errors
///
/// Returns an error if `input` cannot be read or is not a list of targets.
pub fn read(file: &str, input: impl Read) -> Result<Vec<Target>, FileError> {
    let mut targets = Vec::new();
    read_each(file, input, |_, target| targets.push(target))?;
    Ok(targets)
}

/// Like [`read`], but gives each target to `take`, with its line and its column in bytes, both
/// counted from 1.
///
/// # Errors
///
/// As [`read`]; the targets before the mistake have been taken.
pub fn read_each(
    file: &str,
    input: impl Read,
    mut take: impl FnMut((usize, usize), Target),
) -> Result<(), FileError> {
    let mut bytes = Vec::new();
    input
        .take(LONGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| FileError::Read { file: file.to_owned(), source })?;
    if bytes.len() as u64 > LONGEST {
        return Err(FileError::TooLong(file.to_owned()));
    }
    // Some editors begin with a byte order mark.
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let mut count = 0;
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let words = line.split(|byte| *byte == b'#').next().unwrap_or_default();
        let words_start = words.len() - words.trim_ascii_start().len();
        let (line, column) = (index + 1, words_start + 1);
        let words = words.trim_ascii();
        if words.is_empty() {
            continue;
        }
        let target = std::str::from_utf8(words)
            .map_err(|_| LineError::NotText)
            .and_then(|words| Ok(words.parse()?))
            .map_err(|cause| FileError::Line { file: file.to_owned(), line, column, cause })?;
        if count == MOST {
            return Err(FileError::TooMany(file.to_owned()));
        }
        count += 1;
        take((line, column), target);
    }
    if count == 0 { Err(FileError::Empty(file.to_owned())) } else { Ok(()) }
}
