//! Captures packets: a packet socket on one interface, decoded by smoltcp, which shares no code
//! with the program.

use std::io::IoSliceMut;
use std::net::{IpAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

use super::{Namespace, patience};
use nix::cmsg_space;
use nix::ifaddrs::getifaddrs;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, RecvMsg, SockFlag, SockProtocol,
    SockType, bind, recvmsg, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeSpec;
use smoltcp::wire::{
    Icmpv4Packet, Icmpv6Packet, IpProtocol, Ipv4Packet, Ipv6Packet, TcpOption, TcpPacket,
};

/// The traffic is over if no packet has crossed for this long, in milliseconds.
const SILENCE: u16 = 100;

/// Of `linux/if_packet.h`: a packet that leaves by the interface.
const PACKET_OUTGOING: u8 = 4;

/// Every packet that crosses one interface. The kernel keeps them until they are read.
pub struct Capture {
    socket: OwnedFd,
    interface: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Towards the host that the interface belongs to.
    In,
    Out,
}

/// One TCP segment or ICMP message. The TCP fields of an ICMP message are zero and empty.
#[derive(Debug, Clone)]
pub struct Captured {
    /// When it crossed, by the kernel's wall clock.
    pub time: Duration,
    pub direction: Direction,
    pub source: IpAddr,
    pub destination: IpAddr,
    pub ttl: u8,
    pub dscp: u8,
    pub ecn: u8,
    pub source_port: u16,
    pub destination_port: u16,
    pub seq: u32,
    pub ack: u32,
    pub window: u16,
    /// `SYN`, `SYN+ACK`, `RST`, `PSH+ACK`, …; `ICMP 3/13` (type/code) for an ICMP message of either
    /// family.
    pub flags: String,
    /// `MSS 1460`, `WS 7`, `SACK-permitted`, `TS`; padding left out.
    pub options: Vec<String>,
    /// Whether the checksum of the TCP segment is right. It says nothing about segments of a
    /// kernel's TCP, which leaves the sum to a network card, and there is none.
    pub checksum_valid: bool,
}

impl Captured {
    /// Returns how long after `other` it crossed.
    pub fn after(&self, other: &Self) -> Duration {
        self.time.checked_sub(other.time).expect("captured in order")
    }

    fn with_tcp(self, payload: &[u8]) -> Option<Self> {
        let tcp = TcpPacket::new_checked(payload).ok()?;
        Some(Self {
            source_port: tcp.src_port(),
            destination_port: tcp.dst_port(),
            seq: tcp.seq_number().0.cast_unsigned(),
            ack: tcp.ack_number().0.cast_unsigned(),
            window: tcp.window_len(),
            flags: flags(&tcp),
            options: options(tcp.options()),
            checksum_valid: tcp.verify_checksum(&self.source.into(), &self.destination.into()),
            ..self
        })
    }
}

impl Capture {
    pub(super) fn on(interface: &str) -> Self {
        LazyLock::force(&STAMPED);
        let address = getifaddrs()
            .expect("the kernel lists interfaces")
            .filter(|entry| entry.interface_name == interface)
            .find_map(|entry| entry.address?.as_link_addr().copied())
            .unwrap_or_else(|| panic!("no interface {interface} in this namespace"));
        let socket = socket(
            AddressFamily::Packet,
            SockType::Datagram,
            SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC,
            SockProtocol::EthAll,
        )
        .unwrap_or_else(|error| {
            panic!("cannot open a packet socket ({error}): the tests need CAP_NET_RAW")
        });
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)
            .expect("packet sockets have timestamps");
        // Beyond rmem_max only with the machine's CAP_NET_ADMIN; a user namespace makes do with
        // rmem_max.
        if setsockopt(&socket, sockopt::RcvBufForce, &(32 << 20)).is_err() {
            setsockopt(&socket, sockopt::RcvBuf, &(32 << 20))
                .expect("the kernel trims to what it allows");
        }
        setsockopt(&socket, sockopt::RxqOvfl, &1).expect("sockets count what they lose");
        bind(socket.as_raw_fd(), &address).expect("binds to an interface that exists");
        Self { socket, interface: address.ifindex() }
    }

    /// Waits until no more packets cross, and returns those since the last call, in order.
    pub fn segments(&self) -> Vec<Captured> {
        self.read(SILENCE.into())
    }

    /// Returns those since the last call, and does not wait. Long captures are read in between: a
    /// user namespace may keep no more than some thousands.
    pub fn segments_until_now(&self) -> Vec<Captured> {
        self.read(PollTimeout::ZERO)
    }

    fn read(&self, silence: PollTimeout) -> Vec<Captured> {
        let patience = Instant::now() + patience();
        let mut segments = Vec::new();
        let mut bytes = vec![0; 65_536];
        while self.readable(silence) {
            assert!(Instant::now() < patience, "the wire does not fall silent");
            segments.extend(self.receive(&mut bytes));
        }
        segments
    }

    fn readable(&self, limit: PollTimeout) -> bool {
        let mut sockets = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        poll(&mut sockets, limit).expect("polls its own socket") > 0
    }

    fn receive(&self, bytes: &mut [u8]) -> Option<Captured> {
        let mut control = cmsg_space!(TimeSpec, u32);
        let (length, sender, time) = {
            let mut parts = [IoSliceMut::new(bytes)];
            let message = recvmsg::<LinkAddr>(
                self.socket.as_raw_fd(),
                &mut parts,
                Some(&mut control),
                MsgFlags::empty(),
            )
            .expect("a readable socket");
            assert_eq!(lost(&message), 0, "packets that the capture lost: it kept too many");
            let sender = message.address.expect("packets have link addresses");
            (message.bytes, sender, stamp(&message))
        };
        // Between its creation and its binding the socket received from every interface.
        if sender.ifindex() != self.interface {
            return None;
        }
        let direction =
            if sender.pkttype() == PACKET_OUTGOING { Direction::Out } else { Direction::In };
        decode(&bytes[..length], time, direction)
    }
}

/// While this socket is open, the kernel stamps what arrives when it arrives. A kernel thread
/// begins that some time after the first socket has asked. Until then, a packet's time is when it
/// is read.
static STAMPED: LazyLock<UdpSocket> = LazyLock::new(|| {
    let bound = Namespace::new().enter(|| UdpSocket::bind("127.0.0.1:0"));
    let socket = bound.expect("an address of every host");
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true).expect("sockets have timestamps");
    let itself = socket.local_addr().expect("it is bound");
    let patience = Instant::now() + patience();
    let is_stamped = || {
        socket.send_to(&[], itself).expect("sends to itself");
        let has_arrived = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let mut control = cmsg_space!(TimeSpec);
        let message =
            recvmsg::<()>(socket.as_raw_fd(), &mut [], Some(&mut control), MsgFlags::empty());
        stamp(&message.expect("a datagram")) < has_arrived.expect("after 1970")
    };
    while !is_stamped() {
        assert!(Instant::now() < patience, "the kernel does not begin to stamp packets");
    }
    socket
});

fn stamp<S>(message: &RecvMsg<S>) -> Duration {
    let mut controls = message.cmsgs().expect("control data fits");
    let stamp = controls.find_map(|control| match control {
        ControlMessageOwned::ScmTimestampns(time) => Some(Duration::from(time)),
        _ => None,
    });
    stamp.expect("asked for timestamps")
}

/// Returns how many packets the socket had lost when it received this one.
fn lost<S>(message: &RecvMsg<S>) -> u32 {
    let mut controls = message.cmsgs().expect("control data fits");
    let lost = controls.find_map(|control| match control {
        ControlMessageOwned::RxqOvfl(lost) => Some(lost),
        _ => None,
    });
    lost.unwrap_or_default()
}

/// Returns true for TCP and ICMP, except neighbour discovery and multicast groups of `ICMPv6`
/// (types from 130).
fn decode(packet: &[u8], time: Duration, direction: Direction) -> Option<Captured> {
    match packet.first()? >> 4 {
        4 => decode_v4(&Ipv4Packet::new_checked(packet).ok()?, time, direction),
        6 => decode_v6(&Ipv6Packet::new_checked(packet).ok()?, time, direction),
        _ => None,
    }
}

fn decode_v4(ip: &Ipv4Packet<&[u8]>, time: Duration, direction: Direction) -> Option<Captured> {
    let blank = Captured {
        ttl: ip.hop_limit(),
        dscp: ip.dscp(),
        ecn: ip.ecn(),
        ..blank(time, direction, ip.src_addr().into(), ip.dst_addr().into())
    };
    match ip.next_header() {
        IpProtocol::Tcp => blank.with_tcp(ip.payload()),
        IpProtocol::Icmp => {
            let icmp = Icmpv4Packet::new_checked(ip.payload()).ok()?;
            let flags = format!("ICMP {}/{}", u8::from(icmp.msg_type()), icmp.msg_code());
            Some(Captured { flags, ..blank })
        }
        _ => None,
    }
}

fn decode_v6(ip: &Ipv6Packet<&[u8]>, time: Duration, direction: Direction) -> Option<Captured> {
    let blank = Captured {
        ttl: ip.hop_limit(),
        dscp: ip.traffic_class() >> 2,
        ecn: ip.traffic_class() & 3,
        ..blank(time, direction, ip.src_addr().into(), ip.dst_addr().into())
    };
    match ip.next_header() {
        IpProtocol::Tcp => blank.with_tcp(ip.payload()),
        IpProtocol::Icmpv6 => {
            let icmp = Icmpv6Packet::new_checked(ip.payload()).ok()?;
            let kind = u8::from(icmp.msg_type());
            let flags = format!("ICMP {kind}/{}", icmp.msg_code());
            (kind < 130).then_some(Captured { flags, ..blank })
        }
        _ => None,
    }
}

fn blank(time: Duration, direction: Direction, source: IpAddr, destination: IpAddr) -> Captured {
    Captured {
        time,
        direction,
        source,
        destination,
        ttl: 0,
        dscp: 0,
        ecn: 0,
        source_port: 0,
        destination_port: 0,
        seq: 0,
        ack: 0,
        window: 0,
        flags: String::new(),
        options: Vec::new(),
        checksum_valid: false,
    }
}

fn flags(tcp: &TcpPacket<&[u8]>) -> String {
    let bits = [
        (tcp.fin(), "FIN"),
        (tcp.syn(), "SYN"),
        (tcp.rst(), "RST"),
        (tcp.psh(), "PSH"),
        (tcp.ack(), "ACK"),
        (tcp.urg(), "URG"),
        (tcp.ece(), "ECE"),
        (tcp.cwr(), "CWR"),
        (tcp.ns(), "NS"),
    ];
    let names: Vec<_> = bits.into_iter().filter_map(|(set, name)| set.then_some(name)).collect();
    names.join("+")
}

fn options(mut bytes: &[u8]) -> Vec<String> {
    let mut options = Vec::new();
    while !bytes.is_empty() {
        let Ok((rest, option)) = TcpOption::parse(bytes) else {
            options.push("malformed".to_owned());
            break;
        };
        match option {
            TcpOption::EndOfList => break,
            TcpOption::NoOperation => {}
            TcpOption::MaxSegmentSize(size) => options.push(format!("MSS {size}")),
            TcpOption::WindowScale(shift) => options.push(format!("WS {shift}")),
            TcpOption::SackPermitted => options.push("SACK-permitted".to_owned()),
            TcpOption::SackRange(_) => options.push("SACK".to_owned()),
            TcpOption::TimeStamp { .. } => options.push("TS".to_owned()),
            TcpOption::Unknown { kind, .. } => options.push(format!("kind {kind}")),
        }
        bytes = rest;
    }
    options
}
