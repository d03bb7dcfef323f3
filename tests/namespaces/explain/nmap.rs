//! Compared with nmap: whether a port answers ACKs, and which router is the last.

use std::net::IpAddr;

use super::explained::explain;
use super::full_queue::FullQueue;
use super::hosts::{self, Hosts, endpoint, filter};
use crate::support::tun::{Family, in_both_families};

in_both_families!(nmap_agrees_on_what_answers_acks, nmap_agrees_on_the_last_router,);

/// A port of the host, the cause of its silence, and what nmap's ACK scan says.
const PORTS: [(&str, &str, &str); 4] = [
    ("81", "firewall-drop", "filtered"),
    ("82", "firewall-drop", "filtered"),
    ("83", "filter-or-queue", "unfiltered"),
    ("84", "filter-or-queue", "unfiltered"),
];

fn nmap(hosts: &Hosts, words: &[&str], address: IpAddr) -> String {
    let family: &[&str] = if address.is_ipv6() { &["-6"] } else { &[] };
    let address = address.to_string();
    let words = [family, &["-n", "-Pn", "--reason"], words, &[&address]].concat();
    hosts.lab.client.run("nmap", &words)
}

fn nmap_agrees_on_what_answers_acks(family: Family) {
    let hosts = Hosts::new();
    let address = hosts::far(family);
    filter(&hosts.far, "input", "tcp dport 81 drop; tcp dport 82 ct state new drop;");
    filter(&hosts.lab.server, "forward", "tcp dport 83 tcp flags & (syn | ack) == syn drop;");
    let _full = FullQueue::new(&hosts.far, endpoint(address, 84), 0);
    let scanned = nmap(&hosts, &["-sA", "-p", "81,82,83,84"], address);
    let synned = nmap(&hosts, &["-sS", "-p", "81,82,83,84"], address);
    for (port, cause, state) in PORTS {
        let text = address.to_string();
        let explained = explain(&hosts.lab.client, &["-t", "2", &text, port]);
        explained.assert_cause("filtered", cause);
        // "81/tcp filtered hosts2-ns no-response"
        let of = |report: &str| {
            let mut lines = report.lines().filter(|line| line.starts_with(&format!("{port}/tcp")));
            let line = lines.next().unwrap_or_else(|| panic!("no {port}: {report}"));
            line.split_whitespace().nth(1).expect("a state").to_owned()
        };
        assert_eq!(of(&scanned), state, "port {port}: {scanned}");
        assert_eq!(of(&synned), "filtered", "port {port}: {synned}");
    }
}

fn nmap_agrees_on_the_last_router(family: Family) {
    let hosts = Hosts::new();
    filter(&hosts.far, "input", "meta l4proto { tcp, icmp } drop; icmpv6 type echo-request drop;");
    let address = hosts::far(family);
    let router = hosts::near(family).to_string();
    let explained = explain(&hosts.lab.client, &["-t", "3", &address.to_string(), "80"]);
    explained.assert_cause("filtered", "host-silent");
    explained.assert_evidence(&[&format!("the last router that answers is {router}, 1 hop away")]);
    // "1   0.02 ms 198.19.0.2", and no other line with an address.
    let trace = nmap(&hosts, &["-sS", "--traceroute", "-p", "80", "--max-retries", "1"], address);
    let (_, hops) = trace.split_once("HOP RTT").expect("a trace");
    let routers: Vec<_> = hops.lines().filter(|line| line.contains(" ms ")).collect();
    assert_eq!(routers.len(), 1, "{trace}");
    assert!(routers[0].starts_with("1 ") && routers[0].ends_with(&router), "{trace}");
}
