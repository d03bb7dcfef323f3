//! ICMP errors of this machine about its own SYN: its firewall rejects, or the next hop is silent.
//! Both look alike. Only the neighbour table can distinguish them.

use nix::sys::signal::Signal;

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
        wait_until(|| neighbours(&lab, target).contains("FAILED"));
        lab.client.configure(&[&format!("neigh del {target} dev client0")]);
        signal(&check, Signal::SIGCONT);
        let verdict = check.wait().verdict();
        assert!(!verdict.reason.contains("firewall"), "{verdict:?}");
        assert!(verdict.ending() == (None, 3) || verdict.reason.starts_with("no answer to "));
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
