//! Looks up names and network interfaces.

mod name;

use std::collections::{HashMap, VecDeque};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;
use std::{io, mem, thread};

use nix::errno::Errno;
use nix::net::if_::{if_indextoname, if_nametoindex};

use self::name::look_up;
use crate::descriptors::Descriptors;
use crate::family::Family;
use crate::local_error::LocalError;
use crate::verdict::{LookupFailure, NoVerdict, Outcome, Reason, Verdict};

/// The most look-ups at a time. If as many names hang, the others wait for them.
const THREADS: usize = 128;

/// The most descriptors that a look-up takes: two sockets, a file of the name service, and a copy
/// of the stream that reports results.
const DESCRIPTORS: usize = 5;

/// The descriptors that the rest of the program may open meanwhile.
const OTHERS: usize = 8;

/// How long a thread pauses after a look-up for which this machine was short of something.
const SHORTAGE: Duration = Duration::from_millis(20);

/// The stack of a thread in bytes: more than a look-up needs.
const STACK: usize = 512 << 10;

/// The addresses of a name, without ports, in the resolver's order: at least one.
pub type Addresses = Result<Vec<SocketAddr>, NoAddress>;

/// Why a name gave no address to probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAddress {
    /// It does not resolve: a verdict on its targets.
    NotResolved(LookupFailure),
    /// It may have addresses, but its targets cannot be probed.
    Unusable(NoVerdict),
}

impl NoAddress {
    /// Returns how the targets of the name end.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::NotResolved(failure) => {
                Ok(Verdict::without_probe(Reason::NameNotResolved(failure)))
            }
            Self::Unusable(error) => Err(error),
        }
    }
}

impl From<LookupFailure> for NoAddress {
    fn from(failure: LookupFailure) -> Self {
        Self::NotResolved(failure)
    }
}

impl From<LocalError> for NoAddress {
    fn from(error: LocalError) -> Self {
        Self::Unusable(error.into())
    }
}

/// What became of a name with this id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookupEvent {
    /// Its look-up has begun, perhaps again after this machine was short of something.
    Began(u32),
    /// Its look-up has ended.
    Ended(u32, Addresses),
}

/// Name look-ups on threads of their own, because the name service may hang. Threads that hang when
/// the check is over end with the program.
pub struct Lookups {
    queue: Arc<Mutex<Queue>>,
    events: mpsc::Receiver<LookupEvent>,
    wake_rx: UnixStream,
    /// The end of the stream that threads write to when they have sent events.
    wake_tx: UnixStream,
    sender: mpsc::Sender<LookupEvent>,
    family: Family,
    /// The most threads.
    max_threads: usize,
}

/// The names that are yet to be looked up.
struct Queue {
    names: VecDeque<Waiting>,
    /// How many threads there are. A thread ends when no name is left.
    threads: usize,
    /// True if no look-up may begin any more.
    closed: bool,
}

/// A name, the ids that it was added with, and what this machine was short of when it was looked up
/// before.
struct Waiting {
    ids: Vec<u32>,
    name: Box<str>,
    local_error: Option<LocalError>,
}

impl Lookups {
    /// Starts to look up `names`, each with an id. A name that occurs several times is looked up
    /// once.
    ///
    /// # Errors
    ///
    /// Returns an error if this machine is short of descriptors, memory or threads.
    pub fn start(names: Vec<(u32, Box<str>)>, family: Family) -> Result<Self, LocalError> {
        let (wake_rx, wake_tx) = UnixStream::pair().map_err(|error| no_threads(&error))?;
        wake_rx.set_nonblocking(true).map_err(|error| no_threads(&error))?;
        wake_tx.set_nonblocking(true).map_err(|error| no_threads(&error))?;
        // A name service does not report a shortage: a file that it cannot open counts as empty.
        let spare = (0..DESCRIPTORS + OTHERS).map(|_| wake_rx.try_clone());
        drop(spare.collect::<io::Result<Vec<_>>>().map_err(|error| no_threads(&error))?);
        let mut memory = Vec::<u8>::new();
        memory.try_reserve_exact(2 * STACK).map_err(|_| LocalError::Threads(Errno::ENOMEM))?;
        drop(memory);
        let (sender, events) = mpsc::channel();
        let max_threads = (Descriptors::raise().lookups / DESCRIPTORS).clamp(1, THREADS);
        let queue = Queue { names: VecDeque::new(), threads: 0, closed: false };
        let queue = Arc::new(Mutex::new(queue));
        let lookups = Self { queue, events, wake_rx, wake_tx, sender, family, max_threads };
        lookups.add(names)?;
        Ok(lookups)
    }

    /// Looks up more names, or some of them again, while others are being looked up. Each id that
    /// is added gets one result: [`LookupEvent::Ended`]. Add an id again only after its result, so
    /// that names do not accumulate while the name service does not answer.
    ///
    /// # Errors
    ///
    /// Returns an error if no thread can be started. Then the names wait for the next call.
    pub fn add(&self, names: Vec<(u32, Box<str>)>) -> Result<(), LocalError> {
        let mut queue = lock(&self.queue);
        queue.add(names);
        let wanted = self.max_threads.min(queue.threads + queue.names.len());
        while queue.threads < wanted {
            match self.start_thread() {
                Ok(()) => queue.threads += 1,
                Err(error) if queue.threads == 0 => return Err(error),
                Err(_) => break, // the threads that exist look up all names
            }
        }
        Ok(())
    }

    fn start_thread(&self) -> Result<(), LocalError> {
        let (queue, family) = (Arc::clone(&self.queue), self.family);
        let wake_tx = self.wake_tx.try_clone().map_err(|error| no_threads(&error))?;
        let mut reporter = Reporter { sender: self.sender.clone(), wake_tx };
        let thread = thread::Builder::new().name("name look-up".to_owned()).stack_size(STACK);
        let look_up_all = move || {
            while let Some((ids, found)) = next(&queue, family, &mut reporter) {
                reporter.report(&ids, |id| LookupEvent::Ended(id, found.clone()));
            }
        };
        thread.spawn(look_up_all).map(drop).map_err(|error| no_threads(&error))
    }

    /// Lets no look-up begin any more. Returns the ids of names that were not looked up, and what
    /// this machine was short of, if that was why.
    pub fn close(&mut self) -> Vec<(u32, Option<LocalError>)> {
        let mut queue = lock(&self.queue);
        queue.closed = true;
        let left = mem::take(&mut queue.names).into_iter();
        let each = |Waiting { ids, local_error, .. }: Waiting| {
            ids.into_iter().map(move |id| (id, local_error.clone()))
        };
        left.flat_map(each).collect()
    }

    /// Returns the next event.
    pub fn poll(&mut self) -> Option<LookupEvent> {
        let _ = self.wake_rx.read(&mut [0; 64]);
        self.events.try_recv().ok()
    }
}

impl AsFd for Lookups {
    /// Returns a descriptor that can be read when there is an event.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake_rx.as_fd()
    }
}

/// Returns the index of the interface after the `%` of a link-local address, which is given by name
/// or by index (RFC 4007 §11.2).
///
/// # Errors
///
/// Returns [`LocalError::Interface`] if there is none.
pub fn interface_index(scope: &str) -> Result<u32, LocalError> {
    // nix returns an empty name if if_indextoname() fails.
    let exists = |index: &u32| if_indextoname(*index).is_ok_and(|name| !name.is_empty());
    let by_number = scope.parse().ok().filter(exists);
    by_number
        .or_else(|| if_nametoindex(scope).ok())
        .ok_or_else(|| LocalError::Interface(scope.to_owned()))
}

/// How a thread tells the owner of the look-ups what it does.
struct Reporter {
    sender: mpsc::Sender<LookupEvent>,
    wake_tx: UnixStream,
}

impl Reporter {
    /// Reports an event for each of these ids.
    fn report(&mut self, ids: &[u32], event: impl Fn(u32) -> LookupEvent) {
        // A full stream can be read already, and nothing is read after the last verdict.
        for id in ids {
            let _ = self.sender.send(event(*id));
        }
        let _ = self.wake_tx.write(&[0]);
    }
}

/// Looks up the next name of `queue`. Puts it back if this machine is short of something and the
/// queue is not closed.
fn next(
    queue: &Mutex<Queue>,
    family: Family,
    reporter: &mut Reporter,
) -> Option<(Vec<u32>, Addresses)> {
    loop {
        let Waiting { ids, name, .. } = {
            let mut queue = lock(queue);
            let next = queue.pop()?;
            // A name that is no longer in the queue is known to have begun.
            reporter.report(&next.ids, LookupEvent::Began);
            next
        };
        let found = look_up(&name, family);
        let Err(NoAddress::Unusable(NoVerdict::LocalError(local_error @ LocalError::Lookup(_)))) =
            &found
        else {
            return Some((ids, found));
        };
        let mut queue = lock(queue);
        if queue.closed {
            return Some((ids, found));
        }
        queue.names.push_back(Waiting { ids, name, local_error: Some(local_error.clone()) });
        drop(queue);
        thread::sleep(SHORTAGE);
    }
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Queue {
    /// Adds names, each once, with all of its ids.
    fn add(&mut self, names: Vec<(u32, Box<str>)>) {
        let waiting = self.names.iter().enumerate();
        let mut known: HashMap<Box<str>, usize> =
            waiting.map(|(at, waiting)| (waiting.name.clone(), at)).collect();
        for (id, name) in names {
            if let Some(at) = known.get(&name) {
                self.names[*at].ids.push(id);
            } else {
                known.insert(name.clone(), self.names.len());
                self.names.push_back(Waiting { ids: vec![id], name, local_error: None });
            }
        }
    }

    /// Takes the next name. If there is none, the calling thread counts as ended.
    fn pop(&mut self) -> Option<Waiting> {
        let next = self.names.pop_front();
        self.threads -= usize::from(next.is_none());
        next
    }
}

fn no_threads(error: &io::Error) -> LocalError {
    LocalError::Threads(errno(error))
}

fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use std::iter;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    /// Addresses in words, which the C library knows without asking anybody.
    #[test]
    fn names_can_be_looked_up_again_and_others_too() {
        let address = |last: u8| format!("127.0.0.{last}");
        let name = |last| (u32::from(last), address(last).into());
        let mut lookups = Lookups::start(vec![name(1), name(2)], Family::Any).unwrap();
        assert_eq!(results(&mut lookups, 2), [(1, address(1)), (2, address(2))]);
        for round in 1..100 {
            lookups.add(vec![name(round), name(round + 1), name(round)]).unwrap();
            let wanted = [round, round, round + 1].map(|last| (u32::from(last), address(last)));
            assert_eq!(results(&mut lookups, 3), wanted);
        }
        assert_eq!(lookups.poll(), None);
    }

    /// So many results, sorted.
    fn results(lookups: &mut Lookups, count: usize) -> Vec<(u32, String)> {
        let mut results = Vec::new();
        while results.len() < count {
            let mut wake_rx = [PollFd::new(lookups.as_fd(), PollFlags::POLLIN)];
            assert_eq!(poll(&mut wake_rx, PollTimeout::NONE), Ok(1));
            let result = |event| match event {
                LookupEvent::Began(_) => None,
                LookupEvent::Ended(id, found) => Some((id, found.unwrap()[0].ip().to_string())),
            };
            results.extend(iter::from_fn(|| lookups.poll()).filter_map(result));
        }
        results.sort();
        results
    }
}
