//! Firewalls that drop segments, on the host and on the router.

use super::ENGINES;
use super::explained::{Explained, explain, explain_each};
use super::hosts::{Hosts, endpoint, filter};
use crate::support::tun::{Family, in_both_families};

in_both_families!(
    a_firewall_that_drops_the_port_is_told_from_one_that_drops_its_syns,
    nothing_is_said_of_a_host_that_answers_pings_alone,
    a_firewall_that_drops_all_but_another_port_makes_no_silent_host,
);

/// A rule for a port, and what can be told from outside.
const RULES: [(&str, &str, &str); 4] = [
    ("81", "drop", "firewall-drop"),
    // An ACK of no known connection is new, too.
    ("82", "ct state new drop", "firewall-drop"),
    ("83", "tcp flags & (syn | ack) == syn drop", "filter-or-queue"),
    ("84", "tcp flags & (syn | ack | rst | fin) == syn drop", "filter-or-queue"),
];

fn a_firewall_that_drops_the_port_is_told_from_one_that_drops_its_syns(family: Family) {
    let hosts = Hosts::new();
    let rules: Vec<_> =
        RULES.iter().map(|(port, rule, _)| format!("tcp dport {port} {rule};")).collect();
    for (host, _, address) in hosts.each(family) {
        filter(host, "input", &rules.join(" "));
        let _listeners = [81, 82, 83, 84].map(|port| host.listen(endpoint(address, port)));
        assert_told(&hosts, &address.to_string());
    }
}

/// The same firewall on a router.
#[test]
fn the_router_does_not_hide_what_its_firewall_does() {
    let hosts = Hosts::new();
    let rules: Vec<_> =
        RULES.iter().map(|(port, rule, _)| format!("tcp dport {port} {rule};")).collect();
    filter(&hosts.lab.server, "forward", &rules.join(" "));
    for family in [Family::V4, Family::V6] {
        let address = super::hosts::far(family);
        let _listeners = [81, 82, 83, 84].map(|port| hosts.far.listen(endpoint(address, port)));
        assert_told(&hosts, &address.to_string());
    }
}

#[track_caller]
fn assert_told(hosts: &Hosts, address: &str) {
    for engine in ENGINES {
        let checks = RULES.map(|(port, ..)| vec!["-t", "2", "--engine", engine, address, port]);
        let all = explain_each(&hosts.lab.client, &checks);
        for (explained, (.., cause)) in all.iter().zip(RULES) {
            assert_cause_of_silence(explained, engine, cause);
        }
    }
}

/// The kernel's own handshakes ask no ACKs.
#[track_caller]
fn assert_cause_of_silence(explained: &Explained, engine: &str, cause: &str) {
    if engine == "connect" {
        explained.assert_cause("filtered", "unknown");
        explained.assert_evidence(&["ACKs could not be sent"]);
        explained.assert_evidence(&["answers ping"]);
    } else {
        explained.assert_cause("filtered", cause);
    }
}

fn nothing_is_said_of_a_host_that_answers_pings_alone(family: Family) {
    let hosts = Hosts::new();
    for (host, _, address) in hosts.each(family) {
        filter(host, "input", "meta l4proto tcp drop;");
        let address = address.to_string();
        for engine in ENGINES {
            let words = ["-t", "2", "--engine", engine, &address, "80"];
            let explained = explain(&hosts.lab.client, &words);
            // Something in front may answer pings for the host.
            explained.assert_cause("filtered", "unknown");
            explained.assert_evidence(&["answers ping"]);
        }
    }
}

fn a_firewall_that_drops_all_but_another_port_makes_no_silent_host(family: Family) {
    let hosts = Hosts::new();
    for (host, _, address) in hosts.each(family) {
        filter(
            host,
            "input",
            "tcp dport 443 accept; icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept; drop;",
        );
        let _listener = host.listen(endpoint(address, 443));
        let explained = explain(&hosts.lab.client, &["-t", "2", &address.to_string(), "80"]);
        // Most of ten packets are spent before the port that answers is found.
        let causes = [Some("firewall-drop"), Some("unknown")];
        assert!(causes.contains(&explained.cause.as_deref()), "{explained:#?}");
        explained.assert_evidence(&["port 443 answers SYN with SYN+ACK"]);
    }
}
