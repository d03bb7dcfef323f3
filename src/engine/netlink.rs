//! What the kernel knows of routes and neighbours, asked by rtnetlink(7). That takes no privilege.
//!
//! Written by hand: netlink-packet-route adds 800 KiB to the program, for a few fixed questions.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeFrom;
use std::os::fd::AsRawFd;
use std::{fs, io, iter};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{MsgFlags, recv};
use socket2::{Domain, Protocol, Socket, Type};

use super::sockets::{self, errno, port_less};
use crate::local_error::LocalError;

/// Questions that are sent together: their answers fit in the default receive buffer.
const BATCH: usize = 64;

/// More than any answer takes, bytes.
const ANSWER: usize = 1024;

/// The most that the kernel puts in a message of a list, bytes (`netlink_dump()`).
const DUMPED: usize = 32 << 10;

/// `struct nlmsghdr`, bytes.
const HEADER: usize = 16;
/// `struct rtmsg` and `struct ndmsg`, bytes.
const BODY: usize = 12;

// Those of `linux/rtnetlink.h` and `linux/fib_rules.h` that libc lacks for some targets.
const RTA_VIA: u16 = 18;
const RTA_IP_PROTO: u16 = 27;
const RTA_SPORT: u16 = 28;
const RTA_DPORT: u16 = 29;
const FRA_SPORT_RANGE: u16 = 23;
const FRA_DPORT_RANGE: u16 = 24;
const NDTA_STATS: u16 = 7;
/// Where `ndts_table_fulls` stands in `struct ndt_stats`.
const TABLE_FULLS: RangeFrom<usize> = 80..;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const REQUEST: u16 = 1;
const DUMP: u16 = 0x300;

/// What routing looks at: a TCP segment that is about to leave.
#[derive(Clone, Copy)]
pub(super) struct Flow {
    /// Port 0: as for segments of raw sockets, whose ports routing does not see.
    pub(super) to: SocketAddr,
    pub(super) from: Option<IpAddr>,
    pub(super) from_port: u16,
    pub(super) traits: Traits,
}

/// What routing sees of a segment besides where it goes and comes from: what its socket says.
/// (Whose socket it is, too; the kernel takes that to be whoever asks.)
#[derive(Clone, Copy)]
pub(super) struct Traits {
    /// Index of the interface that the socket is bound to; 0 for none.
    pub(super) device: u32,
    pub(super) mark: u32,
    /// Type of service or traffic class.
    pub(super) class: u8,
}

/// The way that a segment takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Route {
    /// `RTN_UNICAST` and its like.
    pub(super) kind: u8,
    /// Index of the interface.
    pub(super) device: u32,
    pub(super) gateway: Option<IpAddr>,
    /// The address that the kernel chose where the flow had none.
    pub(super) source: Option<IpAddr>,
}

/// The kernel, at the other end of a socket.
pub(super) struct Netlink {
    socket: Socket,
    sequence: Cell<u32>,
}

impl Netlink {
    pub(super) fn open() -> Result<Self, LocalError> {
        let family = Domain::from(libc::AF_NETLINK);
        let protocol = Protocol::from(libc::NETLINK_ROUTE);
        let socket = Socket::new(family, Type::RAW, Some(protocol))
            .map_err(|error| LocalError::RoutingTable(errno(&error)))?;
        Ok(Self { socket, sequence: Cell::new(0) })
    }

    /// The way of each flow, or the error with which the kernel refuses it one (`RTM_GETROUTE`).
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

    /// The way of one flow.
    pub(super) fn route(&self, flow: Flow) -> Result<Result<Route, Errno>, LocalError> {
        let routes = self.routes(&[flow])?;
        Ok(routes.into_iter().next().expect("one for each flow"))
    }

    /// The state of the neighbour with that address (`NUD_REACHABLE` and its like), or why there is
    /// none (`RTM_GETNEIGH`).
    pub(super) fn neighbour(
        &self,
        address: IpAddr,
        device: u32,
    ) -> Result<Result<u16, Errno>, LocalError> {
        let mut body = [0; BODY];
        body[0] = family(address);
        body[4..8].copy_from_slice(&device.to_ne_bytes());
        let mut request = body.to_vec();
        push_address(&mut request, libc::NDA_DST, address);
        let mut state = Err(Errno::ENOENT);
        self.ask(libc::RTM_GETNEIGH, [request].into_iter(), |answer| {
            state = answer.map(|body| u16_at(body, 8));
        })?;
        Ok(state)
    }

    /// Whether any of the rules of routing, or the choice between next hops, looks at ports or at
    /// source addresses (`RTM_GETRULE`, `fib_multipath_hash_policy`).
    pub(super) fn ports_or_sources_count(&self, domain: Domain) -> Result<bool, LocalError> {
        let (name, family) = match domain {
            Domain::IPV4 => ("ipv4", libc::AF_INET),
            _ => ("ipv6", libc::AF_INET6),
        };
        // Without `/proc`, they may.
        let policy = fs::read(format!("/proc/sys/net/{name}/fib_multipath_hash_policy"));
        if policy.ok().is_none_or(|policy| policy != b"0\n") {
            return Ok(true);
        }
        let mut body = [0; BODY];
        body[0] = family.to_le_bytes()[0];
        let mut count = false;
        self.list(libc::RTM_GETRULE, &body, |rule| {
            let (head, options) = rule.split_at_checked(BODY).unwrap_or_default();
            let by_source = head.get(2).is_none_or(|length| *length > 0);
            let ports = [FRA_SPORT_RANGE, FRA_DPORT_RANGE];
            count |= by_source || attributes(options).any(|(kind, _)| ports.contains(&kind));
        })?;
        Ok(count)
    }

    /// How often this machine's neighbour tables have been too full to send something, since it
    /// began (`RTM_GETNEIGHTBL`).
    pub(super) fn neighbour_overflows(&self) -> Result<u64, LocalError> {
        let mut overflows = 0_u64;
        self.list(libc::RTM_GETNEIGHTBL, &[0; 4], |table| {
            let statistics = attributes(table.get(4..).unwrap_or_default())
                .find_map(|(kind, value)| (kind == NDTA_STATS).then_some(value));
            let full = statistics.and_then(|value| value.get(TABLE_FULLS)?.first_chunk());
            overflows = overflows.wrapping_add(full.map_or(0, |full| u64::from_ne_bytes(*full)));
        })?;
        Ok(overflows)
    }

    /// Asks for a list; hands over what follows the header of each of its messages.
    fn list(&self, kind: u16, body: &[u8], mut take: impl FnMut(&[u8])) -> Result<(), LocalError> {
        let sequence = self.sequence.get();
        self.sequence.set(sequence.wrapping_add(1));
        let request = message(kind, REQUEST | DUMP, sequence, body);
        self.socket.send(&request).map_err(|error| LocalError::RoutingTable(errno(&error)))?;
        let mut buffer = vec![0; DUMPED];
        loop {
            let length = recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty())
                .map_err(LocalError::RoutingTable)?;
            let mut rest = &buffer[..length];
            while rest.len() >= HEADER {
                let message = rest.get(HEADER..u32_at(rest, 0) as usize);
                let message = message.ok_or(LocalError::RoutingTable(Errno::EBADMSG))?;
                let end = HEADER + message.len();
                match u16_at(rest, 4) {
                    _ if u32_at(rest, 8) != sequence => {} // of another list, which was given up
                    DONE => return Ok(()),
                    ERROR => return Err(LocalError::RoutingTable(Errno::EOPNOTSUPP)),
                    _ => take(message),
                }
                rest = rest.get(end.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }

    /// Sends the requests together; hands over what follows the header of each answer, in their
    /// order.
    fn ask(
        &self,
        kind: u16,
        requests: impl ExactSizeIterator<Item = Vec<u8>>,
        mut take: impl FnMut(Result<&[u8], Errno>),
    ) -> Result<(), LocalError> {
        let mut wanted = self.sequence.get();
        let mut next = wanted;
        let mut bytes = Vec::with_capacity(requests.len() * 128);
        for request in requests {
            bytes.extend(message(kind, REQUEST, next, &request));
            next = next.wrapping_add(1);
        }
        self.sequence.set(next);
        self.socket.send(&bytes).map_err(|error| LocalError::RoutingTable(errno(&error)))?;
        // The kernel has answered when `send()` returns (`netlink_rcv_skb()`).
        while wanted != next {
            let mut buffer = [0; ANSWER];
            let length = recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT)
                .map_err(LocalError::RoutingTable)?;
            let message = &buffer[..length];
            if length < HEADER + BODY || u32_at(message, 8) != wanted {
                continue; // the rest of an answer that was given up
            }
            wanted = wanted.wrapping_add(1);
            let body = &message[HEADER..];
            take(if u16_at(message, 4) == ERROR {
                Err(Errno::from_raw(i32_at(body, 0).wrapping_neg()))
            } else {
                Ok(body)
            });
        }
        Ok(())
    }
}

impl Traits {
    /// Those of what `socket` sends, whoever has set them.
    pub(super) fn of(socket: &Socket) -> Result<Self, LocalError> {
        let domain = socket.local_addr().map_err(setup)?.domain();
        let class = match domain {
            Domain::IPV4 => socket.tos_v4(),
            _ => socket.tclass_v6(),
        };
        Ok(Self {
            device: sockets::device(socket)?,
            mark: socket.mark().map_err(setup)?,
            class: class.map_err(setup)?.to_le_bytes()[0],
        })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn setup(error: io::Error) -> LocalError {
    LocalError::SocketSetup(errno(&error))
}

impl Flow {
    /// The same as a raw socket sends it.
    pub(super) fn without_ports(&self) -> Self {
        Self { to: port_less(self.to), ..*self }
    }

    /// `struct rtmsg` and its attributes.
    fn request(&self) -> Vec<u8> {
        let Traits { device, mark, class } = self.traits;
        let length = if self.to.is_ipv4() { 32 } else { 128 };
        let mut body = [0; BODY];
        body[0] = family(self.to.ip());
        body[1] = length;
        body[2] = if self.from.is_some() { length } else { 0 };
        body[3] = class;
        let mut request = Vec::with_capacity(96);
        request.extend(body);
        push_address(&mut request, libc::RTA_DST, self.to.ip());
        if let Some(from) = self.from {
            push_address(&mut request, libc::RTA_SRC, from);
        }
        let device = if device == 0 { scope(self.to) } else { device };
        if device != 0 {
            push(&mut request, libc::RTA_OIF, &device.to_ne_bytes());
        }
        if mark != 0 {
            push(&mut request, libc::RTA_MARK, &mark.to_ne_bytes());
        }
        push(&mut request, RTA_IP_PROTO, &[libc::IPPROTO_TCP.to_le_bytes()[0]]);
        if self.to.port() != 0 {
            push(&mut request, RTA_SPORT, &self.from_port.to_be_bytes());
            push(&mut request, RTA_DPORT, &self.to.port().to_be_bytes());
        }
        request
    }
}

impl Route {
    /// True where the other end is this machine itself.
    pub(super) fn is_local(&self) -> bool {
        self.kind == libc::RTN_LOCAL
    }

    /// True where both lead to the same next hop.
    pub(super) fn leads_like(&self, other: &Self) -> bool {
        (self.kind, self.device, self.gateway) == (other.kind, other.device, other.gateway)
    }

    /// Reads `struct rtmsg` and its attributes.
    fn read(body: &[u8]) -> Self {
        let mut route = Self { kind: body[7], device: 0, gateway: None, source: None };
        for (kind, value) in attributes(&body[BODY..]) {
            match kind {
                libc::RTA_OIF if value.len() == 4 => route.device = u32_at(value, 0),
                libc::RTA_GATEWAY => route.gateway = address(value),
                RTA_VIA => route.gateway = value.get(2..).and_then(address), // behind its family
                libc::RTA_PREFSRC => route.source = address(value),
                _ => {}
            }
        }
        route
    }
}

/// `struct nlmsghdr` and what follows it.
fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + body.len()).expect("a short message");
    let mut message = Vec::with_capacity(HEADER + body.len());
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend([0; 4]);
    message.extend(body);
    message
}

/// The attributes in `bytes` (`struct rtattr`), by number.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    iter::from_fn(move || {
        let length = usize::from(u16_at(bytes.get(..4)?, 0));
        let value = bytes.get(4..length)?;
        let kind = u16_at(bytes, 2);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn push_address(message: &mut Vec<u8>, kind: u16, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => push(message, kind, &v4.octets()),
        IpAddr::V6(v6) => push(message, kind, &v6.octets()),
    }
}

/// Adds an attribute (`struct rtattr`).
fn push(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).expect("a short attribute");
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn family(address: IpAddr) -> u8 {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    family.to_le_bytes()[0]
}

/// The interface on whose link `to` is; for link-local addresses alone the scope means something.
pub(super) fn scope(to: SocketAddr) -> u32 {
    match to {
        SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() => v6.scope_id(),
        _ => 0,
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    u32_at(bytes, at).cast_signed()
}
