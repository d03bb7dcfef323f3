//! Policy routing by firewall mark: a second cable that only marked packets may take.
//!
//! Every packet of a check must take the route that its mark selects. An RST without the mark would
//! leave by the other cable, where the server's firewall does not know the connection, and the
//! server would stay in `SYN_RECV`.

use std::net::SocketAddr;

use crate::support::exchange::{assert_half_open, assert_refused};
use crate::support::marked_route::{MARKED_V4, MARKED_V6, lab_with_a_marked_route};
use lab::{CLIENT_V4, CLIENT_V6, Captured, Lab, ROUTED_V4, ROUTED_V6};

fn let_the_server_send_with_hop_limit_255(lab: &Lab) {
    lab.server.sysctl("net.ipv4.ip_default_ttl", "255");
    for interface in ["all", "default", "lo", "server0", "server1"] {
        lab.server.sysctl(&format!("net.ipv6.conf.{interface}.hop_limit"), "255");
    }
}

#[test]
fn every_packet_of_a_marked_check_takes_the_marked_route() {
    let lab = lab_with_a_marked_route();
    assert_all_packets_take_the_marked_route(&lab);
}

#[test]
fn the_rst_that_the_kernel_sends_for_hop_limit_255_takes_the_marked_route() {
    let lab = lab_with_a_marked_route();
    let_the_server_send_with_hop_limit_255(&lab);
    assert_all_packets_take_the_marked_route(&lab);
}

fn assert_all_packets_take_the_marked_route(lab: &Lab) {
    for (client, server) in [(MARKED_V4, ROUTED_V4), (MARKED_V6, ROUTED_V6)] {
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        let (plain, marked) = (lab.server.capture("server0"), lab.server.capture("server1"));
        for mark in ["7", "2147483649"] {
            let checks = [Lab::check as fn(&Lab, &[&str]) -> _, Lab::check_with_net_raw_alone];
            let possible = if may_mark_with_net_raw_alone() { 2 } else { 1 };
            for check in &checks[..possible] {
                let verdict = |port| {
                    check(lab, &["-o", "json", "--mark", mark, &server.to_string(), port]).verdict()
                };
                assert_eq!(verdict("80").ending(), (Some("open"), 0));
                assert_half_open(&marked.segments(), client, server);
                assert_eq!(verdict("81").ending(), (Some("closed"), 2));
                assert_refused(&marked.segments(), client, server);
            }
        }
        assert!(plain.segments().is_empty(), "nothing leaves by the other way");
        assert_eq!(lab.server.run("ss", &["-Htan", "state", "syn-recv"]), "");
    }
}

/// Linux 5.17 began to allow it (`sk_setsockopt()`).
fn may_mark_with_net_raw_alone() -> bool {
    lab::kernel() >= (5, 17)
}

#[test]
fn net_raw_alone_marks_as_far_as_the_kernel_lets_it() {
    let lab = lab_with_a_marked_route();
    let _listener = lab.server.listen(SocketAddr::new(ROUTED_V4, 80));
    let target = [&*ROUTED_V4.to_string(), "80"];
    let checked =
        lab.check_with_net_raw_alone(&[&["-o", "json", "--mark", "7"], &target[..]].concat());
    if may_mark_with_net_raw_alone() {
        assert_eq!(checked.verdict().ending(), (Some("open"), 0), "{checked:#?}");
    } else {
        assert_eq!(checked.code, 3, "{checked:#?}");
        assert!(checked.stdout.contains("cannot set mark 7"), "{checked:#?}");
    }
}

#[test]
fn without_the_mark_nothing_takes_the_marked_route() {
    let lab = lab_with_a_marked_route();
    for (client, server) in [(CLIENT_V4, ROUTED_V4), (CLIENT_V6, ROUTED_V6)] {
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        let (plain, marked) = (lab.server.capture("server0"), lab.server.capture("server1"));
        let verdict = lab.verdict(&[&server.to_string(), "80"]);
        assert_eq!(verdict.ending(), (Some("open"), 0), "{verdict:?}");
        assert_half_open(&plain.segments(), client, server);
        assert!(marked.segments().is_empty());
    }
}

/// As with direct server return, the answer arrives at another interface than the SYN left from.
#[test]
fn the_rst_goes_the_way_of_the_syn_and_not_of_the_answer() {
    for hop_limit_255 in [false, true] {
        let lab = lab_with_a_marked_route();
        if hop_limit_255 {
            let_the_server_send_with_hop_limit_255(&lab);
        }
        for (client, server) in [(CLIENT_V4, ROUTED_V4), (CLIENT_V6, ROUTED_V6)] {
            let _listener = lab.server.listen(SocketAddr::new(server, 80));
            let (plain, marked) = (lab.server.capture("server0"), lab.server.capture("server1"));
            let verdict = lab.verdict(&[
                "--source",
                &client.to_string(),
                "--mark",
                "7",
                &server.to_string(),
                "80",
            ]);
            assert_eq!(verdict.ending(), (Some("open"), 0), "{verdict:?}");

            let (plain, marked) = (plain.segments(), marked.segments());
            let is_answer = |segment: &Captured| segment.flags == "SYN+ACK";
            assert!(plain.iter().all(is_answer) && !marked.iter().any(is_answer));
            let mut segments = [plain, marked].concat();
            segments.sort_by_key(|segment| segment.time);
            assert_half_open(&segments, client, server);
        }
    }
}
