//! What a check puts on the wire, seen from the server's side.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::thread;
use std::time::Instant;

use crate::support::exchange::{assert_half_open, assert_refused};
use lab::{
    CLIENT_V4, CLIENT_V6, Direction, Lab, ROUTED_V4, ROUTED_V6, SERVER_V4, SERVER_V6, patience,
};

/// On the link and behind a route, in both families: the client's address, and the server's.
const PATHS: [(IpAddr, IpAddr); 4] = [
    (CLIENT_V4, SERVER_V4),
    (CLIENT_V4, ROUTED_V4),
    (CLIENT_V6, SERVER_V6),
    (CLIENT_V6, ROUTED_V6),
];

#[test]
fn an_open_port_costs_exactly_three_packets() {
    let lab = Lab::new();
    for (client, server) in PATHS {
        let listener = lab.server.listen(SocketAddr::new(server, 80));
        let capture = lab.server.capture("server0");
        let verdict = lab.verdict(&[&server.to_string(), "80"]);
        assert_eq!(verdict.ending(), (Some("open"), 0), "{verdict:?}");
        assert_eq!((&*verdict.reason, &*verdict.status, verdict.tries), ("SYN+ACK", "OK", Some(1)));
        assert_half_open(&capture.segments(), client, server);
        assert_nothing_left(&lab, &listener);
    }
}

#[test]
fn a_closed_port_costs_exactly_two_packets() {
    let lab = Lab::new();
    for (client, server) in PATHS {
        let capture = lab.server.capture("server0");
        let verdict = lab.verdict(&[&server.to_string(), "81"]);
        assert_eq!(verdict.ending(), (Some("closed"), 2), "{verdict:?}");
        assert_eq!(
            (&*verdict.reason, &*verdict.status, verdict.tries),
            ("RST+ACK", "CRITICAL", Some(1))
        );
        assert_refused(&capture.segments(), client, server);
    }
}

#[test]
fn a_server_that_sends_with_hop_limit_255_gets_one_rst_all_the_same() {
    let lab = Lab::new();
    lab.server.sysctl("net.ipv4.ip_default_ttl", "255");
    for interface in ["all", "default", "lo", "server0"] {
        lab.server.sysctl(&format!("net.ipv6.conf.{interface}.hop_limit"), "255");
    }
    for (client, server) in PATHS {
        let listener = lab.server.listen(SocketAddr::new(server, 80));
        let capture = lab.server.capture("server0");
        let verdict = lab.verdict(&[&server.to_string(), "80"]);
        assert_eq!(verdict.ending(), (Some("open"), 0), "{verdict:?}");
        let segments = capture.segments();
        assert_eq!(segments[1].ttl, 255, "the server sends with this TTL");
        assert_half_open(&segments, client, server);
        assert_nothing_left(&lab, &listener);

        let verdict = lab.verdict(&[&server.to_string(), "81"]);
        assert_eq!(verdict.ending(), (Some("closed"), 2), "{verdict:?}");
        assert_refused(&capture.segments(), client, server);
    }
}

#[test]
fn a_syn_looks_like_that_of_an_ordinary_stack() {
    let lab = Lab::new();
    for (server, mss) in [(SERVER_V4, "MSS 1460"), (SERVER_V6, "MSS 1440")] {
        let capture = lab.server.capture("server0");
        lab.check(&[&server.to_string(), "81"]);
        let syn = &capture.segments()[0];
        assert_eq!(
            (&*syn.flags, syn.window, syn.ack),
            ("SYN", 64_240, 0),
            "no ECN bits among the flags"
        );
        assert_eq!((syn.ttl, syn.dscp, syn.ecn), (64, 0, 0));
        assert!(syn.checksum_valid);

        let mut options: Vec<_> =
            syn.options.iter().map(|option| option.split(' ').next().expect("a name")).collect();
        options.sort_unstable();
        assert_eq!(options, ["MSS", "SACK-permitted", "WS"], "no timestamps, no Fast Open cookie");
        assert!(syn.options.iter().any(|option| option == mss), "{:?}", syn.options);
    }
}

#[test]
fn an_rst_is_a_valid_segment() {
    let lab = Lab::new();
    for server in [SERVER_V4, SERVER_V6] {
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        let capture = lab.server.capture("server0");
        lab.check(&[&server.to_string(), "80"]);
        let rst = &capture.segments()[2];
        assert!(rst.checksum_valid, "{rst:#?}");
        assert_eq!((rst.ttl, rst.dscp, rst.ecn), (64, 0, 0));
    }
}

#[test]
fn each_check_has_a_sequence_number_of_its_own() {
    let lab = Lab::new();
    let capture = lab.server.capture("server0");
    for _ in 0..8 {
        lab.check(&["198.19.0.2", "81"]);
    }
    let mut numbers: Vec<_> = capture
        .segments()
        .iter()
        .filter(|segment| segment.flags == "SYN")
        .map(|syn| syn.seq)
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(
        numbers.len(),
        8,
        "two of eight random 32-bit numbers are the same once in 150 million runs"
    );
}

#[test]
fn checks_side_by_side_keep_to_their_own_packets() {
    let lab = Lab::new();
    let listener = lab.server.listen(SocketAddr::new(SERVER_V4, 80));
    let capture = lab.server.capture("server0");
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                assert_eq!(lab.verdict(&["198.19.0.2", "80"]).ending(), (Some("open"), 0));
            });
            scope.spawn(|| {
                assert_eq!(lab.verdict(&["198.19.0.2", "81"]).ending(), (Some("closed"), 2));
            });
        }
    });
    let segments = capture.segments();
    let count = |flags: &str| segments.iter().filter(|segment| segment.flags == flags).count();
    assert_eq!((count("SYN"), count("SYN+ACK"), count("RST"), count("RST+ACK")), (20, 10, 10, 10));
    assert_eq!(segments.len(), 50);
    assert_nothing_left(&lab, &listener);
}

#[test]
fn targets_on_this_machine_work() {
    let lab = Lab::new();
    for address in
        [IpAddr::V4(Ipv4Addr::LOCALHOST), "::1".parse().expect("an address"), CLIENT_V4, CLIENT_V6]
    {
        let listener = lab.client.listen(SocketAddr::new(address, 80));
        let capture = lab.client.capture("lo");
        let verdict = lab.verdict(&[&address.to_string(), "80"]);
        assert_eq!(verdict.ending(), (Some("open"), 0), "{verdict:?}");
        // Each packet crosses the loopback interface twice, out and in again.
        let mut segments = capture.segments();
        segments.retain(|segment| segment.direction == Direction::In);
        assert_half_open(&segments, address, address);
        assert_eq!(listener.local_addr().expect("bound").port(), 80);

        let verdict = lab.verdict(&[&address.to_string(), "81"]);
        assert_eq!(verdict.ending(), (Some("closed"), 2), "{verdict:?}");
    }
}

#[test]
fn a_link_local_target_with_its_scope_works() {
    let lab = Lab::new();
    let link_local = |host: &lab::Namespace, interface: &str| -> IpAddr {
        let told =
            host.run("ip", &["-6", "-o", "address", "show", "dev", interface, "scope", "link"]);
        let address = told
            .split_whitespace()
            .find(|word| word.starts_with("fe80:"))
            .unwrap_or_else(|| panic!("a link-local address in {told:?}"));
        address.split('/').next().expect("split gives one part").parse().expect("an address")
    };
    let (client, server) = (link_local(&lab.client, "client0"), link_local(&lab.server, "server0"));
    let listener = lab.server.listen("[::]:80".parse().expect("an address"));
    let capture = lab.server.capture("server0");
    let target = format!("{server}%client0");

    let verdict = lab.verdict(&[&target, "80"]);
    assert_eq!(verdict.ending(), (Some("open"), 0), "{verdict:?}");
    assert_half_open(&capture.segments(), client, server);
    assert_nothing_left(&lab, &listener);

    let verdict = lab.verdict(&["-H", &target, "-p", "81"]);
    assert_eq!(verdict.ending(), (Some("closed"), 2), "{verdict:?}");
    assert_refused(&capture.segments(), client, server);
}

/// The program has ended when the server repeats its SYN+ACK, and its ports are free, so the kernel
/// answers.
#[test]
fn a_lost_rst_is_sent_again_when_the_server_retransmits() {
    let lab = Lab::new();
    lab.server.nft("table inet t { chain in { type filter hook input priority 0; tcp flags rst numgen inc mod 2 0 drop; }; }");
    for (client, server) in [(CLIENT_V4, SERVER_V4), (CLIENT_V6, SERVER_V6)] {
        let listener = lab.server.listen(SocketAddr::new(server, 80));
        let capture = lab.server.capture("server0");
        assert_eq!(lab.verdict(&[&server.to_string(), "80"]).ending(), (Some("open"), 0));
        let mut segments = capture.segments();
        assert_half_open(&segments[..3], client, server);
        assert_eq!(
            lab.server.run("ss", &["-Htan", "state", "syn-recv"]).lines().count(),
            1,
            "the RST was lost"
        );

        // Its first repetition is due a second after the SYN.
        let patience = Instant::now() + patience();
        while segments.len() < 5 && Instant::now() < patience {
            segments.extend(capture.segments());
        }
        assert_half_open(&[&segments[..1], &segments[3..]].concat(), client, server);
        assert_nothing_left(&lab, &listener);
    }
}

/// Asserts that the server's kernel holds no connection, and that its application was not involved.
#[track_caller]
fn assert_nothing_left(lab: &Lab, listener: &TcpListener) {
    assert_eq!(lab.server.run("ss", &["-Htan", "state", "syn-recv"]), "");
    listener.set_nonblocking(true).expect("a socket of ours");
    let nothing = listener.accept().expect_err("accept() must have nothing to take");
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
}
