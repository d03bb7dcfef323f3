//! Where lines are written: to a reader that may be slow, or to a file whose disk may be full.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd};

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
        /// True if it ends with a part of a line.
        is_torn: bool,
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
        Ok(if file.metadata()?.is_file() {
            Self::File { file, is_torn: false }
        } else {
            Self::Reader(NonBlockingWriter::new(file))
        })
    }
}

impl Output for LineOutput {
    fn backlog(&self) -> Option<(usize, BorrowedFd<'_>)> {
        match self {
            Self::Reader(reader) => reader.backlog(),
            Self::File { .. } => None,
        }
    }
}

impl Write for LineOutput {
    /// Writes all of `bytes`, which end with a line break, or fails.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Reader(reader) => reader.write(bytes),
            Self::File { file, is_torn } => {
                if *is_torn {
                    file.write_all(b"\n")?;
                    *is_torn = false;
                }
                let mut rest = bytes;
                while !rest.is_empty() {
                    match file.write(rest) {
                        Ok(written) => rest = &rest[written..],
                        Err(error) if error.kind() == ErrorKind::Interrupted => {}
                        Err(error) => {
                            *is_torn = rest.len() < bytes.len();
                            return Err(error);
                        }
                    }
                }
                Ok(bytes.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Reader(reader) => reader.flush(),
            Self::File { .. } => Ok(()),
        }
    }
}
