//! A router that passes ports of its own address on to other hosts.

use super::ENGINES;
use super::explained::explain;
use super::full_queue::FullQueue;
use super::hosts::{self, Hosts, endpoint, filter};
use crate::support::tun::{Family, in_both_families};

in_both_families!(
    nothing_is_said_of_a_silent_host_behind_a_translated_port,
    an_open_host_behind_a_translated_port_has_no_cause,
);

fn translate(hosts: &Hosts, family: Family) {
    let (name, dead) = match family {
        Family::V4 => ("ip", hosts::dead(family).to_string()),
        Family::V6 => ("ip6", format!("[{}]", hosts::dead(family))),
    };
    let alive = match family {
        Family::V4 => hosts::far(family).to_string(),
        Family::V6 => format!("[{}]", hosts::far(family)),
    };
    hosts.lab.server.nft(&format!(
        "table {name} n {{ chain c {{ type nat hook prerouting priority -100;
           iifname server0 tcp dport 70 dnat to {dead}:80;
           iifname server0 tcp dport 71 dnat to {alive}:81;
           iifname server0 tcp dport 72 dnat to {alive}:82;
           iifname server0 tcp dport 73 dnat to {alive}:83;
         }}; }}"
    ));
}

/// The address answers, and not the host behind it: neither a filter nor a queue can be told.
fn nothing_is_said_of_a_silent_host_behind_a_translated_port(family: Family) {
    let hosts = Hosts::new();
    translate(&hosts, family);
    for protocol in ["ipv4", "ipv6"] {
        // The router asks for its neighbour for longer than the checks take.
        hosts.lab.server.sysctl(&format!("net.{protocol}.neigh.server2.retrans_time_ms"), "60000");
    }
    filter(&hosts.far, "input", "tcp dport 81 drop;");
    let _full = FullQueue::new(&hosts.far, endpoint(hosts::far(family), 82), 1);
    let router = hosts::near(family).to_string();
    for port in ["70", "71", "72"] {
        for engine in ENGINES {
            let words = ["-t", "2", "--engine", engine, &router, port];
            explain(&hosts.lab.client, &words).assert_cause("filtered", "unknown");
        }
    }
}

fn an_open_host_behind_a_translated_port_has_no_cause(family: Family) {
    let hosts = Hosts::new();
    translate(&hosts, family);
    let _listener = hosts.far.listen(endpoint(hosts::far(family), 83));
    let router = hosts::near(family).to_string();
    for engine in ENGINES {
        let words = ["-v", "-t", "2", "--engine", engine, &router, "73"];
        explain(&hosts.lab.client, &words).assert_open_without_cause();
    }
}
