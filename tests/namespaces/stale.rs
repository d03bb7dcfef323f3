//! Old connections that the server still holds for the four-tuple of a SYN, because a firewall in
//! between forgot them.
//!
//! The server answers such a SYN with a bare ACK (RFC 9293 §3.5.1), and an RST clears the old
//! connection.

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};

use crate::support::exchange::assert_bare_reset;
use crate::support::old_connections::{
    connect, established, leave_connections, narrow_source_ports,
};
use lab::{CLIENT_V4, CLIENT_V6, Lab, SERVER_V4, SERVER_V6};

/// The second RST has cleared its port, and the SYN that comes again from there is answered.
#[test]
fn a_server_with_an_old_connection_on_every_port_is_open_once_one_is_cleared() {
    let lab = Lab::new();
    for (client, server) in [(CLIENT_V4, SERVER_V4), (CLIENT_V6, SERVER_V6)] {
        narrow_source_ports(&lab, 32_768, 60_999);
        let listener = lab.server.listen(SocketAddr::new(server, 80));
        let leftovers =
            leave_connections(&lab, &listener, client, server, &[40_000, 40_001, 40_002, 40_003]);
        assert_eq!(established(&lab), 4);
        narrow_source_ports(&lab, 40_000, 40_003);

        let capture = lab.server.capture("server0");
        let verdict = lab.verdict(&["-t", "3", "--retries", "3", &server.to_string(), "80"]);
        assert_eq!((verdict.ending(), verdict.tries), ((Some("open"), 0), Some(3)), "{verdict:?}");

        let segments = capture.segments();
        let flags: Vec<_> = segments.iter().map(|segment| &*segment.flags).collect();
        assert_eq!(flags, ["SYN", "ACK", "RST", "SYN", "ACK", "RST", "SYN", "SYN+ACK", "RST"]);
        for exchange in segments.chunks(3) {
            assert_bare_reset(&exchange[2], &exchange[1]);
        }
        let [first, second, third] = [0, 3, 6].map(|at| segments[at].source_port);
        assert!(first != second && second == third, "{segments:#?}");
        // An old connection is retried at once: the first timeout is 0.2 s.
        verdict.assert_waited_at_most(0.19);

        assert_eq!(established(&lab), 2, "the RSTs cleared two leftovers");
        let reset = |mut leftover: &TcpStream| {
            leftover.set_nonblocking(true).expect("a socket of ours");
            leftover.read(&mut [0]).expect_err("nothing was sent").kind()
        };
        let reset = leftovers.iter().map(reset).filter(|kind| *kind == ErrorKind::ConnectionReset);
        assert_eq!(reset.count(), 2);
    }
}

#[test]
fn one_free_port_is_enough_to_find_the_server_open() {
    let lab = Lab::new();
    for (client, server) in [(CLIENT_V4, SERVER_V4), (CLIENT_V6, SERVER_V6)] {
        narrow_source_ports(&lab, 32_768, 60_999);
        let listener = lab.server.listen(SocketAddr::new(server, 80));
        let _leftovers = leave_connections(&lab, &listener, client, server, &[40_000, 40_001]);
        narrow_source_ports(&lab, 40_000, 40_003);
        let verdict = lab.verdict(&["-t", "1.4", &server.to_string(), "80"]);
        assert_eq!(verdict.ending(), (Some("open"), 0), "{verdict:?}");
    }
}

/// The server closed first, so its kernel is in TIME-WAIT: half of all sequence numbers are too old
/// for it, and it answers those with an ACK.
#[test]
fn connections_in_time_wait_on_the_server_do_not_hide_that_it_is_open() {
    let lab = Lab::new();
    for (client, server) in [(CLIENT_V4, SERVER_V4), (CLIENT_V6, SERVER_V6)] {
        narrow_source_ports(&lab, 32_768, 60_999);
        let listener = lab.server.listen(SocketAddr::new(server, 80));
        for port in [40_000, 40_001] {
            let ours = connect(&lab, SocketAddr::new(client, port), SocketAddr::new(server, 80));
            drop(listener.accept().expect("a connection"));
            assert_eq!((&ours).read(&mut [0]).expect("the server's FIN"), 0);
        }
        narrow_source_ports(&lab, 40_000, 40_003);
        for _ in 0..4 {
            let verdict = lab.verdict(&["-t", "1.4", &server.to_string(), "80"]);
            assert_eq!(verdict.ending(), (Some("open"), 0), "{verdict:?}");
        }
    }
}

/// A live connection of this machine holds its port, so a check can never hit it.
#[test]
fn live_connections_of_this_machine_are_left_alone() {
    let lab = Lab::new();
    for (client, server) in [(CLIENT_V4, SERVER_V4), (CLIENT_V6, SERVER_V6)] {
        narrow_source_ports(&lab, 40_000, 40_007);
        let listener = lab.server.listen(SocketAddr::new(server, 80));
        let lives: Vec<_> = (0..4)
            .map(|_| {
                lab.client.enter(|| TcpStream::connect((server, 80)).expect("the server listens"))
            })
            .collect();
        let servers: Vec<_> =
            lives.iter().map(|_| listener.accept().expect("a connection").0).collect();
        for _ in 0..8 {
            let verdict = lab.verdict(&["-t", "1.4", &server.to_string(), "80"]);
            assert_eq!(verdict.ending(), (Some("open"), 0), "{verdict:?}");
        }
        assert_eq!(established(&lab), 4, "{client}");
        drop((lives, servers));
    }
}
