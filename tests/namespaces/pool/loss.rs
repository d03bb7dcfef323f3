//! A network that loses one packet in twenty, each way.

use crate::support::chance::bounds;
use crate::support::crowd::{Crowd, Findings};

/// The number of targets in a pool.
const TARGETS: u16 = 16_384;

/// The probability that a SYN or its answer is lost.
const LOST: f64 = 1.0 - 0.95 * 0.95;

#[test]
fn false_verdicts_are_as_rare_as_the_retries_make_them() {
    let crowd = Crowd::new();
    // A SYN+ACK that the server retransmits would make up for a lost one.
    crowd.lab.server.sysctl("net.ipv4.tcp_synack_retries", "0");
    crowd.lab.server.nft(
        "table inet loss {
           chain in { type filter hook prerouting priority 0; tcp dport 80 numgen random mod 100 < 5 drop; };
           chain out { type filter hook postrouting priority 0; tcp sport 80 numgen random mod 100 < 5 drop; };
         }",
    );
    let mut shares = Vec::new();
    for (retries, timeout) in [("0", "4"), ("2", "4"), ("4", "6")] {
        let options = ["--rate", "0", "--retries", retries, "-t", timeout];
        let findings = crowd.check(&[&options[..], &["198.18.0.0/18:80"]].concat());
        let lost = false_verdicts(&findings);
        let tries = retries.parse::<i32>().expect("a number") + 1;
        let (least, most) = bounds(usize::from(TARGETS), LOST.powi(tries));
        assert!(
            (least..=most).contains(&lost),
            "{lost} false verdicts with {tries} SYNs each, expected {least} to {most}"
        );
        shares.push(lost);
    }
    assert!(shares.is_sorted_by(|fewer, more| fewer > more), "{shares:?}");
}

/// Returns how many targets were not found open. Asserts that loss looks like silence and nothing
/// else.
fn false_verdicts(findings: &Findings) -> usize {
    let targets = usize::from(TARGETS);
    assert_eq!((findings.all.len(), findings.summary.targets), (targets, targets));
    let (open, filtered) = (findings.count("open"), findings.count("filtered"));
    assert_eq!(open + filtered, targets, "{:?}", findings.summary);
    filtered
}
