//! What is wrong on this machine, so that nothing can be learnt. Never a port state.

use std::env;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use nix::errno::Errno;

/// Something that is wrong on this machine. Each message names the fix, if there is one, but no
/// option of a program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocalError {
    /// `socket()` refused a raw socket, most often for lack of privilege.
    #[error("cannot open a raw socket ({}); {}", .0.desc(), raw_socket_fix(*.0))]
    RawSocket(Errno),
    /// `socket()` refused a ping socket, and a raw ICMP socket too.
    #[error("cannot open a ping socket ({}); {}", .0.desc(), fix_or(*.0, PING_GROUPS))]
    PingSocket(Errno),
    /// `socket()` refused an ordinary socket.
    #[error("cannot open a socket ({}); {}", .0.desc(), fix_or(*.0, FAMILY))]
    Socket(Errno),
    /// A socket option that the operator asked for was refused.
    #[error("cannot set {option} {value} ({})", .errno.desc())]
    Option {
        /// Its name, such as `mark`.
        option: &'static str,
        /// What it should be.
        value: String,
        /// The kernel's answer.
        errno: Errno,
    },
    /// A socket option that every check needs was refused.
    #[error("cannot prepare a socket ({})", .0.desc())]
    SocketSetup(Errno),
    /// The source address is not one of this machine's.
    #[error("cannot send from {address} ({}); {}", .errno.desc(), source_fix(*address))]
    Source {
        /// The address asked for.
        address: IpAddr,
        /// The kernel's answer.
        errno: Errno,
    },
    /// The source address and the target are of different families.
    #[error("the source address {0} is not of the target's address family")]
    SourceFamily(IpAddr),
    /// There is no interface of that name.
    #[error("there is no network interface {0:?}")]
    Interface(String),
    /// No source port could be reserved.
    #[error("cannot reserve a source port ({}); {}", .0.desc(), port_fix(*.0))]
    SourcePort(Errno),
    /// A rule of the local firewall, or its full connection table, refused the SYN (`EPERM`).
    #[error(
        "local firewall refused the SYN to {0} (Operation not permitted); see: nft list ruleset"
    )]
    Firewall(SocketAddr),
    /// The target is a broadcast address.
    #[error("{0} is a broadcast address")]
    Broadcast(IpAddr),
    /// A link-local target without the interface whose link it is on.
    #[error("{0} is link-local: write {0}%INTERFACE, or choose an interface")]
    NoScope(Ipv6Addr),
    /// A link-local target on the link of another interface than the operator wants.
    #[error("{0} is on the link of another interface than the chosen one")]
    OtherScope(Ipv6Addr),
    /// Nothing leaves this machine from a loopback address.
    #[error("cannot send from {0} to another machine: it is a loopback address")]
    LoopbackSource(IpAddr),
    /// The SYN of a raw socket would take another route than a connection.
    #[error(
        "a raw socket's SYN to {0} would take another route than a connection (see ip rule, ip route); try the connect engine"
    )]
    OtherRoute(SocketAddr),
    /// The kernel ended its handshake, and does not say why.
    #[error(
        "this machine's kernel gave up the handshake with {0}; the raw engine can show the cause"
    )]
    Abandoned(SocketAddr),
    /// The kernel could not send for another reason, such as a full queue.
    #[error("cannot send the SYN to {to} ({}){}", .errno.desc(), send_fix(*.errno))]
    Send {
        /// Where it should have gone.
        to: SocketAddr,
        /// The kernel's answer.
        errno: Errno,
    },
    /// There was no room for an RST that must leave before the SYN.
    #[error("the SYN to {0} waits for an RST that finds no room in this machine's send queue")]
    NoRoomForRst(SocketAddr),
    /// The kernel could not send an echo request.
    #[error("cannot send an echo request to {to} ({})", .errno.desc())]
    SendEcho {
        /// Where it should have gone.
        to: IpAddr,
        /// The kernel's answer.
        errno: Errno,
    },
    /// The kernel would not say where segments go (rtnetlink(7)).
    #[error("cannot ask the routing table ({}); {}", .0.desc(), fix_or(*.0, NETLINK))]
    RoutingTable(Errno),
    /// No timer could be set.
    #[error("cannot set a timer ({}); {}", .0.desc(), fix_or(*.0, TIMERS))]
    Timer(Errno),
    /// Waiting for answers, or reading them, failed.
    #[error("cannot receive answers ({}){}", .0.desc(), receive_fix(*.0))]
    Receive(Errno),
    /// A thread could not be started, or the socket pair that it reports by could not be opened.
    #[error("cannot start a thread ({}); {}", .0.desc(), fix_or(*.0, PROCESSES))]
    Threads(Errno),
    /// This machine is short of something that a name look-up needs.
    #[error("cannot look the name up ({})", .0.desc())]
    Lookup(Errno),
    /// Signals could not be made readable.
    #[error("cannot watch for signals ({})", .0.desc())]
    Signals(Errno),
    /// The operating system's random generator failed.
    #[error("cannot draw random numbers")]
    Random,
}

/// Returns what an error of the system says, without its number.
pub fn in_words(error: &io::Error) -> String {
    let errno = error.raw_os_error().map(Errno::from_raw);
    errno.map_or_else(|| error.to_string(), |errno| errno.desc().to_owned())
}

impl LocalError {
    /// Returns true if this machine had no room for a packet just then: it counts as no attempt.
    pub fn is_shortage(&self) -> bool {
        match self {
            Self::Send { errno, .. } | Self::SendEcho { errno, .. } => is_shortage(*errno),
            Self::Socket(errno) => is_shortage(*errno) || no_descriptor(*errno),
            Self::NoRoomForRst(_) => true,
            _ => false,
        }
    }

    /// Returns true if no address of one family can be used because of it, and the other family is
    /// not affected.
    pub fn disables_family(&self) -> bool {
        matches!(
            self,
            Self::SourceFamily(_)
                | Self::RawSocket(Errno::EAFNOSUPPORT)
                | Self::Socket(Errno::EAFNOSUPPORT)
        )
    }
}

/// Returns true for errors of a send that no ICMP message causes: this machine is short of
/// something.
pub fn is_shortage(errno: Errno) -> bool {
    matches!(errno, Errno::EAGAIN | Errno::ENOBUFS | Errno::ENOMEM)
}

/// Returns true for errors by which a security module or a filter of system calls refuses a call.
pub fn is_refusal(errno: Errno) -> bool {
    matches!(errno, Errno::EPERM | Errno::EACCES | Errno::ENOSYS)
}

const FAMILY: &str = "is this address family enabled?";
const PING_GROUPS: &str = "does net.ipv4.ping_group_range cover a group of this user?";
const PORTS: &str = "are all of net.ipv4.ip_local_port_range in use?";
const TIMERS: &str = "is timerfd_settime() refused by a filter of system calls?";
const NETLINK: &str = "is AF_NETLINK forbidden to this program?";
const PROCESSES: &str = "try: a higher limit on processes";

fn raw_socket_fix(errno: Errno) -> String {
    match errno {
        Errno::EPERM | Errno::EACCES => {
            let program = env::current_exe().unwrap_or_else(|_| "halfopen".into());
            format!("try: setcap cap_net_raw+p {}", program.display())
        }
        _ => fix_or(errno, FAMILY).to_owned(),
    }
}

fn source_fix(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            "a link-local source must be an address of this machine and needs its interface"
        }
        _ => "the source must be an address of this machine",
    }
}

fn send_fix(errno: Errno) -> &'static str {
    match errno {
        Errno::EACCES => {
            "; a security module may forbid it (Landlock, SELinux), or a route that the local firewall's mark selects"
        }
        _ => "",
    }
}

fn receive_fix(errno: Errno) -> &'static str {
    if is_refusal(errno) { "; is it refused by a filter of system calls (seccomp)?" } else { "" }
}

fn port_fix(errno: Errno) -> &'static str {
    match errno {
        Errno::EACCES => "a security module may forbid it (Landlock, SELinux)",
        _ => fix_or(errno, PORTS),
    }
}

/// Returns what helps against `errno` if this machine is short of something, `other` if it is not.
fn fix_or(errno: Errno, other: &'static str) -> &'static str {
    match errno {
        _ if no_descriptor(errno) => "try: a higher limit on open files",
        Errno::ENOMEM => "try: a higher limit on memory",
        _ => other,
    }
}

fn no_descriptor(errno: Errno) -> bool {
    matches!(errno, Errno::EMFILE | Errno::ENFILE)
}

/// Why this machine has no route to a target: `ip route get` says the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoRoute {
    /// `ENETUNREACH`: no route, or a `throw` one.
    #[error("no route to network on this machine")]
    Network,
    /// `EHOSTUNREACH`: an `unreachable` route.
    #[error("no route to host on this machine")]
    Host,
    /// `EACCES`: a `prohibit` route.
    #[error("prohibited by a route of this machine")]
    Prohibited,
    /// `EINVAL`: a `blackhole` route.
    #[error("blackhole route on this machine")]
    Blackhole,
    /// `ENETDOWN`: the interface is down.
    #[error("network interface is down")]
    Down,
    /// `EADDRNOTAVAIL`: no address of this machine can be the source.
    #[error("no source address on this machine for this target")]
    NoSource,
}

impl NoRoute {
    /// Returns what the error of a route look-up says (`ip_route_output_flow()`,
    /// `ip6_dst_lookup_flow()`); `None` for errors that have other causes. An error of `connect()`
    /// may come from elsewhere.
    pub fn from_errno(errno: Errno) -> Option<Self> {
        match errno {
            Errno::ENETUNREACH | Errno::EAGAIN => Some(Self::Network),
            Errno::EHOSTUNREACH => Some(Self::Host),
            Errno::EACCES => Some(Self::Prohibited),
            Errno::EINVAL => Some(Self::Blackhole),
            Errno::ENETDOWN => Some(Self::Down),
            Errno::EADDRNOTAVAIL => Some(Self::NoSource),
            _ => None,
        }
    }
}

/// Why a SYN could not leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendError {
    /// The routing table has an answer: there is no way to the target.
    NoRoute(NoRoute),
    /// This machine is at fault; the target is not to blame.
    LocalError(LocalError),
    /// A SYN to the target has left from every source port that there is, and the kernel repeats
    /// them.
    NoPortLeft,
    /// The target is one of the ports that the check itself leaves from: this machine would only
    /// talk to itself.
    OwnPort,
}

impl From<LocalError> for SendError {
    fn from(local_error: LocalError) -> Self {
        Self::LocalError(local_error)
    }
}
