//! `--source`, `--interface`, `--mark`, `--dscp`, `--ttl`: each acts on the SYN and on the RST
//! alike, or is refused by name.

use std::net::{IpAddr, SocketAddr};

use super::assert_cut_short;
use crate::support::caller::Caller;
use crate::support::marked_route::{MARKED_V4, MARKED_V6, lab_with_a_marked_route};
use lab::{
    CLIENT_V4, CLIENT_V6, Captured, Lab, Outcome, ROUTED_V4, ROUTED_V6, SERVER_V4, SERVER_V6,
};

#[test]
fn all_packets_come_from_the_source_address() {
    let lab = Lab::new();
    lab.client.address("client0", &["198.19.0.11/24", "2001:db8::11/64"]);
    for (source, server) in [
        ("198.19.0.11", SERVER_V4),
        ("198.19.0.11", ROUTED_V4),
        ("2001:db8::11", SERVER_V6),
        ("2001:db8::11", ROUTED_V6),
    ] {
        let segments = exchange(&lab, server, &["--source", source]);
        assert_cut_short(&segments, source.parse().expect("an address"), server);
    }
}

#[test]
fn all_packets_leave_by_the_interface() {
    let lab = Lab::new();
    lab.second_cable();
    lab.client.configure(&[
        "route add 198.18.0.0/16 via 198.19.1.2 metric 5000",
        "route add 2001:db8:1::/64 via 2001:db8:2::2 metric 5000",
    ]);
    for (client, server) in [(MARKED_V4, ROUTED_V4), (MARKED_V6, ROUTED_V6)] {
        let second = lab.server.capture("server1");
        let first = exchange(&lab, server, &["--interface", "client1"]);
        assert!(first.is_empty(), "nothing by the preferred route's interface: {first:#?}");
        assert_cut_short(&second.segments(), client, server);
    }
}

#[test]
fn dscp_and_ttl_are_on_syn_and_rst() {
    let lab = Lab::new();
    for (client, server) in [(CLIENT_V4, SERVER_V4), (CLIENT_V6, SERVER_V6)] {
        for (dscp, ttl) in [(1, 1), (46, 33), (63, 255)] {
            let options = ["--dscp", &dscp.to_string(), "--ttl", &ttl.to_string()];
            let segments = exchange(&lab, server, &options);
            assert_cut_short(&segments, client, server);
            for sent in [&segments[0], &segments[2]] {
                assert_eq!((sent.dscp, sent.ecn, sent.ttl), (dscp, 0, ttl), "{sent:#?}");
            }
        }
    }
}

#[test]
fn every_packet_of_a_marked_check_takes_the_marked_route() {
    let lab = lab_with_a_marked_route();
    for (client, server) in [(MARKED_V4, ROUTED_V4), (MARKED_V6, ROUTED_V6)] {
        let marked = lab.server.capture("server1");
        for mark in ["7", "2147483649"] {
            let plain = exchange(&lab, server, &["--mark", mark]);
            assert!(plain.is_empty(), "nothing leaves without the mark: {plain:#?}");
            assert_cut_short(&marked.segments(), client, server);
        }
    }
}

/// As with direct server return, the answer arrives at another interface than the SYN left from.
#[test]
fn the_rst_carries_the_mark_whichever_way_the_answer_came() {
    let lab = lab_with_a_marked_route();
    for (client, server) in [(CLIENT_V4, ROUTED_V4), (CLIENT_V6, ROUTED_V6)] {
        let marked = lab.server.capture("server1");
        let options = ["--source", &client.to_string(), "--mark", "7"];
        let plain: Vec<_> =
            exchange(&lab, server, &options).into_iter().map(|segment| segment.flags).collect();
        let marked: Vec<_> = marked.segments().into_iter().map(|segment| segment.flags).collect();
        assert_eq!((plain, marked), (vec!["SYN+ACK".into()], vec!["SYN".into(), "RST+ACK".into()]));
    }
}

/// Also with `ip_nonlocal_bind`, with which the kernel would let it send from any address, and by
/// either engine.
#[test]
fn a_source_of_another_machine_is_an_error_and_sends_nothing() {
    let lab = Lab::new();
    let capture = lab.server.capture("server0");
    for nonlocal_bind in ["0", "1"] {
        lab.client.sysctl("net.ipv4.ip_nonlocal_bind", nonlocal_bind);
        lab.client.sysctl("net.ipv6.ip_nonlocal_bind", nonlocal_bind);
        for engine in ["raw", "connect"] {
            for (source, server) in [
                ("198.19.0.77", "198.19.0.2"),
                ("198.19.0.255", "198.19.0.2"),
                ("224.0.0.9", "198.19.0.2"),
                ("0.0.0.0", "198.19.0.2"),
                ("2001:db8::77", "2001:db8::2"),
                ("ff02::9", "2001:db8::2"),
                ("::", "2001:db8::2"),
            ] {
                let outcome = lab.check(&["--engine", engine, "--source", source, server, "80"]);
                assert_refused_by_name(
                    &outcome,
                    &format!("cannot send from {source} "),
                    "the source must be",
                );
            }
        }
    }
    assert!(capture.segments().is_empty());
}

#[test]
fn an_interface_that_does_not_exist_is_an_error() {
    let lab = Lab::new();
    for server in ["198.19.0.2", "2001:db8::2"] {
        let outcome = lab.check(&["--engine", "connect", "--interface", "nowhere0", server, "80"]);
        assert_refused_by_name(&outcome, "cannot set interface nowhere0 ", "No such device");
    }
}

/// The kernel allows an ordinary user all of them except the mark.
#[test]
fn an_ordinary_user_has_all_options_but_the_mark() {
    let lab = Lab::new();
    let user = Caller::user(&lab);
    let check = |options: &[&str]| user.check(&lab, &[&["-t", "2"], options].concat());
    for (client, server) in [(CLIENT_V4, SERVER_V4), (CLIENT_V6, SERVER_V6)] {
        let (client_word, server_word) = (client.to_string(), server.to_string());
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        let capture = lab.server.capture("server0");
        let others = ["-S", &client_word, "-I", "client0", "--dscp", "10", "--ttl", "7"];
        let outcome = check(&[&others[..], &[&server_word, "80"]].concat());
        assert_eq!(outcome.code, 0, "{outcome:?}");
        let segments = capture.segments();
        assert_cut_short(&segments, client, server);
        for sent in [&segments[0], &segments[2]] {
            assert_eq!((sent.dscp, sent.ttl), (10, 7), "{sent:#?}");
        }

        let outcome = check(&["--mark", "9", &server_word, "80"]);
        assert_refused_by_name(&outcome, "cannot set mark 9 ", "Operation not permitted");
        assert!(capture.segments().is_empty());
    }
}

/// Returns those of the three packets of a check of an open port that the server's first interface
/// saw.
fn exchange(lab: &Lab, server: IpAddr, options: &[&str]) -> Vec<Captured> {
    let _listener = lab.server.listen(SocketAddr::new(server, 80));
    let capture = lab.server.capture("server0");
    let verdict = super::verdict(lab, &[options, &[&server.to_string(), "80"]].concat());
    assert_eq!(verdict.ending(), (Some("open"), 0), "{verdict:?}");
    capture.segments()
}

/// Asserts exit code 3 and one line of output.
#[track_caller]
fn assert_refused_by_name(outcome: &Outcome, refused: &str, why: &str) {
    assert_eq!(outcome.code, 3, "{outcome:?}");
    let said = outcome.stdout.strip_prefix("TCP HALF-OPEN UNKNOWN - ").unwrap_or_default();
    assert!(said.starts_with(refused) && said.contains(why), "{outcome:?}");
    assert_eq!(outcome.stdout.lines().count(), 1, "{outcome:?}");
}
