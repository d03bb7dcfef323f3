//! A network that loses one packet in ten, each way: no cause is ever a wrong one. That the
//! evidence does not tell is no wrong cause.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::thread;

use super::explained::{Explained, count};
use super::full_queue::FullQueue;
use super::hosts::{self, Hosts, address, endpoint, filter, lose_one_in_ten};
use crate::support::tun::Family;
use lab::halfopen;

/// So many programs check these ports of a host at the same time. The first hundred targets of a
/// program are explained.
const PROGRAMS: usize = 3;
const PORTS: RangeInclusive<u16> = 1001..=1100;

/// How often a cause may be wrong because everything was lost that could tell, if that happens to
/// one check in twenty thousand (six packets and their answers). More of them come by chance less
/// than once in a million runs.
const WRONG: usize = 2;

/// The same for hosts that answer pings alone, or segments alone: one in 28 if two pings are sent.
const WRONG_OF_HALF_SILENT: usize = 29;

/// Checks the ports of a host with 10 % loss, and asserts that these causes are found and no
/// others.
#[track_caller]
fn assert_causes(hosts: &Hosts, target: &str, options: &[&str], causes: &[&str]) {
    let told = assert_no_causes_but(WRONG, hosts, target, options, causes);
    assert!(causes.len() <= told, "{told} causes");
}

/// Checks the ports of a host with 10 % loss, and asserts that only these causes are found, but for
/// so many. Returns how many are found.
#[track_caller]
fn assert_no_causes_but(
    most_wrong: usize,
    hosts: &Hosts,
    target: &str,
    options: &[&str],
    causes: &[&str],
) -> usize {
    lose_one_in_ten(&hosts.lab);
    let words = [&["--explain", "-o", "json", "-t", "4"], options, &[target]].concat();
    let outcomes: Vec<_> = thread::scope(|scope| {
        let run = || hosts.lab.client.outcome(halfopen(&words));
        let running: Vec<_> = (0..PROGRAMS).map(|_| scope.spawn(run)).collect();
        running.into_iter().map(|running| running.join().expect("no panic")).collect()
    });
    let all: Vec<_> = outcomes.iter().flat_map(Explained::all).collect();
    assert_eq!(all.len(), PROGRAMS * PORTS.len(), "{outcomes:#?}");
    println!("{target}: {:?}", count(&all));
    let is_right = |one: &&Explained| match one.cause.as_deref() {
        None | Some("unknown") => true,
        Some(cause) => causes.contains(&cause),
    };
    let wrong: Vec<_> = all.iter().filter(|one| !is_right(one)).collect();
    assert!(wrong.len() <= most_wrong, "{:?} {wrong:#?}", count(&all));
    all.iter().filter(|one| one.cause.as_deref().is_some_and(|cause| cause != "unknown")).count()
}

/// Returns ports of the target in the words of the program.
fn ports_of(address: IpAddr) -> String {
    let (first, last) = (PORTS.start(), PORTS.end());
    if address.is_ipv6() {
        format!("[{address}]:{first}-{last}")
    } else {
        format!("{address}:{first}-{last}")
    }
}

fn far(family: Family) -> String {
    ports_of(hosts::far(family))
}

fn near(family: Family) -> String {
    ports_of(hosts::near(family))
}

#[test]
fn full_queues() {
    let hosts = Hosts::new();
    let address = hosts::far(Family::V4);
    let _queues: Vec<_> =
        PORTS.map(|port| FullQueue::new(&hosts.far, endpoint(address, port), 0)).collect();
    assert_causes(&hosts, &far(Family::V4), &[], &["filter-or-queue"]);
}

#[test]
fn full_queues_on_the_link() {
    let hosts = Hosts::new();
    let address = hosts::near(Family::V6);
    let _queues: Vec<_> =
        PORTS.map(|port| FullQueue::new(&hosts.lab.server, endpoint(address, port), 5)).collect();
    assert_causes(&hosts, &near(Family::V6), &[], &["filter-or-queue"]);
}

#[test]
fn open_ports() {
    for family in [Family::V4, Family::V6] {
        let hosts = Hosts::new();
        let address = hosts::far(family);
        let _listeners: Vec<_> =
            PORTS.map(|port| hosts.far.listen(endpoint(address, port))).collect();
        assert_causes(&hosts, &far(family), &["-v"], &[]);
    }
}

/// The host's firewall, or that of the router.
fn firewall(on_host: bool, rule: &str, family: Family, causes: &[&str]) {
    let hosts = Hosts::new();
    let (host, hook) = if on_host { (&hosts.far, "input") } else { (&hosts.lab.server, "forward") };
    filter(host, hook, rule);
    assert_causes(&hosts, &far(family), &[], causes);
}

/// If all answers of the only kind are lost, the host seems to be silent, and nothing worse.
fn half_silent(rule: &str, family: Family, causes: &[&str]) {
    let hosts = Hosts::new();
    filter(&hosts.far, "input", rule);
    let told = assert_no_causes_but(WRONG_OF_HALF_SILENT, &hosts, &far(family), &[], causes);
    assert!(causes.len() <= told, "{told} causes");
}

const DROP: &str = "tcp dport 1001-1100 drop;";
const DROP_NEW: &str = "tcp dport 1001-1100 ct state new drop;";
const DROP_SYNS: &str = "tcp dport 1001-1100 tcp flags & (syn | ack) == syn drop;";

#[test]
fn a_port_that_the_host_drops() {
    firewall(true, DROP, Family::V4, &["firewall-drop"]);
}

#[test]
fn a_port_that_the_router_drops() {
    firewall(false, DROP, Family::V6, &["firewall-drop"]);
}

#[test]
fn new_connections_that_the_router_drops() {
    firewall(false, DROP_NEW, Family::V4, &["firewall-drop"]);
}

#[test]
fn syns_that_the_router_drops() {
    firewall(false, DROP_SYNS, Family::V4, &["filter-or-queue"]);
}

#[test]
fn all_but_pings_dropped() {
    half_silent("meta l4proto tcp drop;", Family::V4, &[]);
}

#[test]
fn all_but_tcp_dropped() {
    let rules =
        "icmp type echo-request drop; icmpv6 type echo-request drop; tcp dport 1001-1100 drop;";
    half_silent(rules, Family::V6, &["firewall-drop"]);
}

#[test]
fn everything_dropped() {
    firewall(true, "meta l4proto { tcp, icmp } drop;", Family::V4, &["host-silent"]);
}

#[test]
fn a_dead_host() {
    for family in [Family::V4, Family::V6] {
        let hosts = Hosts::new();
        let target = ports_of(hosts::dead(family));
        assert_causes(&hosts, &target, &[], &["host-silent"]);
    }
}

#[test]
fn refusals_of_the_host() {
    for family in [Family::V4, Family::V6] {
        let hosts = Hosts::new();
        assert_causes(&hosts, &far(family), &[], &["nobody-listens"]);
    }
}

#[test]
fn refusals_of_a_host_on_the_link() {
    let hosts = Hosts::new();
    assert_causes(&hosts, &near(Family::V4), &[], &["nobody-listens"]);
}

#[test]
fn refusals_of_a_host_by_the_kernels_handshake() {
    let hosts = Hosts::new();
    assert_causes(&hosts, &near(Family::V4), &["--engine", "connect"], &["nobody-listens"]);
}

#[test]
fn resets_of_the_router() {
    let rule = "tcp dport 1001-1100 reject with tcp reset;";
    firewall(false, rule, Family::V4, &["refused-on-the-way"]);
}

#[test]
fn resets_of_the_router_before_it_looks_at_the_hop_limit() {
    let hosts = Hosts::new();
    let rule = "iifname server0 tcp dport 1001-1100 reject with tcp reset;";
    filter(&hosts.lab.server, "prerouting", rule);
    // What would tell is told only if the SYN is lost that the router would pass on: perhaps never.
    let causes = &["refused-on-the-way"];
    assert_no_causes_but(WRONG, &hosts, &far(Family::V4), &[], causes);
}

#[test]
fn prohibitions_of_the_router() {
    let rule = "tcp dport 1001-1100 reject with icmpx type admin-prohibited;";
    firewall(false, rule, Family::V6, &["refused-on-the-way"]);
}

/// The address is the router's: it answers, and passes the port on.
fn translated(to: &str) -> Hosts {
    let hosts = Hosts::new();
    hosts.lab.server.nft(&format!(
        "table ip n {{ chain c {{ type nat hook prerouting priority -100;
           iifname server0 tcp dport 1001-1100 dnat to {to}; }}; }}"
    ));
    hosts
}

#[test]
fn a_dead_host_behind_a_translated_port() {
    let hosts = translated("198.19.2.99");
    assert_causes(&hosts, &near(Family::V4), &[], &[]);
}

#[test]
fn a_silent_port_behind_a_translated_one() {
    let hosts = translated("198.19.2.2");
    filter(&hosts.far, "input", DROP);
    assert_causes(&hosts, &near(Family::V4), &[], &[]);
}

#[test]
fn a_full_queue_behind_a_translated_port() {
    let hosts = translated("198.19.2.2");
    let any = address(Family::V4, "198.19.2.2", "::");
    let _queues: Vec<_> =
        PORTS.map(|port| FullQueue::new(&hosts.far, endpoint(any, port), 0)).collect();
    assert_causes(&hosts, &near(Family::V4), &[], &[]);
}
