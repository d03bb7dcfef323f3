//! Targets that mean the same endpoint: probed once, reported for each that names it.

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use crate::support::crowd::{Crowd, Findings};
use crate::support::names::{Names, address, answer, name_service};
use lab::{Captured, SERVER_V4};

/// SYNs by the endpoint that they went to.
fn probes(segments: &[Captured]) -> HashMap<String, usize> {
    let mut probes = HashMap::new();
    for syn in segments.iter().filter(|segment| segment.flags == "SYN") {
        let endpoint = format!("{} {}", syn.destination, syn.destination_port);
        *probes.entry(endpoint).or_default() += 1;
    }
    probes
}

#[test]
fn an_endpoint_named_in_many_ways_is_probed_once_and_reported_for_each() {
    let crowd = Crowd::new();
    let names = Names::with_hosts("198.18.0.1 one.test also-one.test\n2001:db8:1::1 six.test\n");
    let capture = crowd.lab.server.capture("server0");
    let targets = [
        "198.18.0.0/30:80-81",
        "198.18.0.1:80",
        "198.18.0.1:79-80",
        "[::ffff:198.18.0.1]:80",
        "one.test:80",
        "also-one.test:80,81",
        "198.18.0.0/31:80",
        "[2001:db8:1::1]:80",
        "six.test:80",
    ];
    let outcome = crowd
        .lab
        .client
        .outcome(names.command(&[&["--rate", "0", "-t", "3"], &targets[..]].concat()));
    let findings = Findings::of(&outcome);

    let probes = probes(&capture.segments());
    assert!(probes.values().all(|count| *count == 1), "each once: {probes:#?}");
    assert_eq!(probes.len(), 4 * 2 + 1 + 1, "{probes:#?}");

    // 8 of the first block, then 1 + 2 + 1 + 1 + 2 + 2, and two of IPv6.
    assert_eq!((findings.all.len(), findings.summary.targets), (19, 19));
    let of = |address: &str, port: u16, state: &str| {
        let address = address.parse().ok();
        let same = findings.all.iter().filter(|f| (f.address, f.port) == (address, port));
        let states: Vec<_> = same.map(|finding| finding.state.as_deref()).collect();
        assert!(states.iter().all(|found| *found == Some(state)), "{address:?} {port}: {states:?}");
        states.len()
    };
    assert_eq!(of("198.18.0.1", 80, "open"), 7);
    assert_eq!(of("198.18.0.1", 81, "closed"), 2);
    assert_eq!(of("198.18.0.0", 80, "open"), 2);
    assert_eq!(of("198.18.0.3", 80, "open"), 1);
    assert_eq!(of("2001:db8:1::1", 80, "open"), 2);
    for name in ["one.test:80", "also-one.test:80", "also-one.test:81", "six.test:80"] {
        findings.of_target(name);
    }
    crowd.assert_nothing_is_left();
}

#[test]
fn a_block_named_twice_is_probed_once_and_counted_twice() {
    let crowd = Crowd::new();
    let capture = crowd.lab.server.capture("server0");
    let findings = crowd.check(&["198.18.0.0/22:80", "198.18.0.0/23:80", "198.18.2.0/23:80"]);
    let probes = probes(&capture.segments());
    assert_eq!((probes.len(), probes.values().max()), (1024, Some(&1)));
    assert_eq!((findings.all.len(), findings.summary.open, findings.code), (2048, 2048, 0));
}

/// Its address has had a verdict for long.
#[test]
fn a_name_that_resolves_late_shares_the_verdict_of_its_address() {
    let crowd = Crowd::new();
    let names = Names::with_hosts("127.0.0.1 localhost\n");
    answer(name_service(&crowd.lab), |question| {
        thread::sleep(Duration::from_millis(500));
        address(question)
    });
    let capture = crowd.lab.server.capture("server0");
    let literal = format!("{SERVER_V4}:80");
    let outcome =
        crowd.lab.client.outcome(names.command(&["-4", "-t", "5", "late.test:80", &literal]));
    let findings = Findings::of(&outcome);
    assert_eq!(probes(&capture.segments()).into_values().collect::<Vec<_>>(), [1]);
    let (first, late) = (findings.of_target(&literal), findings.of_target("late.test:80"));
    assert_eq!((first.state.as_deref(), late.state.as_deref()), (Some("open"), Some("open")));
    assert_eq!((first.address, first.rtt), (late.address, late.rtt));
    assert_eq!((findings.summary.open, findings.code), (2, 0));
}
