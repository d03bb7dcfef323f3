//! This machine has no path to the target, or refuses to send: no route, a dead neighbour, a local
//! firewall.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::exchange::assert_half_open;
use lab::{CLIENT_V4, CLIENT_V6, Lab, SERVER_V4, SERVER_V6};

#[test]
fn a_dead_neighbour_is_unreachable_and_not_filtered() {
    let lab = Lab::new();
    for dead in ["198.19.0.99", "2001:db8::99"] {
        let verdict = lab.verdict(&[dead, "80"]);
        assert_eq!(verdict.ending(), (Some("unreachable"), 2), "{verdict:?}");
        assert!(verdict.reason.starts_with("no answer to "), "{}", verdict.reason);
        verdict.assert_waited_at_most(7.05);
    }
}

/// The neighbour is alive at first, so its address is in the cache when it goes down.
#[test]
fn a_neighbour_whose_cable_is_pulled_is_never_open_nor_closed() {
    let lab = Lab::new();
    let _listener = lab.server.listen(SocketAddr::new(SERVER_V4, 80));
    assert_eq!(lab.verdict(&["198.19.0.2", "80"]).ending(), (Some("open"), 0));
    lab.server.configure(&["link set server0 down"]);
    let verdict = lab.verdict(&["-t", "1", "198.19.0.2", "80"]);
    // Once the kernel has noticed that the link is gone, it reports that there is no buffer for the
    // SYN: a local error.
    let honest = [(Some("filtered"), 2), (Some("unreachable"), 2), (None, 3)];
    assert!(honest.contains(&verdict.ending()), "{verdict:?}");
}

#[test]
fn without_a_route_a_target_is_unreachable() {
    let lab = Lab::new();
    for target in ["198.19.77.1", "2001:db8:77::1"] {
        let verdict = lab.verdict(&["-t", "1", target, "80"]);
        assert_eq!(
            (verdict.ending(), &*verdict.status),
            ((Some("unreachable"), 2), "CRITICAL"),
            "{verdict:?}"
        );
        assert!(verdict.reason.contains("no route"), "{}", verdict.reason);
    }
}

#[test]
fn a_route_that_leads_nowhere_makes_a_target_unreachable() {
    let lab = Lab::new();
    let capture = lab.server.capture("server0");
    for kind in ["blackhole", "unreachable", "prohibit"] {
        for (route, target) in
            [("198.18.200.0/24", "198.18.200.1"), ("2001:db8:1:0:200::/80", "2001:db8:1:0:200::1")]
        {
            lab.client.configure(&[&format!("route replace {kind} {route}")]);
            let verdict = lab.verdict(&["-t", "1", target, "80"]);
            assert_eq!(verdict.ending(), (Some("unreachable"), 2), "{kind}: {verdict:?}");
            lab.client.configure(&[&format!("route del {kind} {route}")]);
        }
    }
    assert!(capture.segments().is_empty());
}

#[test]
fn a_local_firewall_that_refuses_the_syn_is_a_fault_and_no_state() {
    let lab = Lab::new();
    lab.client.nft(
        "table inet t { chain out { type filter hook output priority 0; tcp dport 80 drop; }; }",
    );
    for server in [SERVER_V4, SERVER_V6] {
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        let verdict = lab.verdict(&["-t", "1", &server.to_string(), "80"]);
        assert_eq!((verdict.ending(), &*verdict.status), ((None, 3), "UNKNOWN"), "{verdict:?}");
        assert!(verdict.reason.contains("firewall"), "{}", verdict.reason);
        assert_eq!(verdict.rtt, None);

        let outcome = lab.check(&["-t", "1", &server.to_string(), "80"]);
        assert_eq!(outcome.code, 3);
        assert!(outcome.stdout.starts_with("TCP HALF-OPEN UNKNOWN - "), "{outcome:?}");
    }
}

/// Its ICMP error may come from any address of this machine: for a secondary address it comes from
/// the primary one.
#[test]
fn a_local_firewall_that_rejects_the_syn_is_a_fault_whatever_its_source() {
    let lab = lab_with_second_addresses();
    lab.client.nft(
        "table inet t { chain out {
             type filter hook output priority 0;
             tcp dport 81 reject with icmpx type port-unreachable;
             tcp dport 82 reject with icmpx type admin-prohibited;
             tcp dport 83 reject with icmpx type host-unreachable;
             tcp dport 84 reject with icmpx type no-route;
         }; }",
    );
    for engine in ["raw", "connect"] {
        for (source, server) in SECOND_ADDRESSES {
            let open = lab.server.listen(SocketAddr::new(server.parse().expect("an address"), 80));
            let check = |port| lab.verdict(&["--engine", engine, "-S", source, server, port]);
            assert_eq!(check("80").ending(), (Some("open"), 0), "{engine}");
            drop(open);
            for port in ["81", "82", "83", "84"] {
                let verdict = check(port);
                assert_eq!(verdict.ending(), (None, 3), "{engine} {port}: {verdict:?}");
                assert!(verdict.reason.contains("local firewall"), "{engine} {port}: {verdict:?}");
            }
        }
    }
}

#[test]
fn a_dead_neighbour_is_not_a_local_rejection_whatever_the_source() {
    let lab = lab_with_second_addresses();
    for family in ["ipv4", "ipv6"] {
        lab.client.sysctl(&format!("net.{family}.neigh.client0.retrans_time_ms"), "100");
    }
    for engine in ["raw", "connect"] {
        for (source, dead) in [("198.19.0.11", "198.19.0.99"), ("2001:db8::11", "2001:db8::99")] {
            let verdict = lab.verdict(&["--engine", engine, "-S", source, dead, "80"]);
            assert_eq!(verdict.ending(), (Some("unreachable"), 2), "{engine}: {verdict:?}");
            assert!(verdict.reason.starts_with("no answer to "), "{engine}: {verdict:?}");
        }
    }
}

/// The target is this machine itself, so the answer of its firewall is the target's.
#[test]
fn a_rejection_by_this_machine_is_a_verdict_on_its_own_ports() {
    let lab = lab_with_second_addresses();
    lab.client.nft(
        "table inet t { chain in {
             type filter hook input priority 0;
             tcp dport 81 reject with icmpx type port-unreachable;
             tcp dport 82 reject with icmpx type admin-prohibited;
         }; }",
    );
    for engine in ["raw", "connect"] {
        for own in ["127.0.0.1", "198.19.0.1", "198.19.0.11", "::1", "2001:db8::1"] {
            for (port, state) in [("81", "closed"), ("82", "filtered")] {
                let verdict = lab.verdict(&["--engine", engine, own, port]);
                assert_eq!(verdict.ending(), (Some(state), 2), "{engine} {own}: {verdict:?}");
            }
        }
    }
}

/// For each family, a second source address of the interface, and the server.
const SECOND_ADDRESSES: [(&str, &str); 2] =
    [("198.19.0.11", "198.19.0.2"), ("2001:db8::11", "2001:db8::2")];

fn lab_with_second_addresses() -> Lab {
    let lab = Lab::new();
    lab.client.address("client0", &["198.19.0.11/24", "2001:db8::11/64"]);
    lab
}

#[test]
fn a_local_firewall_that_refuses_only_the_first_syn_does_not_spoil_the_check() {
    let lab = Lab::new();
    lab.client.nft("table inet t { chain out { type filter hook output priority 0; tcp dport 80 tcp flags syn numgen inc mod 2 0 drop; }; }");
    for (client, server) in [(CLIENT_V4, SERVER_V4), (CLIENT_V6, SERVER_V6)] {
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        let capture = lab.server.capture("server0");
        let verdict = lab.verdict(&["-t", "1.4", &server.to_string(), "80"]);
        assert_eq!(verdict.ending(), (Some("open"), 0), "{verdict:?}");
        assert!(
            verdict.elapsed >= Duration::from_millis(190),
            "the second try opened it: {verdict:?}"
        );
        assert_half_open(&capture.segments(), client, server);
    }
}

/// The SYN leaves, and answers to real connections would be dropped as well.
/// The kernel looks the route up again when a chain of the type `route` has changed the mark, and
/// returns the error of a security module.
#[test]
fn a_route_that_the_mark_of_the_firewall_selects_is_a_possible_cause() {
    let lab = Lab::new();
    lab.client.nft("table inet t { chain out { type route hook output priority 0; tcp dport 80 meta mark set 7; }; }");
    for family in ["-4", "-6"] {
        lab.client.configure(&[
            &format!("{family} rule add fwmark 7 lookup 77"),
            &format!("{family} route add prohibit default table 77"),
        ]);
    }
    for server in ["198.19.0.2", "2001:db8::2"] {
        let verdict = lab.verdict(&["-t", "1", "--engine", "raw", server, "80"]);
        assert_eq!(verdict.ending(), (None, 3), "{verdict:?}");
        assert!(verdict.reason.contains("a route that the local firewall's mark"), "{verdict:?}");
    }
}

#[test]
fn a_local_firewall_that_drops_the_answers_makes_a_port_filtered() {
    let lab = Lab::new();
    lab.client.nft(
        "table inet t { chain in { type filter hook input priority 0; tcp sport 80 drop; }; }",
    );
    for server in [SERVER_V4, SERVER_V6] {
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        let verdict = lab.verdict(&["-t", "1", &server.to_string(), "80"]);
        assert_eq!(verdict.ending(), (Some("filtered"), 2), "{verdict:?}");
    }
}

#[test]
fn without_a_free_source_port_nothing_can_be_learnt() {
    let lab = Lab::new();
    lab.client.sysctl("net.ipv4.ip_local_port_range", "40000 40001");
    let _taken = [40_000, 40_001].map(|port| lab.client.listen(SocketAddr::from(([0; 16], port))));
    for server in ["198.19.0.2", "2001:db8::2"] {
        let verdict = lab.verdict(&["-t", "1", server, "80"]);
        assert_eq!((verdict.ending(), &*verdict.status), ((None, 3), "UNKNOWN"), "{verdict:?}");
        assert!(verdict.reason.contains("source port"), "{}", verdict.reason);
    }
}

#[test]
fn an_interface_that_is_down_makes_a_target_unreachable() {
    let lab = Lab::new();
    lab.client.configure(&["link set client0 down"]);
    for server in ["198.19.0.2", "2001:db8::2"] {
        let verdict = lab.verdict(&["-t", "1", server, "80"]);
        assert_eq!(verdict.ending(), (Some("unreachable"), 2), "{verdict:?}");
    }
}

/// No RST arrives: closed ports look filtered, and the self-test must not say that all is well.
#[test]
fn the_self_test_fails_if_checks_do_not_work() {
    let lab = Lab::new();
    lab.client.nft(
        "table inet deaf { chain input { type filter hook input priority 0; tcp flags rst drop; }; }",
    );
    for (engine, retries, syns) in [
        ("raw", "0", "1 SYN in"),
        ("raw", "1", "2 SYNs in"),
        ("raw", "2", "3 SYNs in"),
        ("connect", "0", "1 SYN in"),
    ] {
        let outcome = lab.check(&["--self-test", "--engine", engine, "--retries", retries]);
        assert_eq!((outcome.code, outcome.stderr.as_str()), (2, ""), "{outcome:?}");
        assert!(outcome.stdout.contains("6 of 8 claims hold"), "{outcome:?}");
        assert_eq!(outcome.stdout.matches("\nNO : ").count(), 2, "{outcome:?}");
        let silent = format!("is closed (no answer to {syns}");
        assert_eq!(outcome.stdout.matches(&silent).count(), 2, "{outcome:?}");
    }
}
