//! One connection to the agent.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::board::{Advice, Board};

/// How long to wait for a request that may never come. `HAProxy` sends one at once.
const SILENCE: Duration = Duration::from_millis(250);

/// How long a client may take to send a request, and to read its answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The longest request: a name has at most 253 characters.
const REQUEST: usize = 512;

/// The longest reason that is told.
const REASON: usize = 200;

/// Why a client is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It has sent something, or closed the connection.
    Readable,
    /// Its time is over.
    TimedOut,
}

/// A client of the agent.
pub(super) struct Client {
    stream: TcpStream,
    /// The address that it has connected to.
    agent: SocketAddr,
    accepted: Instant,
    deadline: Instant,
    request: Vec<u8>,
    /// True when it has its answer. A client that aborts the connection then, as `HAProxy` does,
    /// leaves none in TIME-WAIT.
    is_answered: bool,
}

impl Client {
    pub(super) fn new(stream: TcpStream, agent: SocketAddr) -> Self {
        let accepted = Instant::now();
        let deadline = accepted + SILENCE;
        Self { stream, agent, accepted, deadline, request: Vec::new(), is_answered: false }
    }

    /// Returns when it was accepted.
    pub(super) fn accepted(&self) -> Instant {
        self.accepted
    }

    /// Returns true if it has its answer.
    pub(super) fn is_answered(&self) -> bool {
        self.is_answered
    }

    /// Returns when it is to be served even if it sends nothing.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Serves the client. Returns [`ControlFlow::Break`] if the connection is to be closed.
    pub(super) fn serve(&mut self, board: &Board, turn: Turn) -> ControlFlow<()> {
        match turn {
            Turn::Readable => self.read(board),
            Turn::TimedOut => self.time_out(board),
        }
    }

    fn read(&mut self, board: &Board) -> ControlFlow<()> {
        let mut bytes = [0; REQUEST];
        let length = match self.stream.read(&mut bytes) {
            Ok(length @ 1..) => length,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                return ControlFlow::Continue(());
            }
            Ok(0) | Err(_) => return ControlFlow::Break(()),
        };
        if self.is_answered || self.request.len() + length > REQUEST {
            return ControlFlow::Break(());
        }
        self.request.extend_from_slice(&bytes[..length]);
        let Some(end) = self.request.iter().position(|byte| *byte == b'\n') else {
            return ControlFlow::Continue(());
        };
        let advice = self.asked(board, end);
        self.answer(&advice)
    }

    /// Returns what to say about the target that the request names.
    fn asked(&self, board: &Board, end: usize) -> Advice {
        let line = str::from_utf8(&self.request[..end]).unwrap_or_default();
        let (pool, target) = line.trim_end().split_once('/').unwrap_or_default();
        board.advice(self.agent, pool, target)
    }

    fn time_out(&mut self, board: &Board) -> ControlFlow<()> {
        let is_over = self.accepted + PATIENCE <= self.deadline;
        if self.is_answered {
            return ControlFlow::Break(());
        }
        match board.only_advice(self.agent).filter(|_| self.request.is_empty()) {
            Some(advice) => self.answer(&advice),
            None if is_over => {
                let _ = self.answer(&Advice::NoChange);
                ControlFlow::Break(())
            }
            None => {
                self.deadline = self.accepted + PATIENCE;
                ControlFlow::Continue(())
            }
        }
    }

    /// Answers. A new connection takes as much without waiting.
    fn answer(&mut self, advice: &Advice) -> ControlFlow<()> {
        self.is_answered = true;
        self.deadline = Instant::now() + PATIENCE;
        let sent = self.stream.write_all(line(advice).as_bytes());
        match sent.and_then(|()| self.stream.shutdown(Shutdown::Write)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }
}

/// Returns an answer: one line, whatever the reason contains.
fn line(advice: &Advice) -> String {
    match advice {
        Advice::Up => "up\n".to_owned(),
        Advice::Down(reason) => {
            let plain = |c: char| if c.is_ascii_graphic() { c } else { ' ' };
            format!("down #{}\n", reason.chars().take(REASON).map(plain).collect::<String>())
        }
        Advice::NoChange => "\n".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_short_line() {
        assert_eq!(line(&Advice::Up), "up\n");
        assert_eq!(line(&Advice::NoChange), "\n");
        assert_eq!(line(&Advice::Down("RST+ACK".to_owned())), "down #RST+ACK\n");
        let hostile = format!("a\nready\r\n\u{1b}[0m é{}", "x".repeat(1000));
        let told = line(&Advice::Down(hostile));
        assert!(told.starts_with("down #a ready   [0m  xxx"), "{told}");
        assert_eq!((told.len(), told.matches('\n').count()), (207, 1));
    }
}
