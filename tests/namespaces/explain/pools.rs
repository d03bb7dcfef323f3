//! Which targets of a pool are explained: the first hundred, then one per network.

use std::collections::BTreeSet;

use super::explained::{Explained, count};
use super::hosts::filter;
use lab::{Lab, halfopen};

fn silent() -> Lab {
    let lab = Lab::new();
    filter(
        &lab.server,
        "input",
        "ip daddr { 198.18.5.0/24, 198.18.6.0/24 } drop; ip6 daddr 2001:db8:1::/64 drop;",
    );
    lab
}

/// Returns the addresses that were asked by echo request, and what was said of the targets.
fn explain_pool(lab: &Lab, targets: &[&str]) -> (BTreeSet<String>, Vec<Explained>) {
    let capture = lab.client.capture("client0");
    let options = ["--explain", "-o", "json", "-t", "4", "--rate", "0"];
    let outcome = lab.client.outcome(halfopen(&[&options[..], targets].concat()));
    outcome.assert_waited_at_most(4.2);
    let pings = capture.segments().into_iter().filter(|segment| segment.flags.starts_with("ICMP"));
    let pinged = pings.map(|ping| ping.destination.to_string()).collect();
    (pinged, Explained::all(&outcome))
}

/// Returns how many targets were explained whose name begins like this.
fn of(all: &[Explained], network: &str) -> usize {
    let explained = all.iter().filter(|target| target.cause.is_some());
    explained.filter(|explained| explained.target.starts_with(network)).count()
}

#[test]
fn a_hundred_targets_of_one_network_are_explained() {
    let lab = silent();
    let (pinged, all) = explain_pool(&lab, &["198.18.5.0/24:80", "198.18.5.0/26:81"]);
    assert_eq!(all.len(), 256 + 64, "{:?}", count(&all));
    assert_eq!(of(&all, "198.18.5."), 100, "{:?}", count(&all));
    assert!(pinged.len() <= 100, "{}", pinged.len());
    assert!(all.iter().all(|target| target.state.as_deref() == Some("filtered")));
}

/// Whichever network's targets come first.
#[test]
fn one_target_of_each_further_network_is_explained() {
    let lab = silent();
    let targets = ["198.18.5.0/24:80", "198.18.6.0/24:80"];
    let (_, all) = explain_pool(&lab, &targets);
    let (first, second) = (of(&all, "198.18.5."), of(&all, "198.18.6."));
    assert!(first.min(second) >= 1, "{first} and {second}");
    assert!((100..=101).contains(&(first + second)), "{first} and {second}");
}

#[test]
fn one_target_of_each_further_ipv6_network_is_explained() {
    let lab = silent();
    lab.client.configure(&["route add 2001:db8:7::/64 via 2001:db8::2"]);
    lab.server.configure(&["route add local 2001:db8:7::/64 dev lo"]);
    filter(&lab.server, "prerouting", "ip6 daddr 2001:db8:7::/64 drop;");
    let (_, all) = explain_pool(&lab, &["[2001:db8:1::/120]:80", "[2001:db8:7::/120]:80"]);
    let (first, second) = (of(&all, "[2001:db8:1:"), of(&all, "[2001:db8:7:"));
    assert!(first.min(second) >= 1, "{first} and {second}");
    assert!((100..=101).contains(&(first + second)), "{first} and {second}");
}

/// Open targets need no explanation, and take no place of those that do.
#[test]
fn open_targets_do_not_count() {
    let lab = silent();
    let _listener = lab.server.listen("0.0.0.0:80".parse().expect("an endpoint"));
    let targets = ["198.18.7.0/24:80", "198.18.5.0/25:80"];
    let (_, all) = explain_pool(&lab, &targets);
    let open = all.iter().filter(|target| target.state.as_deref() == Some("open"));
    assert!(open.clone().count() > 250 && open.clone().all(|open| open.cause.is_none()));
    assert_eq!(of(&all, "198.18."), 100, "{:?}", count(&all));
}
