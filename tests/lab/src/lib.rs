//! The laboratory: a client and a server host on one machine, and what tests do with them.
//!
//! ```text
//!   client namespace                                   server namespace
//!   client0  198.19.0.1/24   ──────── cable ────────   server0  198.19.0.2/24
//!            2001:db8::1/64                                     2001:db8::2/64
//!                                                      local:   198.18.0.0/16, 2001:db8:1::/64
//! ```
//!
//! Every address of the two local blocks answers on the server, so one listener on 0.0.0.0 is
//! 65,536 targets; the client reaches them through the server as its gateway.

mod capture;
mod clock;
mod namespace;
mod program;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;

pub(crate) use capture::{Capture, Captured, Direction};
pub(crate) use clock::unhurried;
pub(crate) use namespace::Namespace;
pub(crate) use program::{HALFOPEN, Outcome, Running, Verdict, halfopen};

pub(crate) const CLIENT_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 19, 0, 1));
pub(crate) const SERVER_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 19, 0, 2));
pub(crate) const CLIENT_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
pub(crate) const SERVER_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2));
/// Addresses of the server that the client reaches by a route, not on the link.
pub(crate) const ROUTED_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 7));
pub(crate) const ROUTED_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 7));

/// What `setpriv` takes away from root to leave it `CAP_NET_RAW` and nothing else.
pub(crate) const NET_RAW_ALONE: [&str; 2] = ["--bounding-set=-all,+net_raw", "--inh-caps=-all"];

/// Two hosts and the cable between them; all of it is gone when the value is dropped.
pub(crate) struct Lab {
    pub(crate) client: Namespace,
    pub(crate) server: Namespace,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let (client, server) = (Namespace::new(), Namespace::new());
        client.cable("client0", &server, "server0");
        client.address("client0", &["198.19.0.1/24", "2001:db8::1/64"]);
        server.address("server0", &["198.19.0.2/24", "2001:db8::2/64"]);
        client.configure(&[
            "route add 198.18.0.0/16 via 198.19.0.2",
            "route add 2001:db8:1::/64 via 2001:db8::2",
        ]);
        server.configure(&[
            "route add local 198.18.0.0/16 dev lo",
            "route add local 2001:db8:1::/64 dev lo",
        ]);
        // IPv6 lets a socket bind to an address of a local block only if configured to; IPv4 does
        // by itself.
        server.sysctl("net.ipv6.ip_nonlocal_bind", "1");
        Self { client, server }
    }

    /// Adds a second way: client1, 198.19.1.1 and `2001:db8:2::1`, to server1, .2 and `::2`.
    pub(crate) fn second_cable(&self) {
        self.client.cable("client1", &self.server, "server1");
        self.client.address("client1", &["198.19.1.1/24", "2001:db8:2::1/64"]);
        self.server.address("server1", &["198.19.1.2/24", "2001:db8:2::2/64"]);
    }

    /// Runs the program in the client's namespace, unhurried.
    pub(crate) fn check(&self, arguments: &[&str]) -> Outcome {
        self.client.outcome(halfopen(arguments))
    }

    /// Runs the program as a root that has nothing left but `CAP_NET_RAW`.
    pub(crate) fn check_with_net_raw_alone(&self, arguments: &[&str]) -> Outcome {
        let mut command = Command::new("setpriv");
        command.args(NET_RAW_ALONE).arg(HALFOPEN).args(arguments);
        self.client.outcome(command)
    }

    /// Runs the program with `-o json`, and gives what that said.
    pub(crate) fn verdict(&self, arguments: &[&str]) -> Verdict {
        self.check(&[&["-o", "json"], arguments].concat()).verdict()
    }
}

mod tests {
    use std::net::{SocketAddr, TcpStream};
    use std::time::Duration;

    use super::{
        CLIENT_V4, CLIENT_V6, Capture, Direction, Lab, ROUTED_V4, ROUTED_V6, SERVER_V4, SERVER_V6,
    };

    fn flags(capture: &Capture) -> Vec<String> {
        capture.segments().into_iter().map(|segment| segment.flags).collect()
    }

    #[test]
    fn a_kernel_connect_is_seen_as_its_three_packets() {
        let lab = Lab::new();
        let mut connections = Vec::new(); // open to the end: closing has packets of its own
        for (client, server) in [
            (CLIENT_V4, SERVER_V4),
            (CLIENT_V4, ROUTED_V4),
            (CLIENT_V6, SERVER_V6),
            (CLIENT_V6, ROUTED_V6),
        ] {
            let listener = lab.server.listen(SocketAddr::new(server, 8080));
            let capture = lab.server.capture("server0");
            let connect = || TcpStream::connect((server, 8080)).expect("the listener answers");
            connections.push((lab.client.enter(connect), listener));

            let segments = capture.segments();
            let [syn, syn_ack, ack] = &segments[..] else {
                panic!("three packets, not {segments:#?}")
            };
            assert_eq!([&*syn.flags, &*syn_ack.flags, &*ack.flags], ["SYN", "SYN+ACK", "ACK"]);
            assert_eq!(
                [syn.direction, syn_ack.direction, ack.direction],
                [Direction::In, Direction::Out, Direction::In]
            );
            assert_eq!((syn.source, syn.destination, syn.destination_port), (client, server, 8080));
            assert_eq!(
                (syn_ack.source, syn_ack.destination, syn_ack.source_port),
                (server, client, 8080)
            );
            assert_eq!(syn_ack.ack, syn.seq.wrapping_add(1));
            assert_eq!((ack.seq, ack.ack), (syn_ack.ack, syn_ack.seq.wrapping_add(1)));
            assert!(syn.time <= syn_ack.time && syn_ack.time <= ack.time);
            assert!(
                syn.options.iter().any(|option| option.starts_with("MSS ")),
                "{:?}",
                syn.options
            );
        }
    }

    #[test]
    fn an_icmp_error_is_seen_with_its_type_and_code() {
        let lab = Lab::new();
        lab.server.nft("table inet t { chain in { type filter hook input priority 0; tcp dport 9 reject with icmp type admin-prohibited; tcp dport 10 reject with icmpv6 type no-route; }; }");
        let capture = lab.server.capture("server0");
        lab.client.enter(|| {
            // Shorter than the kernel's first retransmission.
            let patience = Duration::from_millis(300);
            TcpStream::connect_timeout(&SocketAddr::new(SERVER_V4, 9), patience)
                .expect_err("rejected");
            TcpStream::connect_timeout(&SocketAddr::new(SERVER_V6, 10), patience)
                .expect_err("rejected");
        });
        assert_eq!(flags(&capture), ["SYN", "ICMP 3/13", "SYN", "ICMP 1/0"]);
    }

    #[test]
    fn each_lab_is_alone_in_the_world() {
        let (one, other) = (Lab::new(), Lab::new());
        let _listener = one.server.listen(SocketAddr::new(SERVER_V4, 8080));
        other.client.enter(|| {
            TcpStream::connect((SERVER_V4, 8080)).expect_err("nobody listens in the other lab")
        });
        assert_eq!(
            other.client.run("ip", &["-o", "link"]).lines().count(),
            2,
            "lo and client0 only"
        );
    }
}
