//! Asks the kernel about routes and neighbours by rtnetlink(7), which takes no privilege.
//!
//! Written by hand, because netlink-packet-route adds 800 KiB to the program for a few fixed
//! requests.

mod flow;
mod hops;
mod interface;
mod listener;
mod message;
mod multipath;
mod neighbour;
mod ranges;
mod rule;

use std::cell::{Cell, RefCell};
use std::io::IoSliceMut;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recv, recvmmsg};
use socket2::{Domain, Protocol, Socket, Type};

pub(super) use self::flow::{Flow, Route, SocketOptions, scope};
pub(super) use self::hops::Hop;
pub(super) use self::listener::Listener;
pub(super) use self::neighbour::Neighbour;
pub(super) use self::ranges::{Prefix, RouteList};

use self::message::{BODY, HEADER, family, i32_at, message, push, push_address, u16_at, u32_at};
use self::multipath::HashPolicies;
use super::sockets::errno;
use crate::local_error::LocalError;

/// The number of requests that are sent together: their answers fit in the default receive buffer.
const BATCH: usize = 64;

/// From this number of answers on, it pays off to receive them together.
const MANY: usize = 4;

/// The length of the longest answer in bytes, rounded up.
const MAX_ANSWER: usize = 1024;

/// Room for a batch of answers, and for the longest message of a list: 32 KiB (`netlink_dump()`).
const BUFFER: usize = BATCH * MAX_ANSWER;

/// How much of the list of routes is read, in bytes: some thousand routes, which takes the kernel a
/// few milliseconds.
const MAX_ROUTES: usize = 512 << 10;

// `NLMSG_ERROR`, `NLMSG_DONE`, `NLM_F_REQUEST` and `NLM_F_DUMP` in the types of the header.
const ERROR: u16 = 2;
const DONE: u16 = 3;
const REQUEST: u16 = 1;
const DUMP: u16 = 0x300;

/// A socket to the kernel's routing, or to its list of sockets.
pub(super) struct Netlink {
    socket: Socket,
    sequence: Cell<u32>,
    policies: HashPolicies,
    /// Where long lists and many answers are written.
    buffer: RefCell<Vec<u8>>,
}

impl Netlink {
    /// Opens the socket.
    pub(super) fn open() -> Result<Self, LocalError> {
        Self::open_protocol(libc::NETLINK_ROUTE)
    }

    /// Opens a socket to the part of the kernel that `protocol` names.
    fn open_protocol(protocol: libc::c_int) -> Result<Self, LocalError> {
        let family = Domain::from(libc::AF_NETLINK);
        let protocol = Protocol::from(protocol);
        let socket = Socket::new(family, Type::RAW, Some(protocol))
            .map_err(|error| LocalError::RoutingTable(errno(&error)))?;
        let (sequence, buffer) = (Cell::default(), RefCell::default());
        Ok(Self { socket, sequence, policies: HashPolicies::default(), buffer })
    }

    /// Returns the route of each flow, or the kernel's error if it has none (`RTM_GETROUTE`).
    pub(super) fn routes(&self, flows: &[Flow]) -> Result<Vec<Result<Route, Errno>>, LocalError> {
        let mut routes = Vec::with_capacity(flows.len());
        for flows in flows.chunks(BATCH) {
            let requests = flows.iter().map(Flow::request);
            self.ask(libc::RTM_GETROUTE, requests, |answer| {
                routes.push(answer.map(Route::read));
            })?;
        }
        Ok(routes)
    }

    /// Returns the route of one flow.
    pub(super) fn route(&self, flow: Flow) -> Result<Result<Route, Errno>, LocalError> {
        let routes = self.routes(&[flow])?;
        Ok(routes.into_iter().next().expect("one for each flow"))
    }

    /// Returns the route of a segment of `flow` that arrives by the interface with the index
    /// `device`, or the kernel's error if it would drop it (`ip_route_input_rcu()`).
    pub(super) fn input_route(
        &self,
        flow: Flow,
        device: u32,
    ) -> Result<Result<Route, Errno>, LocalError> {
        let mut request = flow.request();
        push(&mut request, libc::RTA_IIF, &device.to_ne_bytes());
        let mut route = Err(Errno::ENOENT);
        self.ask(libc::RTM_GETROUTE, [request].into_iter(), |answer| {
            route = answer.map(Route::read);
        })?;
        Ok(route)
    }

    /// Returns a neighbour, or the kernel's error if it knows none with that address
    /// (`RTM_GETNEIGH`).
    pub(super) fn neighbour(
        &self,
        address: IpAddr,
        device: u32,
    ) -> Result<Result<Neighbour, Errno>, LocalError> {
        let mut body = [0; BODY];
        body[0] = family(address);
        body[4..8].copy_from_slice(&device.to_ne_bytes());
        let mut request = body.to_vec();
        push_address(&mut request, libc::NDA_DST, address);
        let mut neighbour = Err(Errno::ENOENT);
        self.ask(libc::RTM_GETNEIGH, [request].into_iter(), |answer| {
            neighbour = answer.map(Neighbour::read);
        })?;
        Ok(neighbour)
    }

    /// Returns the neighbours whose state may have changed within the last `time`.
    pub(super) fn changed_neighbours(&self, time: Duration) -> Result<Vec<Neighbour>, LocalError> {
        let mut changed = Vec::new();
        self.list(libc::RTM_GETNEIGH, &[0; BODY], usize::MAX, |entry| {
            let neighbour = Neighbour::read(entry);
            changed.extend(neighbour.may_have_changed_within(time).then_some(neighbour));
        })?;
        Ok(changed)
    }

    /// Returns the next hops of every route to `to`, whether the kernel would choose it now or not.
    /// Some are missing if there are very many routes.
    pub(super) fn hops(to: IpAddr) -> Result<Vec<Hop>, LocalError> {
        let mut body = [0; BODY];
        body[0] = family(to);
        let mut found = Vec::new();
        // On a socket of its own, because the list may not be read to its end.
        Self::open()?.list(libc::RTM_GETROUTE, &body, MAX_ROUTES, |route| {
            hops::find(route, to, &mut found);
        })?;
        Ok(found)
    }

    /// Returns how often this machine's neighbour tables have had no room for an entry since it
    /// started (`RTM_GETNEIGHTBL`).
    pub(super) fn neighbour_overflows(&self) -> Result<u64, LocalError> {
        let mut sum = 0_u64;
        self.list(libc::RTM_GETNEIGHTBL, &[0; 4], usize::MAX, |table| {
            sum = sum.wrapping_add(neighbour::overflows(table));
        })?;
        Ok(sum)
    }

    /// Requests a list, and calls `take` with what follows the header of each of its messages,
    /// until `limit` bytes have been read. Returns true if that is all. If not, the next list needs
    /// another socket.
    fn list(
        &self,
        kind: u16,
        body: &[u8],
        limit: usize,
        mut take: impl FnMut(&[u8]),
    ) -> Result<bool, LocalError> {
        let sequence = self.sequence.get();
        self.sequence.set(sequence.wrapping_add(1));
        let request = message(kind, REQUEST | DUMP, sequence, body);
        self.socket.send(&request).map_err(|error| LocalError::RoutingTable(errno(&error)))?;
        let mut buffer = self.buffer.borrow_mut();
        allocate(&mut buffer);
        let mut total = 0;
        while total < limit {
            let length = recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty())
                .map_err(LocalError::RoutingTable)?;
            total += length;
            let mut rest = &buffer[..length];
            while rest.len() >= HEADER {
                let message = rest.get(HEADER..u32_at(rest, 0) as usize);
                let message = message.ok_or(LocalError::RoutingTable(Errno::EBADMSG))?;
                let end = HEADER + message.len();
                match u16_at(rest, 4) {
                    // Of an earlier list that was not read to its end.
                    _ if u32_at(rest, 8) != sequence => {}
                    DONE => return Ok(true),
                    ERROR => return Err(LocalError::RoutingTable(Errno::EOPNOTSUPP)),
                    _ => take(message),
                }
                rest = rest.get(end.next_multiple_of(4)..).unwrap_or_default();
            }
        }
        Ok(false)
    }

    /// Sends the requests together, and calls `take` with what follows the header of each answer,
    /// in their order.
    fn ask(
        &self,
        kind: u16,
        requests: impl ExactSizeIterator<Item = Vec<u8>>,
        mut take: impl FnMut(Result<&[u8], Errno>),
    ) -> Result<(), LocalError> {
        let wanted = Cell::new(self.sequence.get());
        let mut next = wanted.get();
        let mut bytes = Vec::with_capacity(requests.len() * 128);
        for request in requests {
            bytes.extend(message(kind, REQUEST, next, &request));
            next = next.wrapping_add(1);
        }
        self.sequence.set(next);
        self.socket.send(&bytes).map_err(|error| LocalError::RoutingTable(errno(&error)))?;
        let mut read = |message: &[u8]| {
            if message.len() < HEADER + BODY || u32_at(message, 8) != wanted.get() {
                return; // of an earlier request whose answer was not read
            }
            wanted.set(wanted.get().wrapping_add(1));
            let body = &message[HEADER..];
            take(if u16_at(message, 4) == ERROR {
                Err(Errno::from_raw(i32_at(body, 0).wrapping_neg()))
            } else {
                Ok(body)
            });
        };
        // The kernel has answered when `send()` returns (`netlink_rcv_skb()`).
        while wanted.get() != next {
            let left = next.wrapping_sub(wanted.get()) as usize;
            if left < MANY {
                let mut buffer = [0; MAX_ANSWER];
                let length = recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT)
                    .map_err(LocalError::RoutingTable)?;
                read(&buffer[..length]);
            } else {
                self.receive(left, &mut read)?;
            }
        }
        Ok(())
    }

    /// Receives at most `count` answers with one system call.
    fn receive(&self, count: usize, mut read: impl FnMut(&[u8])) -> Result<(), LocalError> {
        let mut buffer = self.buffer.borrow_mut();
        allocate(&mut buffer);
        let parts = buffer.chunks_exact_mut(MAX_ANSWER).take(count);
        let mut parts: Vec<_> = parts.map(|part| [IoSliceMut::new(part)]).collect();
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(count, None);
        let flags = MsgFlags::MSG_DONTWAIT;
        let answers = recvmmsg(self.socket.as_raw_fd(), &mut headers, &mut parts, flags, None)
            .map_err(LocalError::RoutingTable)?;
        for answer in answers {
            read(answer.iovs().next().unwrap_or_default());
        }
        Ok(())
    }
}

/// Makes room in `buffer` if there is none yet.
fn allocate(buffer: &mut Vec<u8>) {
    if buffer.is_empty() {
        *buffer = vec![0; BUFFER]; // pages that are not used are never touched
    }
}
