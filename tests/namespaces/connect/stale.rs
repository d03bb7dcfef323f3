//! Old connections that the server still holds for the four-tuple of a SYN. The kernel resets them,
//! and the program does not see it.
//!
//! It answers the server's bare ACK with the RST that RFC 9293 §3.5.1 asks for, and repeats the SYN
//! within milliseconds, from the same port (`tcp_rcv_synsent_state_process()`). So a port that is
//! stale with raw sockets is open here, or filtered if that RST does not get through.

use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::time::Duration;

use super::{assert_cut_short, verdict};
use crate::support::old_connections::{
    connect, established, leave_connections, narrow_source_ports,
};
use lab::{CLIENT_V4, CLIENT_V6, Lab, SERVER_V4, SERVER_V6};

#[test]
fn an_old_connection_is_reset_and_the_port_behind_it_found_open_at_once() {
    let lab = Lab::new();
    for (client, server) in [(CLIENT_V4, SERVER_V4), (CLIENT_V6, SERVER_V6)] {
        narrow_source_ports(&lab, 32_768, 60_999);
        let listener = lab.server.listen(SocketAddr::new(server, 80));
        let ports = [40_000, 40_001, 40_002, 40_003];
        let leftovers = leave_connections(&lab, &listener, client, server, &ports);
        assert_eq!(established(&lab), 4);
        narrow_source_ports(&lab, 40_000, 40_003);

        // One port per check, which the kernel chooses.
        let capture = lab.server.capture("server0");
        let verdict = verdict(&lab, &["--retries", "0", &server.to_string(), "80"]);
        assert_eq!((verdict.ending(), verdict.tries), ((Some("open"), 0), Some(2)), "{verdict:?}");
        let segments = capture.segments();
        let (old, new) = segments.split_at(3);
        let flags: Vec<_> = old.iter().map(|segment| &*segment.flags).collect();
        assert_eq!(flags, ["SYN", "ACK", "RST"], "{segments:#?}");
        assert_eq!((new[0].source_port, new[0].seq), (old[0].source_port, old[0].seq));
        assert_cut_short(new, client, server);
        // Its own timer would repeat the SYN after a second.
        assert!(new[0].after(&old[2]) < Duration::from_millis(900), "{segments:#?}");

        assert_eq!(established(&lab), 3, "the RST cleared the one");
        let reset = leftovers.into_iter().filter(|mut leftover| {
            leftover.set_nonblocking(true).expect("a socket of ours");
            let nothing = leftover.read(&mut [0]).expect_err("neither data nor an end");
            nothing.kind() == ErrorKind::ConnectionReset
        });
        assert_eq!(reset.count(), 1);
    }
}

/// The server closed first, so its kernel is in TIME-WAIT.
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
            let verdict = verdict(&lab, &["-t", "1.4", &server.to_string(), "80"]);
            assert_eq!(verdict.ending(), (Some("open"), 0), "{verdict:?}");
        }
    }
}

/// Old connections on every port, and a firewall that drops the RSTs. With raw sockets this is
/// stale.
#[test]
fn an_old_connection_that_cannot_be_cleared_looks_filtered() {
    let lab = Lab::new();
    for (client, server) in [(CLIENT_V4, SERVER_V4), (CLIENT_V6, SERVER_V6)] {
        narrow_source_ports(&lab, 32_768, 60_999);
        let listener = lab.server.listen(SocketAddr::new(server, 80));
        let ports = [40_000, 40_001, 40_002, 40_003];
        let _leftovers = leave_connections(&lab, &listener, client, server, &ports);
        narrow_source_ports(&lab, 40_000, 40_003);
        lab.server.nft(
            "table inet t { chain in { type filter hook input priority 0; tcp flags rst drop; }; }",
        );
        let verdict = verdict(&lab, &["-t", "3", &server.to_string(), "80"]);
        assert_eq!(verdict.ending(), (Some("filtered"), 2), "{verdict:?}");
        lab.server.nft("delete table inet t");
    }
}
