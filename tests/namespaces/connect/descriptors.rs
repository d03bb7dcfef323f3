//! The limit on open descriptors: each attempt takes one, and there may be few of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::support::crowd::{CLOSED, Crowd, DROPPED, Findings, OPEN, expected};
use lab::{Outcome, halfopen_path, with_own_clock};

/// Dead targets need the same descriptors.
const DEAD: u32 = 24;

#[test]
fn a_pool_within_the_limit_is_reported_in_full() {
    let crowd = Crowd::new();
    for (limit, retries) in [("-n 256", "0"), ("-n 256", "2"), ("-n 1024", "4")] {
        let findings = check_pool(&crowd, limit, &["-t", "2", "--retries", retries]);
        findings.assert_states(pool());
        assert_eq!(findings.code, 2);
        crowd.assert_nothing_is_left();
    }
}

/// The hard limit is that of the kernel.
#[test]
fn a_soft_limit_is_raised() {
    let crowd = Crowd::new();
    let findings = check_pool(&crowd, "-S -n 16", &["-t", "2"]);
    findings.assert_states(pool());
    crowd.assert_nothing_is_left();
}

/// Five times as many targets as the limit has room for, one after the other.
#[test]
fn descriptors_of_targets_that_have_ended_are_used_again() {
    let crowd = Crowd::new();
    let dead = ["-t", "20", "--retries", "0", "198.18.2.0/25:82", "198.18.2.128/27:82"];
    let findings = check(&crowd, "-n 128", &dead);
    findings.assert_states(expected("198.18.2.0", 160, &[DROPPED]));
}

/// A SYN that finds no descriptor is postponed, and `-v` says so.
#[test]
fn no_more_attempts_begin_than_there_are_descriptors() {
    let crowd = Crowd::new();
    let outcome = run(&crowd, "-n 256", &["-v", "-t", "2", "198.18.2.0/25:82"]);
    assert!(Findings::of(&outcome).count("filtered") >= 16, "{outcome:?}");
    assert!(!outcome.stderr.contains("postponed"), "{outcome:?}");
}

/// There is room for sixteen attempts, and ten of the first targets are dead.
#[test]
fn dead_targets_leave_descriptors_for_live_ones() {
    let crowd = Crowd::new();
    let pool = ["198.18.8.0/29:82", "198.18.8.8/31:82", "198.18.0.0/22:80", "198.18.4.0/23:81"];
    let findings = check(&crowd, "-n 64", &[&["-t", "10"], &pool[..]].concat());
    findings.assert_states(
        expected("198.18.8.0", 10, &[DROPPED])
            .chain(expected("198.18.0.0", 1024, &[OPEN]))
            .chain(expected("198.18.4.0", 512, &[CLOSED])),
    );
    crowd.assert_nothing_is_left();
}

/// There is room for only a few attempts, and most of the first targets are dead, so some attempts
/// may never be made. Targets that lack attempts are reported as unknown. Silence is a verdict only
/// if the last attempt was waited for: at least four sevenths of the time that was left.
#[test]
fn a_pool_beyond_the_limit_is_reported_in_part_and_never_wrongly() {
    let crowd = Crowd::new();
    thread::scope(|scope| {
        for (limit, timeout) in [("16", 3.0), ("16", 7.5), ("64", 8.0), ("128", 3.0)] {
            let crowd = &crowd;
            scope.spawn(move || {
                let options = ["-t", &timeout.to_string()];
                let findings = check_pool(crowd, &format!("-n {limit}"), &options);
                assert_none_is_wrong(&findings, Duration::from_secs_f64(timeout / 7.0));
                // With a single descriptor, the dead targets use it one after the other until the
                // end.
                assert!(limit == "16" || findings.count("filtered") > 0, "{:?}", findings.summary);
            });
        }
    });
    crowd.assert_nothing_is_left();
}

#[track_caller]
fn assert_none_is_wrong(findings: &Findings, least_wait: Duration) {
    let states: BTreeMap<_, _> = pool().collect();
    for finding in findings.all.iter().filter(|finding| finding.state.is_some()) {
        let address = finding.address.expect("targets are addresses here");
        let state = states[&SocketAddr::new(address, finding.port)];
        assert_eq!(finding.state.as_deref(), Some(state), "{finding:?}");
        let rounding = Duration::from_millis(50);
        assert!(
            state != "filtered" || waited(&finding.reason) + rounding >= least_wait,
            "{finding:?}"
        );
    }
    assert_eq!(findings.all.len(), findings.summary.targets);
    let unprobed = findings.all.iter().filter(|finding| finding.reason.starts_with("not probed: "));
    assert_eq!(unprobed.count(), findings.summary.not_probed);
    assert_ne!(findings.code, 0);
}

/// Hundreds of open and closed targets after the dead ones.
const POOL: [&str; 3] = ["198.18.1.0/28:82", "198.18.1.16/29:82", "198.18.0.0/24:80,81"];

/// Their states.
fn pool() -> impl Iterator<Item = (SocketAddr, &'static str)> {
    expected("198.18.1.0", DEAD, &[DROPPED]).chain(expected("198.18.0.0", 256, &[OPEN, CLOSED]))
}

fn check_pool(crowd: &Crowd, limit: &str, options: &[&str]) -> Findings {
    check(crowd, limit, &[options, &POOL].concat())
}

fn check(crowd: &Crowd, limit: &str, arguments: &[&str]) -> Findings {
    Findings::of(&run(crowd, limit, arguments))
}

fn run(crowd: &Crowd, limit: &str, arguments: &[&str]) -> Outcome {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!(r#"ulimit {limit} && exec "$0" "$@""#), halfopen_path()])
        .args(["-o", "json", "--engine", "connect"])
        .args(arguments);
    crowd.lab.client.outcome(with_own_clock(command))
}

/// The time in `no answer to 3 SYNs in 7.0 s`.
fn waited(reason: &str) -> Duration {
    let words: Vec<_> = reason.rsplitn(3, ' ').collect();
    let number: f64 = words[1].parse().unwrap_or_else(|_| panic!("a time in {reason:?}"));
    Duration::from_secs_f64(if words[0] == "ms" { number / 1e3 } else { number })
}
