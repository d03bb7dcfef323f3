//! A client whose only way to the server is in a VRF.

use std::net::SocketAddr;
use std::process::Command;

use crate::support::ENGINES;
use crate::support::client::seen_through;
use crate::support::process::wait_until;
use lab::{Lab, ROUTED_V4, ROUTED_V6, Verdict, halfopen, halfopen_path, with_own_clock};

/// Returns a lab whose client has `client0`, its addresses and its routes in a VRF.
fn lab_with_a_vrf() -> Lab {
    let lab = Lab::new();
    lab.client.configure(&[
        "link add vrf0 type vrf table 10",
        "link set vrf0 up",
        "link set client0 master vrf0",
        // These are gone when an interface changes its master.
        "route replace table 10 198.18.0.0/16 via 198.19.0.2",
    ]);
    lab.client.address("client0", &["2001:db8::1/64"]);
    lab.client.configure(&["route replace table 10 2001:db8:1::/64 via 2001:db8::2"]);
    lab.server.nft(
        "table inet t { chain in { type filter hook input priority 0; tcp dport 82 drop; tcp dport 83 reject with tcp reset; tcp dport 84 reject with icmpx type port-unreachable; }; }",
    );
    lab
}

/// How a check gets into the VRF.
const WAYS: [&str; 3] = ["ip vrf exec vrf0", "--interface vrf0", "--interface client0"];

fn check(lab: &Lab, way: &str, arguments: &[&str]) -> Verdict {
    let mut words: Vec<_> = way.split(' ').collect();
    let json = [&["-o", "json", "-t", "2"], arguments].concat();
    let command = if words[0] == "ip" {
        let mut command = Command::new(words.remove(0));
        command.args(words).arg(halfopen_path()).args(json);
        with_own_clock(command)
    } else {
        halfopen(&[words, json].concat())
    };
    lab.client.outcome(command).verdict()
}

#[test]
#[ignore = "for scripts/kernels"]
fn checks_through_a_vrf_are_right() {
    let lab = lab_with_a_vrf();
    for server in [ROUTED_V4, ROUTED_V6] {
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        let server = server.to_string();
        for way in WAYS {
            for engine in ENGINES {
                for (host, port, state, code) in [
                    (&*server, "80", "open", 0),
                    (&server, "81", "closed", 2),
                    (&server, "82", "filtered", 2),
                    (&server, "83", "closed", 2),
                ] {
                    let verdict = check(&lab, way, &["--engine", engine, host, port]);
                    let case = format!("{way}, {engine}, {host} {port}: {verdict:?}");
                    assert_eq!(verdict.ending(), (Some(state), code), "{case}");
                }
            }
        }
    }
}

/// Which ICMP errors a socket in a VRF is told depends on the kernel and on what the socket is
/// bound to: docs/engines.md.
#[test]
#[ignore = "for scripts/kernels"]
fn icmp_errors_in_a_vrf_count_as_far_as_the_kernel_tells_them() {
    let lab = lab_with_a_vrf();
    for family in ["ipv4", "ipv6"] {
        lab.client.sysctl(&format!("net.{family}.neigh.client0.retrans_time_ms"), "100");
    }
    for (host, port, state) in [
        ("198.19.0.99", 80, "unreachable"),
        ("2001:db8::99", 80, "unreachable"),
        ("198.18.0.7", 84, "closed"),
        ("2001:db8:1::7", 84, "closed"),
    ] {
        let address = SocketAddr::new(host.parse().expect("an address"), port);
        for way in WAYS {
            let interface = way.split(' ').rfind(|word| word.ends_with('0'));
            let by_connection = seen_through(interface, &lab.client, address);
            let untold = if interface == Some("client0") { "filtered" } else { state };
            for (engine, expected) in
                [("raw", [state, untold]), ("connect", [by_connection, by_connection])]
            {
                let verdict = check(&lab, way, &["--engine", engine, host, &port.to_string()]);
                let found = verdict.state.as_deref().unwrap_or_default();
                assert!(expected.contains(&found), "{way}, {engine}, {address}: {verdict:?}");
            }
        }
    }
}

#[test]
#[ignore = "for scripts/kernels"]
fn every_packet_of_a_check_is_in_the_vrf() {
    let lab = lab_with_a_vrf();
    for server in [ROUTED_V4, ROUTED_V6] {
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        for way in WAYS {
            for (engine, last) in [("raw", "RST"), ("connect", "RST+ACK")] {
                let capture = lab.server.capture("server0");
                let target = ["--engine", engine, &server.to_string(), "80"];
                let verdict = check(&lab, way, &target);
                assert_eq!(verdict.ending(), (Some("open"), 0), "{way}, {engine}: {verdict:?}");
                wait_until(|| lab.server.run("ss", &["-Htan", "state", "syn-recv"]).is_empty());
                let segments = capture.segments();
                let mut flags: Vec<_> = segments.iter().map(|segment| &*segment.flags).collect();
                // The kernel sends its ACK after 200 ms, which an emulated machine may take.
                flags.retain(|flags| engine == "raw" || *flags != "ACK");
                assert_eq!(flags, ["SYN", "SYN+ACK", last], "{way}, {engine}");
            }
        }
    }
}

#[test]
#[ignore = "for scripts/kernels"]
fn outside_of_the_vrf_there_is_no_route() {
    let lab = lab_with_a_vrf();
    for server in [ROUTED_V4, ROUTED_V6] {
        for engine in ENGINES {
            let verdict = lab.verdict(&["--engine", engine, "-t", "1", &server.to_string(), "80"]);
            assert_eq!(verdict.ending(), (Some("unreachable"), 2), "{engine}: {verdict:?}");
            assert!(verdict.reason.contains("no route"), "{engine}: {verdict:?}");
        }
    }
}
