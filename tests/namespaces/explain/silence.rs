//! Hosts of which nothing answers.

use super::ENGINES;
use super::explained::explain;
use super::hosts::{self, Hosts, address, filter};
use crate::support::tun::{Family, in_both_families};

in_both_families!(
    a_firewall_that_drops_everything_makes_a_silent_host,
    a_dead_host_on_the_link_is_a_silent_neighbour,
    a_dead_host_behind_a_router_is_silent_before_the_router_says_so,
    a_dead_host_behind_a_router_is_silent_when_the_router_says_so,
);

const NEIGHBOURS: &str = "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept;";

fn a_firewall_that_drops_everything_makes_a_silent_host(family: Family) {
    let hosts = Hosts::new();
    filter(&hosts.far, "input", &format!("{NEIGHBOURS} drop;"));
    let router = hosts::near(family).to_string();
    let far = hosts::far(family).to_string();
    for engine in ENGINES {
        let explained = explain(&hosts.lab.client, &["-t", "2", "--engine", engine, &far, "80"]);
        explained.assert_cause("filtered", "host-silent");
        explained.assert_evidence(&[&format!("the last router that answers is {router}")]);
    }
    filter(&hosts.lab.server, "input", &format!("{NEIGHBOURS} drop;"));
    let explained = explain(&hosts.lab.client, &["-t", "2", &router, "80"]);
    explained.assert_cause("filtered", "host-silent");
}

fn a_dead_host_on_the_link_is_a_silent_neighbour(family: Family) {
    let hosts = Hosts::new();
    let dead = address(family, "198.19.0.99", "2001:db8::99").to_string();
    for engine in ENGINES {
        let explained = explain(&hosts.lab.client, &["-t", "5", "--engine", engine, &dead, "80"]);
        explained.assert_cause("unreachable", "neighbour-silent");
    }
}

fn a_dead_host_behind_a_router_is_silent_before_the_router_says_so(family: Family) {
    let hosts = Hosts::new();
    let dead = hosts::dead(family).to_string();
    let router = hosts::near(family);
    // The router asks for its neighbour for longer than the checks take.
    for family in ["ipv4", "ipv6"] {
        hosts.lab.server.sysctl(&format!("net.{family}.neigh.server2.retrans_time_ms"), "60000");
    }
    for engine in ENGINES {
        let explained = explain(&hosts.lab.client, &["-t", "2", "--engine", engine, &dead, "80"]);
        explained.assert_cause("filtered", "host-silent");
        explained.assert_evidence(&[&format!("the last router that answers is {router}")]);
    }
}

fn a_dead_host_behind_a_router_is_silent_when_the_router_says_so(family: Family) {
    let hosts = Hosts::new();
    let dead = hosts::dead(family).to_string();
    let router = hosts::near(family);
    for family in ["ipv4", "ipv6"] {
        hosts.lab.server.sysctl(&format!("net.{family}.neigh.server2.retrans_time_ms"), "100");
    }
    for engine in ENGINES {
        let explained = explain(&hosts.lab.client, &["-t", "3", "--engine", engine, &dead, "80"]);
        explained.assert_cause("unreachable", "host-silent");
        assert!(explained.reason.ends_with(&format!(" from {router}")), "{explained:#?}");
    }
}
