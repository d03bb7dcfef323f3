//! Sends echo requests, and receives the replies.

use std::hash::{BuildHasher, RandomState};
use std::io::IoSliceMut;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, RecvMsg, SockaddrStorage, recvmsg, sendto, setsockopt, sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};

use super::per_family::PerFamily;
use super::recv::{self, Received};
use super::sockets::{self, errno, port_less};
use super::{Egress, filter};
use crate::event::Event;
use crate::local_error::{LocalError, is_refusal};
use crate::question::{CannotAsk, Question};
use crate::wire::{Echo, ipv4};

/// The most replies that are read before it is another socket's turn.
const BATCH: usize = 64;

/// Room for one message: the longest IPv4 header and a reply to one of our requests. A longer
/// message is not one, so it may be cut.
const LONGEST: usize = 60 + Echo::LENGTH + 1;

/// Sends echo requests and receives the replies, for one address family.
///
/// No error that a request causes is reported: that takes `IP_RECVERR`. So no system call fails
/// because of an earlier request.
pub(super) struct PingSocket {
    socket: Socket,
    /// True if each message begins with the IP header.
    has_header: bool,
    identifier: u16,
}

impl PingSocket {
    /// Opens a ping socket, which takes no privilege if `net.ipv4.ping_group_range` covers a group
    /// of the process, or else a raw ICMP socket, which takes `CAP_NET_RAW`.
    pub(super) fn open(domain: Domain, egress: &Egress) -> Result<Self, LocalError> {
        Self::open_as(Type::DGRAM, domain, egress)
            .or_else(|error| Self::open_as(Type::RAW, domain, egress).map_err(|_| error))
    }

    /// Opens a ping socket (`SOCK_DGRAM`), to which the kernel hands only replies with its own
    /// identifier, or a raw ICMP socket.
    fn open_as(kind: Type, domain: Domain, egress: &Egress) -> Result<Self, LocalError> {
        let v4 = domain == Domain::IPV4;
        let protocol = if v4 { Protocol::ICMPV4 } else { Protocol::ICMPV6 };
        let socket = Socket::new(domain, kind, Some(protocol))
            .map_err(|error| LocalError::PingSocket(errno(&error)))?;
        let identifier = (kind == Type::RAW).then(random_identifier);
        if let Some(identifier) = identifier {
            socket
                .attach_filter(&filter::echo_replies(domain, identifier))
                .map_err(|error| LocalError::SocketSetup(errno(&error)))?;
        }
        sockets::apply(egress, &socket, domain)?;
        sockets::bind_interface(egress, &socket)?;
        if v4 {
            setsockopt(&socket, sockopt::Ipv4RecvTtl, &true)
        } else {
            setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)
        }
        .map_err(LocalError::SocketSetup)?;
        // Without timestamps, replies count as arriving when they are read.
        let _ = setsockopt(&socket, sockopt::ReceiveTimestampns, &true);
        let bound = bind(&socket, domain, egress.source)?;
        let has_header = v4 && identifier.is_some();
        Ok(Self { socket, has_header, identifier: identifier.unwrap_or(bound) })
    }

    /// Sends an echo request to `to`, whose port has no meaning, without waiting for room.
    /// `number` comes back with the reply. Returns when the request left.
    pub(super) fn send(&self, to: SocketAddr, number: u32) -> Result<Instant, LocalError> {
        let request = Echo { identifier: self.identifier, number }.request(to.ip());
        let address = SockaddrStorage::from(port_less(to));
        let begun = Instant::now();
        sendto(self.socket.as_raw_fd(), &request, &address, MsgFlags::MSG_DONTWAIT)
            .map_err(|errno| LocalError::SendEcho { to: to.ip(), errno })?;
        Ok(begun)
    }

    /// Fails if the kernel refuses to say what has arrived: the reply to a request would be missed,
    /// and the host would look silent.
    fn check_can_receive(&self) -> Result<(), LocalError> {
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        match recvmsg::<()>(self.socket.as_raw_fd(), &mut [], None, flags) {
            Err(errno) if is_refusal(errno) => Err(LocalError::Receive(errno)),
            _ => Ok(()),
        }
    }

    /// Adds a batch of the replies that have arrived to `received`. Returns true if the queue was
    /// seen empty, or may not be seen: then nothing was asked.
    pub(super) fn drain(&self, received: &mut Vec<Received>) -> bool {
        let mut buffer = [0; LONGEST];
        let mut space = nix::cmsg_space!(libc::c_int, libc::timespec);
        for _ in 0..BATCH {
            let mut bytes = [IoSliceMut::new(&mut buffer)];
            let flags = MsgFlags::MSG_DONTWAIT;
            match recvmsg(self.socket.as_raw_fd(), &mut bytes, Some(&mut space), flags) {
                Ok(message) => received.extend(self.read(&message)),
                Err(errno) if errno == Errno::EAGAIN || is_refusal(errno) => return true,
                Err(_) => {}
            }
        }
        false
    }

    /// Reads a message. Returns `None` if it is not a reply to a request of this socket.
    fn read(&self, message: &RecvMsg<'_, '_, SockaddrStorage>) -> Option<Received> {
        let (mut hop_limit, mut stamp) = (None, None);
        for control in message.cmsgs().ok()? {
            match control {
                ControlMessageOwned::Ipv4Ttl(limit) | ControlMessageOwned::Ipv6HopLimit(limit) => {
                    hop_limit = u8::try_from(limit).ok();
                }
                ControlMessageOwned::ScmTimestampns(time) => stamp = Some(Duration::from(time)),
                _ => {}
            }
        }
        let remote = message.address.as_ref().and_then(recv::socket_address)?.ip();
        let bytes = message.iovs().next()?;
        let echo = if self.has_header {
            ipv4::parse_echo_reply(bytes)?
        } else {
            Echo::parse_reply(remote, bytes)?
        };
        let Echo { identifier, number } = echo;
        let event = Event::EchoReply { remote, number, hop_limit: hop_limit? };
        (identifier == self.identifier).then_some(Received { stamp, event })
    }
}

/// Asks `question` by the socket of its family. Returns when it left.
pub(super) fn ask(
    pings: Option<&mut PerFamily<PingSocket>>,
    question: &Question,
) -> Result<Instant, CannotAsk> {
    let unasked = || CannotAsk::Kind("there is no socket for it".to_owned());
    let socket = pings.ok_or_else(unasked)?.of(question.remote);
    let checked = socket.and_then(|socket| socket.check_can_receive().map(|()| socket));
    let socket = checked.map_err(|error| CannotAsk::Kind(error.to_string()))?;
    socket.send(question.remote, question.number).map_err(|_| CannotAsk::ThisOne)
}

/// Adds a batch of the replies at each socket to `received`. Returns true if all were seen empty.
pub(super) fn drain(pings: Option<&PerFamily<PingSocket>>, received: &mut Vec<Received>) -> bool {
    let mut all = true;
    for socket in pings.into_iter().flat_map(PerFamily::iter) {
        all &= socket.drain(received);
    }
    all
}

impl AsFd for PingSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Returns an identifier for a raw socket, for which the kernel does not choose one. It is
/// random, so that two programs are unlikely to have the same.
fn random_identifier() -> u16 {
    let [high, low, ..] = RandomState::new().hash_one(()).to_be_bytes();
    u16::from_be_bytes([high, low])
}

/// Binds `socket` to `source`, if there is one. Returns its port: a ping socket gets its
/// identifier as such, and the kernel chooses it now.
fn bind(socket: &Socket, domain: Domain, source: Option<IpAddr>) -> Result<u16, LocalError> {
    sockets::check_source(source, domain)?;
    let address = match (source, domain) {
        (Some(source), _) => source,
        (None, Domain::IPV4) => Ipv4Addr::UNSPECIFIED.into(),
        (None, _) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let local: SocketAddr = match address {
        // A ping socket wants to be told the interface again (`ping_check_bind_addr()`).
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            SocketAddrV6::new(v6, 0, 0, sockets::device(socket)?).into()
        }
        address => SocketAddr::new(address, 0),
    };
    socket
        .bind(&local.into())
        .map_err(|error| LocalError::Source { address, errno: errno(&error) })?;
    let bound = socket.local_addr().map_err(|error| LocalError::SocketSetup(errno(&error)))?;
    Ok(bound.as_socket().expect("an internet socket").port())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::unistd::{getegid, getgroups};

    use super::*;

    /// The families that this kernel has, each with its loopback address.
    fn families() -> impl Iterator<Item = (Domain, IpAddr)> {
        let both = [
            (Domain::IPV4, IpAddr::V4(Ipv4Addr::LOCALHOST)),
            (Domain::IPV6, IpAddr::V6(Ipv6Addr::LOCALHOST)),
        ];
        both.into_iter().filter(|(domain, _)| Socket::new(*domain, Type::STREAM, None).is_ok())
    }

    /// Numbers with the same sequence number among them.
    const NUMBERS: [u32; 4] = [0, 0x1_0000, 0x0405_0607, u32::MAX];

    /// Asserts that a socket is opened if the kernel allows it, and refused if not. Returns it.
    fn open(kind: Type, domain: Domain) -> Option<PingSocket> {
        let opened = PingSocket::open_as(kind, domain, &Egress::default());
        let (allowed, refusal) = if kind == Type::RAW {
            let tcp = Socket::new(domain, kind, Some(Protocol::TCP));
            (tcp.is_ok(), Errno::EPERM)
        } else {
            (is_in_ping_group_range(), Errno::EACCES)
        };
        if allowed {
            return Some(opened.unwrap());
        }
        assert_eq!(opened.err(), Some(LocalError::PingSocket(refusal)));
        None
    }

    fn is_in_ping_group_range() -> bool {
        let range = fs::read_to_string("/proc/sys/net/ipv4/ping_group_range").unwrap();
        let range: Vec<u32> = range.split_whitespace().map(|end| end.parse().unwrap()).collect();
        let groups = getgroups().unwrap().into_iter().chain([getegid()]);
        groups.into_iter().any(|group| (range[0]..=range[1]).contains(&group.as_raw()))
    }

    /// Waits until as many replies have arrived, and returns them.
    fn receive(socket: &PingSocket, count: usize) -> Vec<Event> {
        let mut received = Vec::new();
        while received.len() < count {
            let mut readable = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
            let ready = poll(&mut readable, PollTimeout::try_from(60_000).unwrap()).unwrap();
            assert_eq!(ready, 1, "no reply");
            assert!(socket.drain(&mut received));
        }
        assert!(received.iter().all(|reply| reply.stamp.is_some()));
        received.into_iter().map(|reply| reply.event).collect()
    }

    #[test]
    fn replies_come_with_their_number_and_hop_limit() {
        for (domain, remote) in families() {
            for socket in [Type::DGRAM, Type::RAW].into_iter().filter_map(|kind| open(kind, domain))
            {
                for number in NUMBERS {
                    socket.send(SocketAddr::new(remote, 0), number).unwrap();
                }
                let reply = |number| Event::EchoReply { remote, number, hop_limit: 64 };
                assert_eq!(receive(&socket, NUMBERS.len()), NUMBERS.map(reply));
                assert!(socket.drain(&mut Vec::new()));
            }
        }
    }

    #[test]
    fn one_kind_of_socket_is_enough() {
        for (domain, _) in families() {
            let any = [Type::DGRAM, Type::RAW].map(|kind| open(kind, domain).is_some());
            let opened = PingSocket::open(domain, &Egress::default());
            assert_eq!(opened.is_ok(), any.contains(&true));
            // What lacks is the group: that is the smaller privilege.
            let refused = LocalError::PingSocket(Errno::EACCES);
            assert!(opened.err().is_none_or(|error| error == refused));
        }
    }

    #[test]
    fn replies_to_another_socket_are_not_reported() {
        for (domain, remote) in families() {
            for kind in [Type::DGRAM, Type::RAW] {
                let (Some(ours), Some(other)) = (open(kind, domain), open(kind, domain)) else {
                    continue;
                };
                other.send(SocketAddr::new(remote, 0), 1).unwrap();
                receive(&other, 1);
                ours.send(SocketAddr::new(remote, 0), 2).unwrap();
                let reply = Event::EchoReply { remote, number: 2, hop_limit: 64 };
                assert_eq!(receive(&ours, 1), [reply]);
            }
        }
    }
}
