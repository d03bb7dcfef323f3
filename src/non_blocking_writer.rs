//! Output to a slow reader.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::write;

use crate::signals::{Signals, Wake};

/// The most bytes per write. A pipe that is ready takes as many without blocking (`PIPE_BUF`,
/// pipe(7)).
const CHUNK: usize = 4096;

/// The same for a terminal, which takes at least 256 bytes (`tty_buffer_alloc()`).
const TERMINAL_CHUNK: usize = 128;

/// After a signal, how long the reader may take nothing before the rest is discarded.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// How long it waits for a reader that it cannot watch.
const PAUSE: Duration = Duration::from_millis(5);

/// Takes the lines of a check while it runs.
pub trait Output: Write {
    /// Returns how many bytes wait for the reader, if any, and a descriptor that can be written
    /// when the reader has taken some.
    fn backlog(&self) -> Option<(usize, BorrowedFd<'_>)>;

    /// Returns how many lines were discarded because the reader is gone, or nothing can be written.
    fn discarded(&self) -> u64 {
        0
    }
}

impl Output for io::Sink {
    fn backlog(&self) -> Option<(usize, BorrowedFd<'_>)> {
        None
    }
}

/// A writer that takes everything at once and passes it on as the reader takes it. A slow reader
/// delays only the end of the program.
pub struct NonBlockingWriter<W> {
    out: W,
    is_terminal: bool,
    waiting: VecDeque<u8>,
    /// Why writing has failed: the reader is gone, or the disk is full.
    failure: Option<Errno>,
    /// How many lines were discarded since.
    discarded: u64,
}

impl<W: AsFd + IsTerminal> NonBlockingWriter<W> {
    /// Creates a writer to `out`. Nothing else may write to `out`.
    pub fn new(out: W) -> Self {
        let is_terminal = out.is_terminal();
        Self { out, is_terminal, waiting: VecDeque::new(), failure: None, discarded: 0 }
    }

    /// Returns why everything is discarded, if writing has failed.
    pub fn failure(&self) -> Option<io::Error> {
        self.failure.map(io::Error::from)
    }

    /// Returns true if nothing waits for the reader.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Waits until everything has been written, or a signal asks the program to end. If one has
    /// arrived already, waits only while the reader goes on reading.
    pub fn finish(mut self, signals: &Signals) {
        let patience = signals.have_come().then_some(LAST_PATIENCE);
        while self.pass_on() {
            match signals.wait_to_write(self.out.as_fd(), patience) {
                Wake::Ready => {}
                // Rather than lose the output, it waits for the reader without watching signals.
                Wake::Blind if patience.is_none() => return self.write_all(),
                Wake::Blind | Wake::Signal | Wake::Late => break,
            }
        }
    }

    /// Writes everything, however long that takes.
    fn write_all(&mut self) {
        while !self.waiting.is_empty() {
            if !self.write_some() {
                thread::sleep(PAUSE);
            }
        }
    }

    /// Writes as much as the reader takes without blocking. Returns true if something is left.
    fn pass_on(&mut self) -> bool {
        while !self.waiting.is_empty() && self.takes_more() && self.write_some() {}
        !self.waiting.is_empty()
    }

    /// Writes the next piece. Returns false if it was not taken.
    fn write_some(&mut self) -> bool {
        let (next, _) = self.waiting.as_slices();
        let chunk = if self.is_terminal { piece(next) } else { next.len().min(CHUNK) };
        match write(&self.out, &next[..chunk]) {
            Ok(written) => drop(self.waiting.drain(..written)),
            Err(Errno::EINTR | Errno::EAGAIN) => return false,
            Err(errno) => {
                self.failure = Some(errno);
                self.discarded += lines(self.waiting.drain(..));
            }
        }
        true
    }

    fn takes_more(&self) -> bool {
        let mut watched = [PollFd::new(self.out.as_fd(), PollFlags::POLLOUT)];
        poll(&mut watched, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }
}

/// Returns how many lines end in these bytes.
fn lines(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.map(|byte| u64::from(byte == b'\n')).sum()
}

/// Returns how much of `bytes` to write to a terminal at once: a line break, which becomes two
/// bytes, or what precedes it. Then it must be asked again whether it has room (`n_tty_write()`).
fn piece(bytes: &[u8]) -> usize {
    let bytes = &bytes[..bytes.len().min(TERMINAL_CHUNK)];
    bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end.max(1))
}

impl<W: AsFd + IsTerminal> Output for NonBlockingWriter<W> {
    fn backlog(&self) -> Option<(usize, BorrowedFd<'_>)> {
        (!self.waiting.is_empty()).then(|| (self.waiting.len(), self.out.as_fd()))
    }

    fn discarded(&self) -> u64 {
        self.discarded
    }
}

impl<W: AsFd + IsTerminal> Write for NonBlockingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.failure.is_none() {
            self.waiting.extend(bytes);
        } else {
            self.discarded += lines(bytes.iter().copied());
        }
        Ok(bytes.len())
    }

    /// Writes what the reader takes without blocking.
    fn flush(&mut self) -> io::Result<()> {
        self.pass_on();
        Ok(())
    }
}
