//! Tens of thousands of targets, open, closed and silent: every verdict right, every handshake
//! aborted.

use std::process::Command;

use crate::support::crowd::{CLOSED, Crowd, DROPPED, Findings, OPEN, expected};
use lab::halfopen_path;

#[test]
fn each_of_65536_addresses_gets_its_verdicts_as_fast_as_the_machine_goes() {
    let crowd = Crowd::new();
    for _ in 0..3 {
        let findings =
            crowd.check(&["--rate", "0", "--retries", "1", "-t", "30", "198.18.0.0/16:80,81,82"]);
        findings.assert_states(expected("198.18.0.0", 65_536, &[OPEN, CLOSED, DROPPED]));
        assert_critical(&findings);
        crowd.assert_nothing_is_left();
    }
}

/// A block of 4,096 is enough for silence here: 65,536 silent targets and their retransmissions
/// take this rate 20 seconds. The program has the clock of the machine: with the other one, a
/// program that waits before each SYN takes too long on a busy machine.
#[test]
fn each_of_65536_addresses_gets_its_verdicts_at_the_default_rate() {
    let crowd = Crowd::new();
    let mut command = Command::new(halfopen_path());
    command.args(["-o", "json", "-t", "300", "198.18.0.0/20:82", "198.18.0.0/16:80,81"]);
    let findings = Findings::of(&crowd.lab.client.outcome(command));
    let answered = expected("198.18.0.0", 65_536, &[OPEN, CLOSED]);
    findings.assert_states(answered.chain(expected("198.18.0.0", 4096, &[DROPPED])));
    assert_critical(&findings);
    crowd.assert_nothing_is_left();
}

#[test]
fn each_of_4096_ipv6_addresses_gets_its_verdicts() {
    let crowd = Crowd::new();
    for rate in ["0", "10000"] {
        for _ in 0..3 {
            let block = "[2001:db8:1::/116]:80,81,82";
            let findings = crowd.check(&["--rate", rate, "--retries", "1", "-t", "20", block]);
            findings.assert_states(expected("2001:db8:1::", 4096, &[OPEN, CLOSED, DROPPED]));
            assert_critical(&findings);
            crowd.assert_nothing_is_left();
        }
    }
}

#[test]
fn both_families_in_one_pool_do_not_mix_up_their_verdicts() {
    let crowd = Crowd::new();
    let findings = crowd.check(&[
        "--rate",
        "0",
        "--retries",
        "1",
        "-t",
        "20",
        "198.18.0.0/20:80,82",
        "[2001:db8:1::/116]:81,80",
    ]);
    findings.assert_states(expected("198.18.0.0", 4096, &[OPEN, DROPPED]).chain(expected(
        "2001:db8:1::",
        4096,
        &[OPEN, CLOSED],
    )));
    crowd.assert_nothing_is_left();
}

/// All timeouts end at the deadline here, at once.
#[test]
fn a_crowd_whose_waits_end_with_the_deadline_still_has_verdicts() {
    let crowd = Crowd::new();
    let findings = crowd.check(&["--rate", "0", "-t", "3", "198.18.0.0/18:82"]);
    findings.assert_states(expected("198.18.0.0", 16_384, &[DROPPED]));
    let asked_of_each = findings.all.iter().map(|finding| finding.tries);
    assert_eq!(asked_of_each.min(), Some(Some(3)), "SYNs to each");
}

#[test]
fn a_pool_that_is_open_everywhere_is_ok() {
    let crowd = Crowd::new();
    let findings = crowd.check(&["--rate", "0", "198.18.0.0/20:80", "[2001:db8:1::/116]:80"]);
    assert_eq!((findings.code, &*findings.summary.status), (0, "OK"));
    assert_eq!(findings.summary.open, 8192);
    let times: Vec<_> = findings.all.iter().map(|finding| finding.rtt).collect();
    assert!(times.iter().all(|rtt| rtt.is_some_and(|rtt| rtt > 0.0)), "each has its time");
    crowd.assert_nothing_is_left();
}

#[track_caller]
fn assert_critical(findings: &Findings) {
    assert_eq!((findings.code, &*findings.summary.status), (2, "CRITICAL"));
    let summary = &findings.summary;
    let told = [summary.open, summary.closed, summary.filtered];
    assert_eq!(told, ["open", "closed", "filtered"].map(|state| findings.count(state)));
    assert_eq!((summary.unknown, summary.unreachable, summary.not_probed), (0, 0, 0));
}
