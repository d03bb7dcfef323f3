//! Answers agent checks of `HAProxy` (`agent-check`), on a thread beside the loop.
//!
//! A client sends `POOL/TARGET` and a line break, or nothing if the pools of that address have one
//! target in all. The answer is a line: `up`, `down #REASON`, or nothing at all, which changes
//! nothing. Other words of the protocol would override what an administrator of `HAProxy` has set.

mod client;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{Backlog, listen};

use self::client::{Client, Turn};
use crate::board::Board;

/// The most clients at a time, if there are descriptors for them. One more takes the place of the
/// oldest that has its answer, or else of the oldest: those that behave are served within
/// milliseconds.
const CLIENTS: usize = 256;

/// How many connections the kernel keeps until they are accepted.
const BACKLOG: i32 = 1024;

/// The most connections that are accepted before clients are served again.
const BATCH: usize = 64;

/// How long to wait if no connection can be accepted.
const PAUSE: Duration = Duration::from_millis(50);

/// The agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// An address cannot be listened on.
    #[error("cannot listen on {0} for agent checks ({1})")]
    Listen(SocketAddr, io::Error),
    /// The kernel has no room for what else is needed.
    #[error("cannot answer agent checks ({0})")]
    Start(#[from] io::Error),
}

/// An agent that has opened its listeners.
pub struct Agent {
    epoll: Epoll,
    listeners: Vec<(SocketAddr, TcpListener)>,
    /// The clients, in slots that are used again.
    clients: Vec<Option<Client>>,
    /// The most clients.
    most: usize,
}

impl Agent {
    /// Opens a listener for each address, even if it is there several times. Call it while there is
    /// privilege: the port may need it.
    ///
    /// # Errors
    ///
    /// Returns an error that names the address if one is in use, or not this machine's.
    pub fn listen(addresses: impl IntoIterator<Item = SocketAddr>) -> Result<Self, AgentError> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(io::Error::from)?;
        let mut agent = Self { epoll, listeners: Vec::new(), clients: Vec::new(), most: CLIENTS };
        for address in addresses {
            if agent.listeners.iter().all(|(other, _)| *other != address) {
                let failed = |error| AgentError::Listen(address, error);
                let listener = agent.open(address).map_err(failed)?;
                agent.listeners.push((address, listener));
            }
        }
        Ok(agent)
    }

    fn open(&self, address: SocketAddr) -> io::Result<TcpListener> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        listen(&listener, Backlog::new(BACKLOG)?)?; // the standard library's is shorter
        self.watch(&listener, Token::Listener(self.listeners.len()))?;
        Ok(listener)
    }

    /// Returns how many clients it would serve at a time.
    pub fn clients(&self) -> usize {
        if self.listeners.is_empty() { 0 } else { self.most }
    }

    /// Sets how many clients it serves at a time: at least one.
    pub fn limit_clients(&mut self, most: usize) {
        self.most = most.max(1);
    }

    /// Answers from now on, until the process ends.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel starts no thread.
    pub fn start(mut self, board: Arc<Board>) -> Result<(), AgentError> {
        if !self.listeners.is_empty() {
            thread::Builder::new().name("agent".to_owned()).spawn(move || {
                loop {
                    self.turn(&board);
                }
            })?;
        }
        Ok(())
    }

    /// Waits for clients, and serves them.
    fn turn(&mut self, board: &Board) {
        let mut events = [EpollEvent::empty(); BATCH];
        let count = self.epoll.wait(&mut events, self.timeout()).unwrap_or_default();
        for event in &events[..count] {
            match Token::from(event.data()) {
                Token::Client(slot) => self.serve(slot, board, Turn::Readable),
                Token::Listener(index) => self.accept(index, board),
            }
        }
        let now = Instant::now();
        for slot in 0..self.clients.len() {
            if self.clients[slot].as_ref().is_some_and(|client| client.deadline() <= now) {
                self.serve(slot, board, Turn::TimedOut);
            }
        }
    }

    fn timeout(&self) -> EpollTimeout {
        let next = self.clients.iter().flatten().map(Client::deadline).min();
        let wait = next.map(|at| at.saturating_duration_since(Instant::now()));
        // Rounded up, or it would be too early.
        wait.map_or(EpollTimeout::NONE, |wait| {
            EpollTimeout::try_from(wait + Duration::from_millis(1)).unwrap_or(EpollTimeout::MAX)
        })
    }

    fn serve(&mut self, slot: usize, board: &Board, turn: Turn) {
        if let Some(client) = &mut self.clients[slot]
            && client.serve(board, turn).is_break()
        {
            self.clients[slot] = None;
        }
    }

    fn accept(&mut self, index: usize, board: &Board) {
        for _ in 0..BATCH {
            let (address, listener) = &self.listeners[index];
            let (stream, address) = match listener.accept() {
                Ok((stream, _)) => (stream, *address),
                Err(error) if is_of_the_connection(&error) => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Without descriptors or memory, it stays readable.
                Err(_) => return thread::sleep(PAUSE),
            };
            let slot = self.free_slot();
            if stream.set_nonblocking(true).is_ok()
                && self.watch(&stream, Token::Client(slot)).is_ok()
            {
                self.clients[slot] = Some(Client::new(stream, address));
                self.serve(slot, board, Turn::Readable);
            }
        }
    }

    /// Returns a slot without a client. If need be, one loses its place.
    fn free_slot(&mut self) -> usize {
        if let Some(slot) = self.clients.iter().position(Option::is_none) {
            return slot;
        }
        if self.clients.len() < self.most {
            self.clients.push(None);
            return self.clients.len() - 1;
        }
        let rank = |slot: &usize| {
            self.clients[*slot].as_ref().map(|client| (!client.is_answered(), client.accepted()))
        };
        let first = (0..self.clients.len()).min_by_key(rank).unwrap_or_default();
        self.clients[first] = None;
        first
    }

    fn watch(&self, socket: impl AsFd, token: Token) -> Result<(), Errno> {
        self.epoll.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, token.into()))
    }
}

/// Returns true if a connection has failed before it was accepted (accept(2)).
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// What is ready.
enum Token {
    Client(usize),
    Listener(usize),
}

impl From<Token> for u64 {
    fn from(token: Token) -> Self {
        let number = |index: usize| u64::try_from(index).expect("64 bits are enough");
        match token {
            Token::Client(slot) => 2 * number(slot),
            Token::Listener(index) => 2 * number(index) + 1,
        }
    }
}

impl From<u64> for Token {
    fn from(number: u64) -> Self {
        let index = usize::try_from(number / 2).expect("an index");
        if number.is_multiple_of(2) { Self::Client(index) } else { Self::Listener(index) }
    }
}

#[cfg(test)]
mod tests;
