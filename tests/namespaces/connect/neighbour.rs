//! ICMP errors of this machine about its own SYN: its firewall rejects, or the next hop is silent.
//! Both look alike. Only the neighbour table can distinguish them.

use std::net::{IpAddr, UdpSocket};

use nix::sys::signal::Signal;

use crate::support::crowd::Crowd;
use crate::support::process::{signal, wait_until};
use lab::{Lab, halfopen};

const FAMILIES: [(&str, &str); 2] = [("ipv4", "198.19.0.99"), ("ipv6", "2001:db8::99")];

/// The entry is left from an outage. The SYN is rejected before the next hop is looked up.
#[test]
fn a_next_hop_that_has_failed_before_is_not_blamed_for_a_local_firewall() {
    let lab = Lab::new();
    for kind in ["host-unreachable", "no-route"] {
        lab.client.nft(&format!(
            "flush ruleset; table inet t {{ chain out {{
                 type filter hook output priority 0;
                 tcp dport 81 reject with icmpx type {kind};
             }}; }}",
        ));
        for (family, target) in FAMILIES {
            lab.client.sysctl(&format!("net.{family}.neigh.client0.retrans_time_ms"), "100");
            wait_until(|| {
                let entry = neighbours(&lab, target);
                if entry.is_empty() {
                    // The kernel removes failed entries when there are many in all namespaces.
                    let dead = lab.verdict(&["--engine", "connect", target, "80"]);
                    assert_eq!(dead.ending(), (Some("unreachable"), 2), "{dead:?}");
                }
                failed_for_a_second(&entry)
            });
            let rejected = lab.verdict(&["--engine", "connect", "-t", "1", target, "81"]);
            assert_eq!(rejected.ending(), (None, 3), "{kind}: {rejected:?}");
            assert!(rejected.reason.contains("local firewall"), "{kind}: {rejected:?}");
        }
    }
}

/// The kernel's times are not exact enough to tell which of the two it was.
#[test]
fn a_next_hop_that_fails_right_after_the_syn_is_not_taken_for_a_local_firewall() {
    let lab = Lab::new();
    for (family, target) in FAMILIES {
        for (name, value) in [("retrans_time_ms", "1"), ("mcast_solicit", "1")] {
            lab.client.sysctl(&format!("net.{family}.neigh.client0.{name}"), value);
        }
        for retries in ["0", "2"] {
            let arguments = ["--engine", "connect", "--retries", retries, "-t", "1", target, "80"];
            let verdict = lab.verdict(&arguments);
            assert!(!verdict.reason.contains("firewall"), "{verdict:?}");
            assert!(verdict.ending() == (None, 3) || verdict.reason.starts_with("no answer to "));
        }
    }
}

/// The entry is gone when the program reads the error.
#[test]
fn a_next_hop_that_the_kernel_has_forgotten_is_not_taken_for_a_local_firewall() {
    let lab = Lab::new();
    for (family, target) in FAMILIES {
        lab.client.sysctl(&format!("net.{family}.neigh.client0.retrans_time_ms"), "700");
        let check =
            lab.client.spawn(halfopen(&["--engine", "connect", "-o", "json", target, "80"]));
        wait_until(|| neighbours(&lab, target).contains("INCOMPLETE"));
        signal(&check, Signal::SIGSTOP);
        // The kernel removes failed entries itself when there are many in all namespaces.
        wait_until(|| !neighbours(&lab, target).contains("INCOMPLETE"));
        lab.client.configure(&[&format!("neigh flush to {target} dev client0")]);
        signal(&check, Signal::SIGCONT);
        let verdict = check.wait().verdict();
        assert!(!verdict.reason.contains("firewall"), "{verdict:?}");
        assert!(verdict.ending() == (None, 3) || verdict.reason.starts_with("no answer to "));
    }
}

/// Once the next hop has failed, the kernel has another route, whose next hop is alive. The kernel
/// reports about fifty failures at a time.
#[test]
fn a_next_hop_that_has_failed_is_blamed_although_the_kernel_avoids_it_by_then() {
    let routes: [(&str, &str, &[&str]); 4] = [
        (
            "ipv6",
            "[2001:db8:1::/123]:80",
            &[
                "route replace 2001:db8:1::/64 via 2001:db8::99 metric 10",
                "route append 2001:db8:1::/64 via 2001:db8::2 metric 2000",
            ],
        ),
        ("ipv6", "[2001:db8:1::/123]:80", &["route add 2001:db8:1::/80 via 2001:db8::99"]),
        (
            "ipv6",
            "[2001:db8:1::/123]:80",
            &["route replace 2001:db8:1::/64 nexthop via 2001:db8::99 nexthop via 2001:db8::2"],
        ),
        (
            "ipv4",
            "198.18.0.0/27:80",
            &["route replace 198.18.0.0/16 nexthop via 198.19.0.99 nexthop via 198.19.0.2"],
        ),
    ];
    for (family, targets, routes) in routes {
        let crowd = Crowd::new();
        let client = &crowd.lab.client;
        client.sysctl(&format!("net.{family}.neigh.client0.retrans_time_ms"), "100");
        client.sysctl("net.ipv4.fib_multipath_use_neigh", "1");
        client.configure(&routes.iter().map(|line| &**line).collect::<Vec<_>>());
        let capture = crowd.lab.server.capture("server0");
        let found = crowd.check(&["--engine", "connect", "--retries", "0", targets]);
        let reached: Vec<IpAddr> =
            capture.segments().iter().filter(|s| s.flags == "SYN").map(|s| s.destination).collect();
        let mut unreachable = 0;
        for finding in &found.all {
            let has_arrived = finding.address.is_some_and(|address| reached.contains(&address));
            let state = if has_arrived { "open" } else { "unreachable" };
            assert_eq!(finding.state.as_deref(), Some(state), "{routes:?}: {finding:?}");
            unreachable += usize::from(!has_arrived);
        }
        assert!(unreachable > 0, "{routes:?}: {found:?}");
    }
}

/// The server drops the SYN, and the local firewall rejects its retransmission. Meanwhile another
/// neighbour has failed.
#[test]
fn a_neighbour_that_has_failed_elsewhere_is_not_blamed_for_a_local_firewall() {
    for (family, any, target, other) in [
        ("ipv4", "0.0.0.0", "198.18.0.1", "198.19.0.99"),
        ("ipv6", "::", "2001:db8:1::1", "2001:db8::99"),
    ] {
        let crowd = Crowd::new();
        let client = &crowd.lab.client;
        client.sysctl(&format!("net.{family}.neigh.client0.retrans_time_ms"), "100");
        let capture = crowd.lab.server.capture("server0");
        let arguments = ["--engine", "connect", "-o", "json", target, "82"];
        let check = client.spawn(halfopen(&arguments));
        wait_until(|| capture.segments().iter().any(|segment| segment.flags == "SYN"));
        client.enter(|| {
            let socket = UdpSocket::bind((any, 0)).expect("a free port");
            socket.send_to(&[0], (other, 9)).expect("there is a route");
        });
        wait_until(|| !neighbours(&crowd.lab, other).contains("INCOMPLETE"));
        client.nft(
            "table inet t { chain out {
                 type filter hook output priority 0;
                 tcp dport 82 reject with icmpx type host-unreachable;
             }; }",
        );
        let verdict = check.wait().verdict();
        assert_eq!(verdict.ending(), (None, 3), "{verdict:?}");
        assert!(!verdict.reason.starts_with("no answer to "), "{verdict:?}");
    }
}

fn neighbours(lab: &Lab, target: &str) -> String {
    lab.client.run("ip", &["-s", "neigh", "show", "to", target])
}

/// The last of the three numbers after "used" is the time in seconds since the state changed.
fn failed_for_a_second(neighbours: &str) -> bool {
    let times = neighbours.split_once("used ").and_then(|(_, rest)| rest.split_once("probes"));
    let updated = times.and_then(|(times, _)| times.rsplit('/').next()?.trim().parse::<u32>().ok());
    neighbours.contains("FAILED") && updated.is_some_and(|updated| updated >= 1)
}
