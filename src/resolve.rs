//! Names and interfaces to addresses: the only name look-up.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;
use std::{io, mem, thread};

use dns_lookup::{AddrInfoHints, LookupError, LookupErrorKind, getaddrinfo};
use nix::errno::Errno;
use nix::libc;
use nix::net::if_::{if_indextoname, if_nametoindex};

use crate::descriptors::Descriptors;
use crate::family::{Family, WrongFamily};
use crate::local_error::LocalError;
use crate::target::is_one_host;
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
}

/// Names that are to be looked up.
struct Queue {
    names: VecDeque<Waiting>,
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
        let no_threads = |error: io::Error| LocalError::Threads(errno(&error));
        let (bell, ring) = UnixStream::pair().map_err(no_threads)?;
        bell.set_nonblocking(true).map_err(no_threads)?;
        ring.set_nonblocking(true).map_err(no_threads)?;
        // A name service that lacks something does not say so: a file that it cannot open is empty
        // to it.
        let spare = (0..DESCRIPTORS + OTHERS).map(|_| bell.try_clone());
        drop(spare.collect::<io::Result<Vec<_>>>().map_err(no_threads)?);
        let mut memory = Vec::<u8>::new();
        memory.try_reserve_exact(2 * STACK).map_err(|_| LocalError::Threads(Errno::ENOMEM))?;
        drop(memory);
        let (sender, results) = mpsc::channel();
        let affordable = (Descriptors::raise().lookups / DESCRIPTORS).clamp(1, THREADS);
        let names = each_once(names);
        let threads = names.len().min(affordable);
        let queue = Arc::new(Mutex::new(Queue { names, closed: false }));
        for number in 0..threads {
            let (queue, sender, mut ring) =
                (Arc::clone(&queue), sender.clone(), ring.try_clone().map_err(no_threads)?);
            let thread = thread::Builder::new().name("name look-up".to_owned()).stack_size(STACK);
            let begun = thread.spawn(move || {
                while let Some((ids, found)) = next(&queue, family) {
                    // A full stream has rung already; nobody listens once the program has its
                    // verdicts.
                    for id in ids {
                        let _ = sender.send((id, found.clone()));
                    }
                    let _ = ring.write(&[0]);
                }
            });
            match begun {
                Ok(_) => {}
                Err(error) if number == 0 => return Err(no_threads(error)),
                Err(_) => break, // those there are will do
            }
        }
        Ok(Self { queue, results, bell })
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
        let Waiting { ids, name, .. } = lock(queue).names.pop_front()?;
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

/// The same names, each once, with all numbers that it is known by.
fn each_once(names: Vec<(u32, Box<str>)>) -> VecDeque<Waiting> {
    let mut waiting: VecDeque<Waiting> = VecDeque::new();
    let mut known: HashMap<Box<str>, usize> = HashMap::new();
    for (id, name) in names {
        if let Some(at) = known.get(&name) {
            waiting[*at].ids.push(id);
        } else {
            known.insert(name.clone(), waiting.len());
            waiting.push_back(Waiting { ids: vec![id], name, local_error: None });
        }
    }
    waiting
}

/// The addresses of `name` that are of `family`.
///
/// When a name has none, it may have others: what is at fault then is the family that was asked
/// for.
fn look_up(name: &str, family: Family) -> Addresses {
    let Some(name) = ascii(name) else { return Err(LookupFailure::NotAName.into()) };
    let found = resolve(&name, family);
    if family == Family::Any || found != Err(LookupFailure::NotFound.into()) {
        return found;
    }
    // IPv4 addresses in IPv6 form are among them.
    let (fitting, others): (Vec<_>, Vec<_>) =
        resolve(&name, Family::Any)?.into_iter().partition(|address| family.admits(address.ip()));
    match others.first() {
        Some(other) if fitting.is_empty() => Err(NoAddress::Unusable(NoVerdict::NoAddressFits {
            addresses: others.iter().map(SocketAddr::ip).collect(),
            cause: WrongFamily(other.ip()).into(),
        })),
        _ => Ok(fitting),
    }
}

fn resolve(name: &str, family: Family) -> Addresses {
    let hints = AddrInfoHints {
        address: match family {
            Family::Any => libc::AF_UNSPEC,
            Family::V4 => libc::AF_INET,
            Family::V6 => libc::AF_INET6,
        },
        socktype: libc::SOCK_STREAM,
        ..AddrInfoHints::default()
    };
    let found = getaddrinfo(Some(name), None, Some(hints));
    let addresses = found.map_err(no_address)?.flatten().map(|info| canonical(info.sockaddr));
    let mut known = HashSet::new();
    let (hosts, others): (Vec<_>, Vec<_>) = addresses
        .filter(|address| family.admits(address.ip()) && known.insert(*address))
        .partition(|address| is_one_host(address.ip()));
    match others.first() {
        _ if !hosts.is_empty() => Ok(hosts),
        Some(other) => Err(LookupFailure::NotOneHost(other.ip()).into()),
        None => Err(LookupFailure::NotFound.into()),
    }
}

/// The name as name services know it: an international one in ASCII (UTS #46), but for multicast
/// DNS (RFC 6762 §16).
fn ascii(name: &str) -> Option<Cow<'_, str>> {
    let last = name.trim_end_matches('.').rsplit('.').next();
    let multicast = last.is_some_and(|label| label.eq_ignore_ascii_case("local"));
    if name.is_ascii() || multicast {
        return Some(Cow::Borrowed(name));
    }
    idna::domain_to_ascii(name).ok().map(Cow::Owned)
}

/// IPv4-mapped IPv6 addresses are IPv4 ones.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        v4 @ IpAddr::V4(_) => SocketAddr::new(v4, address.port()),
        IpAddr::V6(_) => address,
    }
}

fn no_address(error: LookupError) -> NoAddress {
    match error.kind() {
        LookupErrorKind::NoName | LookupErrorKind::NoData | LookupErrorKind::Family => {
            LookupFailure::NotFound.into()
        }
        LookupErrorKind::Again => LookupFailure::Temporary.into(),
        LookupErrorKind::Memory => LocalError::Lookup(Errno::ENOMEM).into(),
        LookupErrorKind::System => match errno(&error.into()) {
            errno @ (Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM) => {
                LocalError::Lookup(errno).into()
            }
            _ => LookupFailure::Failed.into(),
        },
        _ => LookupFailure::Failed.into(),
    }
}

fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw)
}
