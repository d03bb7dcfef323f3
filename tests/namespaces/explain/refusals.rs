//! Ports that a router, a firewall or the host refuses.

use super::ENGINES;
use super::explained::explain_each;
use super::hosts::{self, Hosts, endpoint, filter};
use crate::support::rejections::{REJECTIONS_V4, REJECTIONS_V6, Rejection};
use crate::support::tun::{Family, in_both_families};

in_both_families!(
    every_icmp_error_of_a_router_is_refused_on_the_way,
    icmp_errors_of_the_host_are_refused_by_a_firewall_on_it_or_concern_a_host_behind,
    a_router_that_resets_is_told_from_the_host,
    a_router_that_resets_before_it_looks_at_the_hop_limit_is_never_the_host,
    a_host_whose_firewall_resets_refuses_itself,
);

/// The first port that is refused.
const REFUSED: u16 = 9000;

fn rejections(family: Family) -> (&'static str, &'static [Rejection]) {
    match family {
        Family::V4 => ("icmp", &REJECTIONS_V4),
        Family::V6 => ("icmpv6", &REJECTIONS_V6),
    }
}

fn rules(family: Family) -> String {
    let (kind, rejections) = rejections(family);
    let rules = (REFUSED..)
        .zip(rejections)
        .map(|(port, (name, ..))| format!("tcp dport {port} reject with {kind} type {name};"));
    rules.collect()
}

fn every_icmp_error_of_a_router_is_refused_on_the_way(family: Family) {
    let hosts = Hosts::new();
    filter(&hosts.lab.server, "forward", &rules(family));
    let (far, router) = (hosts::far(family).to_string(), hosts::near(family).to_string());
    let (_, rejections) = rejections(family);
    let ports: Vec<_> = (REFUSED..).take(rejections.len()).map(|port| port.to_string()).collect();
    for engine in ENGINES {
        let checks: Vec<_> =
            ports.iter().map(|port| vec!["-t", "2", "--engine", engine, &far, port]).collect();
        let all = explain_each(&hosts.lab.client, &checks);
        for (explained, (.., state)) in all.iter().zip(rejections) {
            assert!(explained.reason.ends_with(&format!(" from {router}")), "{explained:#?}");
            explained.assert_cause(state, "refused-on-the-way");
            if engine == "raw" {
                explained.assert_evidence(&["the ICMP error comes from 1 hop away"]);
            }
        }
    }
}

fn icmp_errors_of_the_host_are_refused_by_a_firewall_on_it_or_concern_a_host_behind(
    family: Family,
) {
    let hosts = Hosts::new();
    let (_, rejections) = rejections(family);
    let ports: Vec<_> = (REFUSED..).take(rejections.len()).map(|port| port.to_string()).collect();
    for (host, place, address) in hosts.each(family) {
        filter(host, "input", &rules(family));
        let address = address.to_string();
        let away = if place == "near" { "1 hop away" } else { "2 hops away" };
        let checks: Vec<_> = ports.iter().map(|port| vec!["-t", "2", &address, port]).collect();
        let all = explain_each(&hosts.lab.client, &checks);
        for (explained, (.., state)) in all.iter().zip(rejections) {
            assert!(explained.reason.ends_with(&format!(" from {address}")), "{explained:#?}");
            // A host that passes ports on to others says so of those that are dead.
            let cause = if *state == "unreachable" { "unknown" } else { "refused-on-the-way" };
            explained.assert_cause(state, cause);
            explained.assert_evidence(&["the ICMP error comes from", away]);
        }
    }
}

fn a_router_that_resets_is_told_from_the_host(family: Family) {
    let hosts = Hosts::new();
    filter(&hosts.lab.server, "forward", "tcp dport 80 reject with tcp reset;");
    let (far, router) = (hosts::far(family), hosts::near(family).to_string());
    let _listener = hosts.far.listen(endpoint(far, 80));
    let far = far.to_string();
    let checks = ENGINES.map(|engine| vec!["-t", "2", "--engine", engine, &far, "80"]);
    let [raw, connect] = explain_each(&hosts.lab.client, &checks).try_into().expect("two");
    raw.assert_cause("closed", "refused-on-the-way");
    raw.assert_evidence(&["the RST comes from 1 hop away"]);
    raw.assert_evidence(&["a SYN limited to 1 hop draws ICMP", &router]);
    connect.assert_cause("closed", "unknown");
}

fn a_router_that_resets_before_it_looks_at_the_hop_limit_is_never_the_host(family: Family) {
    let hosts = Hosts::new();
    let far = hosts::far(family);
    filter(&hosts.lab.server, "prerouting", "iifname server0 tcp dport 80 reject with tcp reset;");
    let _listener = hosts.far.listen(endpoint(far, 80));
    let far = far.to_string();
    let checks = ENGINES.map(|engine| vec!["-t", "2", "--engine", engine, &far, "80"]);
    for explained in explain_each(&hosts.lab.client, &checks) {
        let causes = [Some("unknown"), Some("refused-on-the-way")];
        assert!(causes.contains(&explained.cause.as_deref()), "{explained:#?}");
    }
}

fn a_host_whose_firewall_resets_refuses_itself(family: Family) {
    let hosts = Hosts::new();
    for (host, _, address) in hosts.each(family) {
        filter(host, "input", "tcp dport 80 reject with tcp reset;");
        let _listener = host.listen(endpoint(address, 80));
        let address = address.to_string();
        let checks = [vec!["-t", "2", &address, "80"]];
        for explained in explain_each(&hosts.lab.client, &checks) {
            explained.assert_cause("closed", "nobody-listens");
        }
    }
}
