//! Which state each ICMP error of a firewall or router leads to.

use std::net::{IpAddr, SocketAddr};

use crate::support::rejections::{
    REJECTIONS_V4, REJECTIONS_V6, Rejection, host_behind_the_server, send_every_icmp_error,
};
use lab::{CLIENT_V4, CLIENT_V6, Lab, SERVER_V4, SERVER_V6, Verdict};

#[test]
fn each_rejection_of_an_ipv4_firewall_has_its_state() {
    assert_each_has_its_state(SERVER_V4, "icmp", &REJECTIONS_V4);
}

#[test]
fn each_rejection_of_an_ipv6_firewall_has_its_state() {
    assert_each_has_its_state(SERVER_V6, "icmpv6", &REJECTIONS_V6);
}

/// The firewall rejects connections to a port that is open behind it.
fn assert_each_has_its_state(server: IpAddr, family: &str, rejections: &[Rejection]) {
    let lab = Lab::new();
    send_every_icmp_error(&lab.server);
    let _listener = lab.server.listen(SocketAddr::new(server, 80));
    let capture = lab.server.capture("server0");
    for (name, message, state) in rejections {
        lab.server.nft(&format!(
            "table inet t {{}}; delete table inet t;
             table inet t {{ chain in {{ type filter hook input priority 0; tcp dport 80 reject with {family} type {name}; }}; }}"
        ));
        let verdict = lab.verdict(&["-t", "2.8", &server.to_string(), "80"]);
        assert_eq!(verdict.ending(), (Some(*state), 2), "{name}: {verdict:?}");
        assert_eq!(verdict.status, "CRITICAL");
        assert!(verdict.reason.starts_with("ICMP "), "{name}: {}", verdict.reason);
        assert!(verdict.reason.ends_with(&format!(" from {server}")), "{name}: {}", verdict.reason);

        // Port unreachable and prohibitions are final. The others may be a routing flap, so every
        // attempt leaves.
        let tries = if *state == "unreachable" { 3 } else { 1 };
        assert_eq!(verdict.tries, Some(tries), "{name}: {verdict:?}");
        let seen: Vec<_> = capture.segments().into_iter().map(|segment| segment.flags).collect();
        let expected = ["SYN", *message].repeat(usize::try_from(tries).expect("1 or 3"));
        assert_eq!(seen, expected, "{name}");
    }
}

/// The server sends segments to some addresses back, until their hop limit is exceeded here.
#[test]
fn a_routing_loop_through_this_machine_is_the_networks() {
    let lab = Lab::new();
    let back = [("-4", "198.18.208.0/20", CLIENT_V4), ("-6", "2001:db8:1::/64", CLIENT_V6)];
    for (family, block, client) in back {
        let client = client.to_string();
        for host in [&lab.client, &lab.server] {
            host.sysctl("net.ipv4.ip_forward", "1");
            host.sysctl("net.ipv6.conf.all.forwarding", "1");
            host.sysctl("net.ipv4.conf.all.accept_local", "1");
        }
        // Rules for local addresses come first otherwise.
        lab.server.run("ip", &[family, "rule", "add", "pref", "2", "lookup", "local"]);
        lab.server.run("ip", &[family, "rule", "del", "pref", "0"]);
        lab.server.run("ip", &[family, "rule", "add", "pref", "1", "to", block, "lookup", "100"]);
        lab.server.run("ip", &[family, "route", "add", block, "via", &client, "table", "100"]);
    }
    for engine in ["raw", "connect"] {
        for target in ["198.18.208.9", "2001:db8:1::9"] {
            let verdict = lab.verdict(&["--engine", engine, "-t", "2", target, "80"]);
            assert_eq!(verdict.ending(), (Some("filtered"), 2), "{engine}: {verdict:?}");
            assert!(verdict.reason.contains("exceeded"), "{engine}: {verdict:?}");
        }
    }
}

#[test]
fn a_firewall_that_rejects_with_a_reset_looks_closed() {
    let lab = Lab::new();
    lab.server.nft("table inet t { chain in { type filter hook input priority 0; tcp dport 80 reject with tcp reset; }; }");
    for server in [SERVER_V4, SERVER_V6] {
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        let verdict = lab.verdict(&[&server.to_string(), "80"]);
        assert_eq!(
            (verdict.ending(), &*verdict.reason, verdict.tries),
            ((Some("closed"), 2), "RST+ACK", Some(1))
        );
    }
}

#[test]
fn a_port_that_an_icmp_error_closed_is_what_refuse_says() {
    let lab = Lab::new();
    lab.server.nft("table inet t { chain in { type filter hook input priority 0; tcp dport 80 reject with icmpx type port-unreachable; }; }");
    for server in ["198.19.0.2", "2001:db8::2"] {
        for (meaning, status, code) in
            [("ok", "OK", 0), ("warn", "WARNING", 1), ("crit", "CRITICAL", 2)]
        {
            let verdict = lab.verdict(&["-r", meaning, server, "80"]);
            assert_eq!(
                (verdict.ending(), &*verdict.status),
                ((Some("closed"), code), status),
                "{verdict:?}"
            );
        }
    }
}

#[test]
fn a_host_that_comes_back_during_the_check_is_open() {
    let lab = Lab::new();
    send_every_icmp_error(&lab.server);
    lab.server.nft("table inet t { chain in { type filter hook input priority 0; tcp dport 80 tcp flags syn numgen inc mod 3 < 2 reject with icmpx type host-unreachable; }; }");
    for server in [SERVER_V4, SERVER_V6] {
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        let verdict = lab.verdict(&["-t", "1.4", &server.to_string(), "80"]);
        assert_eq!((verdict.ending(), verdict.tries), ((Some("open"), 0), Some(3)), "{verdict:?}");
    }
}

/// A third host behind the server, which forwards: `--ttl 1` does not get past it.
#[test]
fn hops_exceeded_on_the_way_is_filtered() {
    let lab = Lab::new();
    let far = host_behind_the_server(&lab);
    send_every_icmp_error(&lab.server);
    for (target, router) in [("198.19.2.2", SERVER_V4), ("2001:db8:3::2", SERVER_V6)] {
        let _listener = far.listen(SocketAddr::new(target.parse().expect("an address"), 80));
        let verdict = lab.verdict(&[target, "80"]);
        assert_eq!(verdict.ending(), (Some("open"), 0), "the way exists: {verdict:?}");

        let verdict = lab.verdict(&["--ttl", "1", "-t", "1.4", target, "80"]);
        assert_eq!(
            (verdict.ending(), verdict.tries),
            ((Some("filtered"), 2), Some(3)),
            "{verdict:?}"
        );
        assert!(verdict.reason.ends_with(&format!(" from {router}")), "{}", verdict.reason);
    }
}

/// A router's own error: no route, or a dead neighbour.
#[test]
fn a_router_without_a_route_makes_a_target_unreachable() {
    let lab = Lab::new();
    let _far = host_behind_the_server(&lab);
    send_every_icmp_error(&lab.server);
    let told = |verdict: &Verdict, router: IpAddr| {
        assert_eq!(verdict.ending(), (Some("unreachable"), 2), "{verdict:?}");
        assert!(verdict.reason.ends_with(&format!(" from {router}")), "{}", verdict.reason);
    };
    lab.client.configure(&[
        "route add 198.19.3.0/24 via 198.19.0.2",
        "route add 2001:db8:4::/64 via 2001:db8::2",
    ]);
    told(&lab.verdict(&["-t", "1.4", "198.19.3.1", "80"]), SERVER_V4);
    told(&lab.verdict(&["-t", "1.4", "2001:db8:4::1", "80"]), SERVER_V6);
    // No host on the far link has these addresses. The router gives up on them after three seconds.
    told(&lab.verdict(&["198.19.2.99", "80"]), SERVER_V4);
    told(&lab.verdict(&["2001:db8:3::99", "80"]), SERVER_V6);
}
