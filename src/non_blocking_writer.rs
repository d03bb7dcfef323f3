//! Output to a reader who may be slow.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::write;

use crate::signals::{Signals, Wake};

/// Written at once at most, bytes: a pipe that can be written takes so many without waiting
/// (`PIPE_BUF`, pipe(7)).
const CHUNK: usize = 4096;

/// And a terminal, for which it is less: 256 bytes at least (`tty_buffer_alloc()`).
const TERMINAL_CHUNK: usize = 128;

/// How long a reader may take nothing of what is left to say after a signal.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// Where the lines of a check go while it goes on.
pub trait Output: Write {
    /// How many bytes wait for the reader, if any do, and what can be written to when he has taken
    /// some.
    fn backlog(&self) -> Option<(usize, BorrowedFd<'_>)>;
}

impl Output for io::Sink {
    fn backlog(&self) -> Option<(usize, BorrowedFd<'_>)> {
        None
    }
}

/// Takes everything, and passes it on as the reader takes it: he holds up nothing but the end of
/// the program.
pub struct NonBlockingWriter<W> {
    out: W,
    is_terminal: bool,
    waiting: VecDeque<u8>,
    /// Nobody reads, or there is no room where it goes: nobody is left to tell.
    closed: bool,
}

impl<W: AsFd + IsTerminal> NonBlockingWriter<W> {
    /// Nothing is written to `out` in another way.
    pub fn new(out: W) -> Self {
        let is_terminal = out.is_terminal();
        Self { out, is_terminal, waiting: VecDeque::new(), closed: false }
    }

    /// True when nothing waits for the reader.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Waits until everything has been written, or a signal asks the program to end. If one has
    /// asked already, the reader is waited for only as long as he reads.
    pub fn finish(mut self, signals: &Signals) {
        let patience = signals.have_come().then_some(LAST_PATIENCE);
        while self.pass_on() {
            if signals.wait_to_write(self.out.as_fd(), patience) != Wake::Ready {
                break;
            }
        }
    }

    /// Writes as much as the reader takes without delay; true when something is left.
    fn pass_on(&mut self) -> bool {
        while !self.waiting.is_empty() && self.takes_more() {
            let (next, _) = self.waiting.as_slices();
            let chunk = if self.is_terminal { piece(next) } else { next.len().min(CHUNK) };
            match write(&self.out, &next[..chunk]) {
                Ok(written) => drop(self.waiting.drain(..written)),
                Err(Errno::EINTR | Errno::EAGAIN) => break,
                Err(_) => {
                    self.closed = true;
                    self.waiting.clear();
                }
            }
        }
        !self.waiting.is_empty()
    }

    fn takes_more(&self) -> bool {
        let mut watched = [PollFd::new(self.out.as_fd(), PollFlags::POLLOUT)];
        poll(&mut watched, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }
}

/// How much of `bytes` a terminal takes at once: a line break, which becomes two bytes, or what is
/// before it. For the rest it looks again whether there is room (`n_tty_write()`).
fn piece(bytes: &[u8]) -> usize {
    let bytes = &bytes[..bytes.len().min(TERMINAL_CHUNK)];
    bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end.max(1))
}

impl<W: AsFd + IsTerminal> Output for NonBlockingWriter<W> {
    fn backlog(&self) -> Option<(usize, BorrowedFd<'_>)> {
        (!self.waiting.is_empty()).then(|| (self.waiting.len(), self.out.as_fd()))
    }
}

impl<W: AsFd + IsTerminal> Write for NonBlockingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.closed {
            self.waiting.extend(bytes);
        }
        Ok(bytes.len())
    }

    /// Does not wait for the reader.
    fn flush(&mut self) -> io::Result<()> {
        self.pass_on();
        Ok(())
    }
}
