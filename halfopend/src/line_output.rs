//! Where lines are written: to a reader that may be slow, or to a file whose disk may be full.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use halfopen::non_blocking_writer::{NonBlockingWriter, Output};

/// An output for lines. A reader that has gone is a place to discard them; a file that takes no
/// more may take the next ones.
pub enum LineOutput {
    /// A pipe, a terminal, a socket.
    Reader(NonBlockingWriter<File>),
    /// A regular file, which does not keep a writer waiting.
    File {
        /// The file.
        file: File,
        /// What is to be written before the next line: the rest of a line for which there was no
        /// room.
        owed: Vec<u8>,
    },
}

impl LineOutput {
    /// Creates an output to `descriptor`. Nothing else may write to a reader behind it.
    ///
    /// # Errors
    ///
    /// Returns an error if the system has no descriptors left.
    pub fn new(descriptor: impl AsFd) -> io::Result<Self> {
        let file = File::from(descriptor.as_fd().try_clone_to_owned()?);
        if !file.metadata()?.is_file() {
            return Ok(Self::Reader(NonBlockingWriter::new(file)));
        }
        let owed = if is_torn(&file) { b"\n".to_vec() } else { Vec::new() };
        Ok(Self::File { file, owed })
    }
}

/// Returns true if a file ends with a part of a line: the program before this one found no room for
/// the rest. False if the file cannot be read.
fn is_torn(file: &File) -> bool {
    let last = || {
        let readable = File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
        let (mut last, end) = ([0], readable.metadata().ok()?.len());
        readable.read_exact_at(&mut last, end.checked_sub(1)?).ok()?;
        Some(last[0])
    };
    last().is_some_and(|last| last != b'\n')
}

/// Writes the rest of the last line.
fn pay(file: &mut File, owed: &mut Vec<u8>) -> io::Result<()> {
    while !owed.is_empty() {
        match file.write(owed) {
            Ok(written) => drop(owed.drain(..written)),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Output for LineOutput {
    fn backlog(&self) -> Option<(usize, BorrowedFd<'_>)> {
        match self {
            Self::Reader(reader) => reader.backlog(),
            Self::File { .. } => None,
        }
    }

    fn discarded(&self) -> u64 {
        match self {
            Self::Reader(reader) => reader.discarded(),
            Self::File { .. } => 0,
        }
    }
}

impl Write for LineOutput {
    /// Takes all of `bytes`, which are a line, or fails. If there was room only for part of it,
    /// the rest is written before any other line.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Reader(reader) => reader.write(bytes),
            Self::File { file, owed } => {
                pay(file, owed)?;
                owed.extend(bytes);
                let _ = pay(file, owed); // the rest waits
                Ok(bytes.len())
            }
        }
    }

    /// Writes what can be written now. Fails while nothing can; a slow reader is no failure.
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Reader(reader) => {
                reader.flush()?;
                reader.failure().map_or(Ok(()), Err)
            }
            Self::File { file, owed } => pay(file, owed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_ends_within_a_line_goes_on_with_a_new_one() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"{\"whole\":1}\n{\"torn\":").unwrap();
        let append = || File::options().append(true).open(file.path()).unwrap();
        for line in ["next", "last"] {
            let mut output = LineOutput::new(append()).unwrap();
            writeln!(output, "{line}").unwrap();
        }
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert_eq!(text, "{\"whole\":1}\n{\"torn\":\nnext\nlast\n");
    }
}
