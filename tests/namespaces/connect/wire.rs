//! What a check puts on the wire, and that the server's application is not involved.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

use super::{assert_cut_short, verdict};
use crate::support::exchange::assert_refused;
use lab::{CLIENT_V4, CLIENT_V6, Direction, Lab, ROUTED_V4, ROUTED_V6, SERVER_V4, SERVER_V6};

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
        let verdict = verdict(&lab, &[&server.to_string(), "80"]);
        assert_eq!(verdict.ending(), (Some("open"), 0), "{verdict:?}");
        assert_eq!((&*verdict.reason, &*verdict.status, verdict.tries), ("SYN+ACK", "OK", Some(1)));
        assert_cut_short(&capture.segments(), client, server);
        assert_nothing_left(&lab, &listener);
    }
}

#[test]
fn a_closed_port_costs_exactly_two_packets() {
    let lab = Lab::new();
    for (client, server) in PATHS {
        let capture = lab.server.capture("server0");
        let verdict = verdict(&lab, &[&server.to_string(), "81"]);
        assert_eq!(verdict.ending(), (Some("closed"), 2), "{verdict:?}");
        assert_eq!(
            (&*verdict.reason, &*verdict.status, verdict.tries),
            ("RST+ACK", "CRITICAL", Some(1))
        );
        assert_refused(&capture.segments(), client, server);
    }
}

/// The first that `accept()` returns is the one full connection that was made, after fifty checks.
#[test]
fn accept_returns_for_a_full_connection_and_for_no_check() {
    let lab = Lab::new();
    for server in [SERVER_V4, SERVER_V6] {
        let address = SocketAddr::new(server, 80);
        let listener = lab.server.listen(address);
        for _ in 0..50 {
            let verdict = verdict(&lab, &[&server.to_string(), "80"]);
            assert_eq!(verdict.ending(), (Some("open"), 0), "{verdict:?}");
        }
        let full = lab.client.enter(|| TcpStream::connect(address).expect("the server listens"));
        let (_, accepted) = listener.accept().expect("the full connection");
        assert_eq!(accepted, full.local_addr().expect("connected"));
        assert_nothing_left(&lab, &listener);
    }
}

#[test]
fn checks_side_by_side_keep_to_their_own_packets() {
    let lab = Lab::new();
    let listener = lab.server.listen(SocketAddr::new(SERVER_V4, 80));
    let capture = lab.server.capture("server0");
    thread::scope(|scope| {
        for (port, ending) in [("80", (Some("open"), 0)), ("81", (Some("closed"), 2))].repeat(10) {
            let lab = &lab;
            scope.spawn(move || {
                assert_eq!(verdict(lab, &["198.19.0.2", port]).ending(), ending);
            });
        }
    });
    let segments = capture.segments();
    let count = |flags: &str| segments.iter().filter(|segment| segment.flags == flags).count();
    assert_eq!((count("SYN"), count("SYN+ACK"), count("RST+ACK")), (20, 10, 20), "{segments:#?}");
    assert_eq!(segments.len(), 50, "{segments:#?}");
    assert_nothing_left(&lab, &listener);
}

#[test]
fn targets_on_this_machine_work() {
    let lab = Lab::new();
    for address in
        [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST), CLIENT_V4, CLIENT_V6]
    {
        let listener = lab.client.listen(SocketAddr::new(address, 80));
        let capture = lab.client.capture("lo");
        let open = verdict(&lab, &[&address.to_string(), "80"]);
        assert_eq!(open.ending(), (Some("open"), 0), "{open:?}");
        // Each packet crosses the loopback interface twice, out and in again.
        let mut segments = capture.segments();
        segments.retain(|segment| segment.direction == Direction::In);
        assert_cut_short(&segments, address, address);
        assert_nothing_left(&lab, &listener);
        let closed = verdict(&lab, &[&address.to_string(), "81"]);
        assert_eq!(closed.ending(), (Some("closed"), 2), "{closed:?}");
    }
}

#[test]
fn a_link_local_target_with_its_scope_works() {
    let lab = Lab::new();
    lab.server.address("server0", &["fe80::2/64"]);
    let listener = lab.server.listen("[::]:80".parse().expect("an address"));
    let capture = lab.server.capture("server0");
    let open = verdict(&lab, &["fe80::2%client0", "80"]);
    assert_eq!(open.ending(), (Some("open"), 0), "{open:?}");
    let segments = capture.segments();
    assert_cut_short(&segments, segments[0].source, "fe80::2".parse().expect("an address"));
    assert_nothing_left(&lab, &listener);
    let closed = verdict(&lab, &["-H", "fe80::2%client0", "-p", "81"]);
    assert_eq!(closed.ending(), (Some("closed"), 2), "{closed:?}");
}

/// An RST may complete a handshake of SYN cookies on some stacks; the kernel's own is an RST+ACK.
#[test]
fn a_server_that_answers_with_syn_cookies_has_nothing_to_accept() {
    let lab = Lab::new();
    lab.server.sysctl("net.ipv4.tcp_syncookies", "2");
    for (client, server) in [(CLIENT_V4, SERVER_V4), (CLIENT_V6, SERVER_V6)] {
        let listener = lab.server.listen(SocketAddr::new(server, 80));
        let capture = lab.server.capture("server0");
        let verdict = verdict(&lab, &[&server.to_string(), "80"]);
        assert_eq!(verdict.ending(), (Some("open"), 0), "{verdict:?}");
        assert_cut_short(&capture.segments(), client, server);
        assert_nothing_left(&lab, &listener);
    }
}

/// Asserts that the server's kernel holds no connection, and that its application has nothing to
/// accept.
#[track_caller]
fn assert_nothing_left(lab: &Lab, listener: &TcpListener) {
    assert_eq!(lab.server.run("ss", &["-Htan", "state", "syn-recv"]), "");
    listener.set_nonblocking(true).expect("a socket of ours");
    let nothing = listener.accept().expect_err("accept() must have nothing to take");
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
}
