//! `--source`, `--interface`, `--dscp`, `--ttl`: each acts on the SYN and on the RST alike.

use std::net::{IpAddr, SocketAddr};

use crate::support::exchange::assert_half_open;
use lab::{CLIENT_V4, CLIENT_V6, Captured, Lab, ROUTED_V4, ROUTED_V6, SERVER_V4, SERVER_V6};

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Returns the three packets of a check of an open port, as the server's interface saw them.
fn exchange(lab: &Lab, server: IpAddr, options: &[&str]) -> Vec<Captured> {
    let _listener = lab.server.listen(SocketAddr::new(server, 80));
    let capture = lab.server.capture("server0");
    let verdict = lab.verdict(&[options, &[&server.to_string(), "80"]].concat());
    assert_eq!(verdict.ending(), (Some("open"), 0), "{verdict:?}");
    capture.segments()
}

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
        assert_half_open(&exchange(&lab, server, &["--source", source]), address(source), server);
        assert_half_open(&exchange(&lab, server, &["-S", source]), address(source), server);
    }
}

#[test]
fn a_source_of_another_machine_is_an_error_and_sends_nothing() {
    let lab = Lab::new();
    let capture = lab.server.capture("server0");
    for (source, server) in [("198.19.0.77", "198.19.0.2"), ("2001:db8::77", "2001:db8::2")] {
        let verdict = lab.verdict(&["--source", source, server, "80"]);
        assert_eq!((verdict.ending(), &*verdict.status), ((None, 3), "UNKNOWN"), "{verdict:?}");
        assert!(verdict.reason.contains(source), "{}", verdict.reason);
    }
    assert!(capture.segments().is_empty());
}

/// Without it, the kernel does not know which link is meant.
#[test]
fn a_link_local_source_without_its_interface_is_refused_with_advice() {
    let lab = Lab::new();
    for engine in ["raw", "connect"] {
        let target = ["-S", "fe80::1", "fe80::2%client0", "80"];
        let verdict = lab.verdict(&[&["--engine", engine], &target[..]].concat());
        assert_eq!(verdict.ending(), (None, 3), "{verdict:?}");
        assert!(verdict.reason.ends_with("needs its interface"), "{}", verdict.reason);
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
    for (client, server) in
        [(address("198.19.1.1"), ROUTED_V4), (address("2001:db8:2::1"), ROUTED_V6)]
    {
        let second = lab.server.capture("server1");
        for option in ["--interface", "-I"] {
            let first = exchange(&lab, server, &[option, "client1"]);
            assert!(
                first.is_empty(),
                "nothing leaves by the preferred route's interface: {first:#?}"
            );
            assert_half_open(&second.segments(), client, server);
        }
    }
    for (client, server) in [(CLIENT_V4, ROUTED_V4), (CLIENT_V6, ROUTED_V6)] {
        assert_half_open(&exchange(&lab, server, &["--interface", "client0"]), client, server);
    }
}

#[test]
fn an_interface_that_does_not_exist_is_an_error() {
    let lab = Lab::new();
    for server in ["198.19.0.2", "2001:db8::2"] {
        let outcome = lab.check(&["--interface", "nowhere0", server, "80"]);
        assert_eq!(outcome.code, 3, "{outcome:?}");
        assert!(outcome.stdout.contains("interface"), "{outcome:?}");
    }
}

#[test]
fn dscp_marks_syn_and_rst() {
    let lab = Lab::new();
    for (client, server) in [(CLIENT_V4, SERVER_V4), (CLIENT_V6, SERVER_V6)] {
        for dscp in [1, 46, 63] {
            let segments = exchange(&lab, server, &["--dscp", &dscp.to_string()]);
            assert_half_open(&segments, client, server);
            assert_eq!((segments[0].dscp, segments[2].dscp), (dscp, dscp));
            assert_eq!(
                (segments[0].ecn, segments[2].ecn),
                (0, 0),
                "the two bits beside it are not ours to set"
            );
        }
    }
}

#[test]
fn ttl_limits_syn_and_rst() {
    let lab = Lab::new();
    for (client, server) in [(CLIENT_V4, SERVER_V4), (CLIENT_V6, SERVER_V6)] {
        for ttl in [1, 33, 255] {
            let segments = exchange(&lab, server, &["--ttl", &ttl.to_string()]);
            assert_half_open(&segments, client, server);
            assert_eq!((segments[0].ttl, segments[2].ttl), (ttl, ttl));
        }
    }
}

/// The kernel sends the RST here, and it must look the same.
#[test]
fn dscp_and_ttl_reach_the_rst_of_a_server_with_hop_limit_255() {
    let lab = Lab::new();
    lab.server.sysctl("net.ipv4.ip_default_ttl", "255");
    lab.server.sysctl("net.ipv6.conf.server0.hop_limit", "255");
    for (client, server) in [(CLIENT_V4, SERVER_V4), (CLIENT_V6, SERVER_V6)] {
        let segments = exchange(&lab, server, &["--dscp", "46", "--ttl", "33"]);
        assert_half_open(&segments, client, server);
        assert_eq!(segments[1].ttl, 255, "the server sends with this TTL");
        assert_eq!([segments[0].dscp, segments[2].dscp], [46, 46]);
        assert_eq!([segments[0].ttl, segments[2].ttl], [33, 33]);
    }
}

#[test]
fn all_options_together_reach_both_packets() {
    let lab = Lab::new();
    lab.client.address("client0", &["198.19.0.11/24"]);
    let source = address("198.19.0.11");
    let options =
        ["-S", "198.19.0.11", "-I", "client0", "--mark", "9", "--dscp", "10", "--ttl", "7"];
    let segments = exchange(&lab, SERVER_V4, &options);
    assert_half_open(&segments, source, SERVER_V4);
    for sent in [&segments[0], &segments[2]] {
        assert_eq!((sent.source, sent.dscp, sent.ttl), (source, 10, 7));
    }
}
