//! Names and interfaces to addresses: the only name look-up.

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

/// Look-ups under way at once: so many names may hang before others have to wait for them.
const THREADS: usize = 128;

/// Descriptors that one of them takes at most: two sockets, a file of the name service, and a copy
/// of the bell.
const DESCRIPTORS: usize = 5;

/// And what everybody else may open meanwhile.
const OTHERS: usize = 8;

/// How long a thread rests after a look-up that this machine was short of something for.
const SHORTAGE: Duration = Duration::from_millis(20);

/// What a look-up needs of a stack, with room to spare, bytes.
const STACK: usize = 512 << 10;

/// The addresses of a name, without ports, in the resolver's order: at least one.
pub type Addresses = Result<Vec<SocketAddr>, NoAddress>;

/// Why a name gave no address to probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAddress {
    /// It does not resolve: a verdict on its targets.
    NotResolved(LookupFailure),
    /// It may have addresses, but nothing can be learnt of its targets.
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

/// Name look-ups on threads of their own. The system's name service may hang for as long as it
/// likes: what is not done when nobody waits any more is left behind, and ends with the program.
pub struct Lookups {
    queue: Arc<Mutex<Queue>>,
    results: mpsc::Receiver<(u32, Addresses)>,
    bell: UnixStream,
    /// What threads report by.
    ring: UnixStream,
    sender: mpsc::Sender<(u32, Addresses)>,
    family: Family,
    /// Threads at most.
    affordable: usize,
}

/// Names that are to be looked up.
struct Queue {
    names: VecDeque<Waiting>,
    /// Threads, each of which looks a name up. One ends when no name is left.
    threads: usize,
    /// When no look-up may begin any more.
    closed: bool,
}

/// A name, the numbers that it is known by, and what this machine was short of when it was looked
/// up before.
struct Waiting {
    ids: Vec<u32>,
    name: Box<str>,
    local_error: Option<LocalError>,
}

impl Lookups {
    /// Begins to look up `names`, each known by a number; one that is there several times, once.
    pub fn start(names: Vec<(u32, Box<str>)>, family: Family) -> Result<Self, LocalError> {
        let (bell, ring) = UnixStream::pair().map_err(|error| no_threads(&error))?;
        bell.set_nonblocking(true).map_err(|error| no_threads(&error))?;
        ring.set_nonblocking(true).map_err(|error| no_threads(&error))?;
        // A name service that lacks something does not say so: a file that it cannot open is empty
        // to it.
        let spare = (0..DESCRIPTORS + OTHERS).map(|_| bell.try_clone());
        drop(spare.collect::<io::Result<Vec<_>>>().map_err(|error| no_threads(&error))?);
        let mut memory = Vec::<u8>::new();
        memory.try_reserve_exact(2 * STACK).map_err(|_| LocalError::Threads(Errno::ENOMEM))?;
        drop(memory);
        let (sender, results) = mpsc::channel();
        let affordable = (Descriptors::raise().lookups / DESCRIPTORS).clamp(1, THREADS);
        let queue = Queue { names: VecDeque::new(), threads: 0, closed: false };
        let queue = Arc::new(Mutex::new(queue));
        let lookups = Self { queue, results, bell, ring, sender, family, affordable };
        lookups.add(names)?;
        Ok(lookups)
    }

    /// Looks up more names, or some of them again, while others are being looked up. There is one
    /// result for each time that a number was given. Give one again when its result is there: names
    /// that the name service is silent about would pile up otherwise.
    ///
    /// # Errors
    ///
    /// Returns an error if no thread can be started. The names wait until the next call then.
    pub fn add(&self, names: Vec<(u32, Box<str>)>) -> Result<(), LocalError> {
        let mut queue = lock(&self.queue);
        queue.add(names);
        let wanted = self.affordable.min(queue.threads + queue.names.len());
        while queue.threads < wanted {
            match self.start_thread() {
                Ok(()) => queue.threads += 1,
                Err(error) if queue.threads == 0 => return Err(error),
                Err(_) => break, // those there are will do
            }
        }
        Ok(())
    }

    fn start_thread(&self) -> Result<(), LocalError> {
        let (queue, sender, family) = (Arc::clone(&self.queue), self.sender.clone(), self.family);
        let mut ring = self.ring.try_clone().map_err(|error| no_threads(&error))?;
        let thread = thread::Builder::new().name("name look-up".to_owned()).stack_size(STACK);
        let look_up_all = move || {
            while let Some((ids, found)) = next(&queue, family) {
                // A full stream has rung already; nobody listens once the program has its verdicts.
                for id in ids {
                    let _ = sender.send((id, found.clone()));
                }
                let _ = ring.write(&[0]);
            }
        };
        thread.spawn(look_up_all).map(drop).map_err(|error| no_threads(&error))
    }

    /// No look-up begins any more. Gives the names whose look-up has not begun, or has failed for
    /// want of something on this machine.
    pub fn close(&mut self) -> Vec<(u32, Option<LocalError>)> {
        let mut queue = lock(&self.queue);
        queue.closed = true;
        let left = mem::take(&mut queue.names).into_iter();
        let each = |Waiting { ids, local_error, .. }: Waiting| {
            ids.into_iter().map(move |id| (id, local_error.clone()))
        };
        left.flat_map(each).collect()
    }

    /// A look-up that has ended since.
    pub fn poll(&mut self) -> Option<(u32, Addresses)> {
        let _ = self.bell.read(&mut [0; 64]);
        self.results.try_recv().ok()
    }
}

impl AsFd for Lookups {
    /// Can be read when a look-up has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

/// The number of the interface behind the `%` of a link-local address, given by name or by number
/// (RFC 4007 §11.2).
pub fn interface_index(scope: &str) -> Result<u32, LocalError> {
    // if_indextoname() of nix takes a failure for an empty name.
    let exists = |index: &u32| if_indextoname(*index).is_ok_and(|name| !name.is_empty());
    let by_number = scope.parse().ok().filter(exists);
    by_number
        .or_else(|| if_nametoindex(scope).ok())
        .ok_or_else(|| LocalError::Interface(scope.to_owned()))
}

/// Looks up the next name of `queue`; puts it back where this machine is short of something, as
/// long as there is time.
fn next(queue: &Mutex<Queue>, family: Family) -> Option<(Vec<u32>, Addresses)> {
    loop {
        let Waiting { ids, name, .. } = lock(queue).pop()?;
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
    /// Adds names, each once, with all numbers that it is known by.
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

    /// Takes the next name. Without one, the thread that asks has to end.
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
            let mut bell = [PollFd::new(lookups.as_fd(), PollFlags::POLLIN)];
            assert_eq!(poll(&mut bell, PollTimeout::NONE), Ok(1));
            results.extend(iter::from_fn(|| lookups.poll()));
        }
        let first = |found: Addresses| found.unwrap()[0].ip().to_string();
        let mut results: Vec<_> =
            results.into_iter().map(|(id, found)| (id, first(found))).collect();
        results.sort();
        results
    }
}
