//! The ways that the SYNs of a pool take, where prefixes lie in each other: for each target that of
//! the kernel.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use lab::{Direction, Lab};

/// What is not simply routed by the first cable, and what is done with it.
const PREFIXES: [(&str, &str); 13] = [
    ("198.18.16.0/20", "route add {} via 198.19.1.2"),
    ("198.18.17.64/26", "route add {} via 198.19.0.2"),
    ("198.18.17.100/32", "route add {} via 198.19.1.2 src 198.19.1.99"),
    ("198.18.32.0/20", "route add {} dev client0 src 198.19.0.99"),
    ("198.18.40.0/24", "route add unreachable {}"),
    ("198.18.41.0/24", "route add blackhole {}"),
    ("198.18.42.0/24", "route add prohibit {}"),
    ("198.18.42.128/25", "route add throw {}"),
    ("198.18.43.0/30", "route add broadcast {} dev client0"),
    ("198.18.44.7/32", "route add local {} dev lo"),
    ("198.18.64.0/18", "rule add to {} lookup 100"),
    ("198.18.80.0/20", "rule add to {} prohibit"),
    ("198.18.96.0/20", "rule add not to 198.18.0.0/16 lookup 100"),
];

/// Returns the addresses on both sides of each end of a prefix.
fn about(prefix: &str) -> [Ipv4Addr; 4] {
    let (first, length) = prefix.split_once('/').expect("a prefix");
    let first: u32 = first.parse::<Ipv4Addr>().expect("an address").to_bits();
    let others = u32::MAX.checked_shr(length.parse().expect("a length")).unwrap_or_default();
    [first - 1, first, first | others, (first | others) + 1].map(Ipv4Addr::from_bits)
}

/// Returns the interface and the source address that the kernel would choose, if it has a route.
fn of_the_kernel(lab: &Lab, target: Ipv4Addr) -> Option<(String, IpAddr)> {
    let mut command = Command::new("ip");
    command.args(["route", "get", &target.to_string(), "ipproto", "tcp"]);
    let outcome = lab.client.outcome(command);
    let words: Vec<_> = outcome.stdout.split_whitespace().collect();
    if outcome.code != 0 || words[0] == "broadcast" {
        return None;
    }
    let after = |word| words[words.iter().position(|other| *other == word).expect("told") + 1];
    Some((after("dev").to_owned(), after("src").parse().expect("an address")))
}

#[test]
fn every_target_of_a_pool_is_reached_by_the_way_of_the_kernel() {
    let lab = Lab::new();
    lab.second_cable();
    lab.client.address("client0", &["198.19.0.99/32"]);
    lab.client.address("client1", &["198.19.1.99/32"]);
    lab.client.configure(&["route add default via 198.19.1.2 table 100"]);
    lab.client.configure(
        &PREFIXES.map(|(prefix, how)| how.replace("{}", prefix)).each_ref().map(String::as_str),
    );
    let mut targets: Vec<_> = PREFIXES.iter().flat_map(|(prefix, _)| about(prefix)).collect();
    targets.extend((0..=255).map(|n| Ipv4Addr::new(198, 18, n, n)));
    targets.sort_unstable();
    targets.dedup();
    let expected: BTreeMap<_, _> = targets
        .iter()
        .filter_map(|target| Some((IpAddr::V4(*target), of_the_kernel(&lab, *target)?)))
        .collect();

    let captures = ["client0", "client1", "lo"].map(|name| (name, lab.client.capture(name)));
    let endpoints: Vec<_> = targets.iter().map(|target| format!("{target}:80")).collect();
    let words = ["--engine", "raw", "--retries", "0", "-t", "3"].into_iter();
    lab.check(&words.chain(endpoints.iter().map(String::as_str)).collect::<Vec<_>>());
    let mut taken = BTreeMap::new();
    for (name, capture) in captures {
        for segment in capture.segments() {
            if segment.flags == "SYN" && segment.direction == Direction::Out {
                taken.insert(segment.destination, (name.to_owned(), segment.source));
            }
        }
    }
    assert_eq!(taken, expected);
    let count = |name: &str| expected.values().filter(|(device, _)| device == name).count();
    assert!(expected.len() < targets.len(), "some have no route");
    assert!(count("client0") > 50 && count("client1") > 50 && count("lo") == 1, "{expected:?}");
}
