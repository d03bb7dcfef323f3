//! Which route a SYN takes: that of a connection, whatever the choice depends on; and what it means
//! if there is none.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;

use crate::support::marked_route::{MARKED_V4, MARKED_V6};
use crate::support::names::Names;
use crate::support::preloaded::Preloaded;
use crate::support::process::wait_until;
use lab::{CLIENT_V4, CLIENT_V6, Lab, ROUTED_V4, ROUTED_V6, Verdict, halfopen_path};

const ENGINES: [&str; 2] = ["raw", "connect"];

/// Servers behind a route, and the addresses of the client on the first cable and on the second.
const WAYS: [(IpAddr, IpAddr, IpAddr); 2] =
    [(ROUTED_V4, CLIENT_V4, MARKED_V4), (ROUTED_V6, CLIENT_V6, MARKED_V6)];

fn check(lab: &Lab, engine: &str, words: &[&str]) -> Verdict {
    lab.verdict(&[&["--engine", engine], words].concat())
}

/// Two cables whose other ends drop what does not come from their own networks.
fn lab_with_strict_routers() -> Lab {
    let lab = Lab::new();
    lab.second_cable();
    lab.server.nft(
        "table inet strict { chain in {
             type filter hook prerouting priority -300;
             meta l4proto { icmpv6 } accept;
             iifname server0 ip saddr != 198.19.0.0/24 drop;
             iifname server1 ip saddr != 198.19.1.0/24 drop;
             iifname server0 ip6 saddr != 2001:db8:0:0::/64 drop;
             iifname server1 ip6 saddr != 2001:db8:2::/64 drop;
         }; }",
    );
    lab
}

fn lab_with_two_next_hops() -> Lab {
    let lab = lab_with_strict_routers();
    lab.client.configure(&[
        "route replace 198.18.0.0/16 nexthop via 198.19.0.2 nexthop via 198.19.1.2",
        "route del 2001:db8:1::/64",
        "route add 2001:db8:1::/64 nexthop via 2001:db8::2 nexthop via 2001:db8:2::2",
    ]);
    lab
}

#[test]
fn with_several_next_hops_each_syn_has_the_source_of_its_way() {
    let lab = lab_with_two_next_hops();
    let _listener = lab.server.listen("[::]:80".parse().expect("an endpoint"));
    let v4: Vec<_> = (1..=41).map(|host| format!("198.18.0.{host}:80")).collect();
    let v6: Vec<_> = (1..=41).map(|host| format!("[2001:db8:1::{host}]:80")).collect();
    for policy in ["0", "1"] {
        for family in ["ipv4", "ipv6"] {
            lab.client.sysctl(&format!("net.{family}.fib_multipath_hash_policy"), policy);
        }
        for targets in [&v4, &v6] {
            for engine in ENGINES {
                let captures = ["server0", "server1"].map(|end| lab.server.capture(end));
                let words: Vec<_> = targets.iter().map(String::as_str).collect();
                let outcome = lab.check(&[&["--engine", engine, "-t", "2"], &words[..]].concat());
                assert_eq!(outcome.code, 0, "policy {policy}, {engine}: {outcome:?}");
                assert_eq!(lab.server.run("ss", &["-Htan", "state", "syn-recv"]), "");
                let syns = captures.map(|capture| {
                    capture.segments().into_iter().filter(|segment| segment.flags == "SYN").count()
                });
                assert!(syns[0] > 0 && syns[1] > 0, "both ways are used: {syns:?}");
            }
        }
    }
}

/// As in a container without a `/proc` of its own.
#[test]
fn with_several_next_hops_a_choice_that_cannot_be_read_may_be_by_ports() {
    let lab = lab_with_two_next_hops();
    let _listener = lab.server.listen("[::]:80".parse().expect("an endpoint"));
    for (family, block) in [("ipv4", "198.18.0.0/26:80"), ("ipv6", "[2001:db8:1::/122]:80")] {
        lab.client.sysctl(&format!("net.{family}.fib_multipath_hash_policy"), "1");
        let mut command = Command::new("unshare");
        let hide = r#"mount -t tmpfs none /proc/sys/net && exec "$0" "$@""#;
        command.args([
            "-m",
            "sh",
            "-c",
            hide,
            halfopen_path(),
            "--engine",
            "raw",
            "-t",
            "2",
            block,
        ]);
        let outcome = lab.client.outcome(command);
        assert_eq!(outcome.code, 0, "{outcome:?}");
    }
}

/// Rules for ports choose the route of connections. A raw socket can take the same one if the
/// interface is enough to select it. Otherwise the target is unknown.
#[test]
fn a_rule_for_ports_chooses_the_way_or_the_check_says_that_it_cannot_follow() {
    let lab = lab_with_strict_routers();
    lab.client.configure(&[
        "route add 198.18.0.0/16 via 198.19.1.2 table 100",
        "route add 2001:db8:1::/64 via 2001:db8:2::2 table 100",
    ]);
    for family in ["-4", "-6"] {
        let rule = ["rule", "add", "ipproto", "tcp", "dport", "80", "lookup", "100"];
        lab.client.run("ip", &[&[family], &rule[..]].concat());
    }
    for (server, _, second) in WAYS {
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        let server = server.to_string();
        assert_eq!(check(&lab, "connect", &[&server, "80"]).ending(), (Some("open"), 0));
        let verdict = check(&lab, "raw", &["-t", "1", &server, "80"]);
        assert_eq!(verdict.ending(), (None, 3), "{verdict:?}");
        assert!(verdict.reason.contains("the connect engine"), "{verdict:?}");
        // Other ports are not affected.
        assert_eq!(check(&lab, "raw", &[&server, "81"]).ending(), (Some("closed"), 2));

        let way = if second.is_ipv4() {
            "route add 198.18.0.0/16 via 198.19.1.2 metric 5000"
        } else {
            "route add 2001:db8:1::/64 via 2001:db8:2::2 metric 5000"
        };
        lab.client.configure(&[way]);
        for engine in ENGINES {
            let capture = lab.server.capture("server1");
            let verdict = check(&lab, engine, &[&server, "80"]);
            assert_eq!(verdict.ending(), (Some("open"), 0), "{engine}: {verdict:?}");
            let segments = capture.segments();
            assert_eq!(segments.len(), 3, "{engine}: {segments:#?}");
            assert_eq!(segments[0].source, second, "{engine}");
        }
    }
}

/// What `ip rule` can match packets by, and options that make packets match.
#[test]
fn rules_for_protocol_user_class_and_source_choose_the_way() {
    let lab = lab_with_strict_routers();
    lab.client.configure(&[
        "route add 198.18.0.0/16 via 198.19.1.2 table 100",
        "route add 2001:db8:1::/64 via 2001:db8:2::2 table 100",
    ]);
    for (server, _, second) in WAYS {
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        let (server, source) = (server.to_string(), second.to_string());
        let family = if second.is_ipv4() { "-4" } else { "-6" };
        for (rule, words) in [
            (&["ipproto", "tcp"][..], &[][..]),
            (&["uidrange", "0-0"], &[]),
            (&["tos", "0x10"], &["--dscp", "4"]),
            (&["from", &source], &["--source", &source]),
        ] {
            let ip = |action| {
                let rule = [&[family, "rule", action], rule, &["lookup", "100"]].concat();
                lab.client.run("ip", &rule);
            };
            ip("add");
            for engine in ENGINES {
                let capture = lab.server.capture("server1");
                let verdict = check(&lab, engine, &[words, &[&server, "80"]].concat());
                assert_eq!(verdict.ending(), (Some("open"), 0), "{rule:?} {engine}: {verdict:?}");
                let first = capture.segments().into_iter().next();
                assert_eq!(first.map(|syn| syn.source), Some(second), "{rule:?} {engine}");
            }
            ip("del");
        }
    }
}

/// Packets that have no source address yet do not match such a route.
#[test]
fn a_route_for_some_source_addresses_is_a_route() {
    let lab = Lab::new();
    lab.client.configure(&[
        "route del 2001:db8:1::/64",
        "route add 2001:db8:1::/64 from 2001:db8:0:0::/64 via 2001:db8::2",
    ]);
    let _listener = lab.server.listen(SocketAddr::new(ROUTED_V6, 80));
    for engine in ENGINES {
        let verdict = check(&lab, engine, &["2001:db8:1::7", "80"]);
        assert_eq!(verdict.ending(), (Some("open"), 0), "{engine}: {verdict:?}");
    }
}

/// An IPv6 connection looks again with a source address, whatever it finds without one.
#[test]
fn a_route_for_some_source_addresses_comes_before_a_route_that_refuses() {
    let lab = Lab::new();
    let _listener = lab.server.listen("[2001:db8:1::7]:80".parse().expect("an endpoint"));
    lab.client.configure(&[
        "route del 2001:db8:1::/64",
        "route add 2001:db8:1::/64 via 2001:db8::2 table 100",
    ]);
    lab.client.run("ip", &["-6", "rule", "add", "from", "2001:db8::1", "lookup", "100"]);
    for kind in ["blackhole", "unreachable", "prohibit"] {
        lab.client.configure(&[&format!("route replace {kind} 2001:db8:1::/48")]);
        for engine in ENGINES {
            let verdict = check(&lab, engine, &["-t", "1", "2001:db8:1::7", "80"]);
            assert_eq!(verdict.ending(), (Some("open"), 0), "{kind}, {engine}: {verdict:?}");
        }
        lab.client.configure(&[&format!("route del {kind} 2001:db8:1::/48")]);
    }
}

#[test]
fn addresses_that_do_not_go_together_are_no_routes() {
    let lab = Lab::new();
    lab.second_cable();
    let names = Names::with_hosts("fe80::1 link-local.test\n");
    for engine in ENGINES {
        for (words, cause) in [
            (["-S", "127.0.0.1", "198.19.0.2:80"], "loopback address"),
            (["-S", "::1", "[2001:db8::2]:80"], "loopback address"),
            (["-I", "lo", "[fe80::1%client0]:80"], "another interface than the chosen one"),
            (["-I", "client1", "[fe80::1%client0]:80"], "another interface than the chosen one"),
        ] {
            let verdict = check(&lab, engine, &[&["-t", "1"], &words[..]].concat());
            assert_eq!(verdict.ending(), (None, 3), "{engine}: {verdict:?}");
            assert!(verdict.reason.contains(cause), "{engine}: {verdict:?}");
        }
        let words = ["--engine", engine, "-t", "2", "link-local.test", "80"];
        let verdict = lab.client.outcome(names.command(&words)).verdict();
        assert_eq!(verdict.ending(), (None, 3), "{engine}: {verdict:?}");
        assert!(verdict.reason.contains("is link-local"), "{engine}: {verdict:?}");
        // From one address of this machine to another.
        let _listener = lab.client.listen("198.19.0.1:80".parse().expect("an endpoint"));
        let verdict = check(&lab, engine, &["-S", "127.0.0.1", "198.19.0.1", "80"]);
        assert_eq!(verdict.ending(), (Some("open"), 0), "{engine}: {verdict:?}");
    }
}

/// `connect()` fails with the same errors as for missing routes.
#[test]
fn what_a_security_module_forbids_is_no_route() {
    let lab = Lab::new();
    let hook = Preloaded::build(&lab, "privilege/deny_connect.c");
    for server in ["198.19.0.2", "2001:db8::2"] {
        let mut command = Command::new(halfopen_path());
        command.args(["-o", "json", "-t", "1", "--engine", "connect", server, "80"]);
        let verdict = hook.run(&lab, command).verdict();
        assert_eq!(verdict.ending(), (None, 3), "{verdict:?}");
        assert!(verdict.reason.contains("Permission denied"), "{verdict:?}");
    }
}

#[test]
fn a_rule_that_forbids_a_source_is_a_route() {
    let lab = Lab::new();
    for (family, source, server) in
        [("-4", "198.19.0.1", "198.19.0.2"), ("-6", "2001:db8::1", "2001:db8::2")]
    {
        lab.client.run("ip", &[family, "rule", "add", "from", source, "blackhole"]);
        for engine in ENGINES {
            // An IPv6 connection does not look its route up again with the source that it gets.
            let also_without = if family == "-4" { [].as_slice() } else { &["-S", source] };
            for options in [["-S", source].as_slice(), also_without] {
                let words = [&["-t", "1", server, "80"], options].concat();
                let verdict = check(&lab, engine, &words);
                assert_eq!(verdict.ending(), (Some("unreachable"), 2), "{engine}: {verdict:?}");
                assert!(verdict.reason.contains("blackhole"), "{engine}: {verdict:?}");
            }
        }
    }
}

#[test]
fn a_source_that_goes_away_during_the_check_is_a_fault() {
    let lab = Lab::new();
    lab.server.nft(
        "table inet t { chain in { type filter hook input priority 0; tcp dport 80 drop; }; }",
    );
    for engine in ENGINES {
        for (source, prefix, server) in
            [("198.19.0.11", "24", "198.19.0.2"), ("2001:db8::11", "64", "2001:db8::2")]
        {
            let address = format!("{source}/{prefix}");
            lab.client.address("client0", &[&address]);
            let capture = lab.server.capture("server0");
            let mut command = Command::new(halfopen_path());
            command.args(["-o", "json", "--engine", engine, "-S", source, server, "80"]);
            let running = lab.client.spawn(command);
            wait_until(|| !capture.segments().is_empty());
            lab.client.configure(&[&format!("address del {address} dev client0")]);
            let verdict = running.wait().verdict();
            assert_eq!(verdict.ending(), (None, 3), "{engine}: {verdict:?}");
            let said = format!("cannot send from {source} ");
            assert!(verdict.reason.starts_with(&said), "{engine}: {verdict:?}");
        }
    }
}

/// As by `ip vrf exec`. There is no other route to the server.
#[test]
fn sockets_that_are_bound_to_an_interface_from_outside_stay_there() {
    let lab = lab_with_strict_routers();
    let hook = Preloaded::build(&lab, "privilege/bind_hook.c");
    lab.client.configure(&[
        "route add 198.18.0.0/16 via 198.19.1.2 metric 5000",
        "route add 2001:db8:1::/64 via 2001:db8:2::2 metric 5000",
    ]);
    for (server, _, second) in WAYS {
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        for engine in ENGINES {
            let (first, capture) = (lab.server.capture("server0"), lab.server.capture("server1"));
            let mut command = Command::new(halfopen_path());
            command.args(["-o", "json", "--engine", engine, &server.to_string(), "80"]);
            command.env("BIND", "client1");
            let verdict = hook.run(&lab, command).verdict();
            assert_eq!(verdict.ending(), (Some("open"), 0), "{engine}: {verdict:?}");
            let segments = capture.segments();
            assert_eq!((segments.len(), segments[0].source), (3, second), "{engine}");
            assert!(first.segments().is_empty(), "{engine}");
        }
    }
}
