//! A neighbour table without room for the next hop of a SYN. All namespaces of a machine share it,
//! so that this runs alone.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Mutex;
use std::sync::mpsc;
use std::sync::mpsc::TryRecvError::Empty;
use std::thread;

use nix::libc::ENOBUFS;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::Ipv4RecvErr;

use crate::support::crowd::Findings;
use lab::Lab;

/// More dead hosts than a table has room for, unless it is configured for more (`gc_thresh3` is
/// 1,024).
const DEAD: u32 = 0x7fff;

const TARGETS: usize = 32;

#[test]
fn syns_that_a_full_neighbour_table_held_back_prove_nothing() {
    let _alone = ALONE.lock();
    let lab = Lab::new();
    lab.server.configure(&["route add local 198.19.3.0/24 dev lo"]);
    lab.client.configure(&["route add 198.19.3.0/24 dev client0"]);
    let _listener = lab.server.listen("0.0.0.0:80".parse().expect("an endpoint"));
    let dead = Dead::fill_the_table(&lab);

    let (check, over) = mpsc::channel::<()>();
    let outcome = thread::scope(|scope| {
        let _check = check; // dropped at its end
        // Takes every entry that becomes free.
        scope.spawn({
            let dead = &dead;
            move || {
                for host in (1..DEAD).cycle().take_while(|_| over.try_recv() == Err(Empty)) {
                    dead.is_refused(host);
                }
            }
        });
        lab.check(&["--engine", "connect", "-o", "json", "-t", "3", "198.19.3.32/27:80"])
    });
    let findings = Findings::of(&outcome);
    assert_eq!(findings.all.len(), TARGETS);
    let silent = |state: &Option<String>| !matches!(state.as_deref(), None | Some("open"));
    assert!(!findings.all.iter().any(|finding| silent(&finding.state)), "{:?}", findings.all);
    let unknown = findings.all.iter().filter(|finding| finding.state.is_none()).count();
    assert!(unknown > 0, "the table had room for all of them");
}

/// The kernel counts overflows since it started. One in the past does not concern a SYN, even if
/// its next hop has no entry: here the firewall sends it to another address.
#[test]
fn a_port_is_filtered_although_the_table_overflowed_before() {
    let _alone = ALONE.lock();
    let lab = Lab::new();
    drop(Dead::fill_the_table(&lab));
    lab.client.configure(&["link set client1 down"]); // which empties the table
    lab.client.nft("table ip n { chain o { type nat hook output priority -100; ip daddr 198.19.0.50 dnat to 198.19.0.2; }; }");
    lab.server
        .nft("table ip t { chain i { type filter hook input priority 0; tcp dport 81 drop; }; }");
    for deadline in ["1", "3"] {
        let verdict = lab.verdict(&["--engine", "connect", "-t", deadline, "198.19.0.50", "81"]);
        assert_eq!(verdict.ending(), (Some("filtered"), 2), "{verdict:?}");
    }
}

/// The tests of this file disturb each other.
static ALONE: Mutex<()> = Mutex::new(());

/// Hosts of 198.18.128.0/17 that do not exist.
struct Dead {
    socket: UdpSocket,
}

impl Dead {
    /// Sends to such hosts behind a second cable until the neighbour table overflows.
    fn fill_the_table(lab: &Lab) -> Self {
        lab.second_cable();
        lab.client.configure(&["route add 198.18.128.0/17 dev client1"]);
        // Each dead host is asked for three times, and takes an entry until then.
        lab.client.sysctl("net.ipv4.neigh.client1.retrans_time_ms", "20000");
        let dead = Self { socket: lab.client.enter(socket_with_errors) };
        assert!(
            (1..DEAD).any(|host| dead.is_refused(host)),
            "the neighbour table has room for all"
        );
        dead
    }

    /// Returns true if nothing can be sent to that host for lack of room.
    fn is_refused(&self, host: u32) -> bool {
        let first = u32::from(Ipv4Addr::new(198, 18, 128, 0));
        let sent = self.socket.send_to(b"", (Ipv4Addr::from(first + host), 9));
        sent.is_err_and(|error| error.raw_os_error() == Some(ENOBUFS))
    }
}

/// Other sockets get no error when there is no room (`udp_send_skb()`).
fn socket_with_errors() -> UdpSocket {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    setsockopt(&socket, Ipv4RecvErr, &true).expect("Linux");
    socket
}
