//! Ctrl-C in the middle of a pool: what is known is reported, and no handshake is left half-open.

use std::collections::HashSet;

use nix::sys::signal::Signal;

use super::stall::stopped_after;
use crate::support::crowd::{Crowd, Findings};
use crate::support::process::signal;
use lab::{Captured, Outcome, Running};

/// A pool of which half is silent, so that it takes seconds.
const POOL: [&str; 5] = ["--rate", "2000", "-t", "30", "198.18.0.0/20:80,82"];
const TARGETS: usize = 8192;

#[test]
fn results_so_far_are_reported_and_the_rest_is_not_probed() {
    let crowd = Crowd::new();
    let capture = crowd.lab.server.capture("server0");
    let pool = stopped_after(4000, &crowd, &[&["-o", "json"], &POOL[..]].concat());
    let findings = Findings::of(&interrupt(pool));

    assert_eq!((findings.code, &*findings.summary.status), (3, "UNKNOWN"));
    let summary = &findings.summary;
    assert!((500..TARGETS / 2).contains(&summary.open), "{summary:?}");
    assert_eq!((findings.all.len(), findings.count("open")), (TARGETS, summary.open));
    assert_eq!(summary.targets, TARGETS);
    let probed = summary.open + summary.filtered + summary.unknown;
    assert_eq!(summary.not_probed, TARGETS - probed);

    let segments = capture.segments();
    let asked: HashSet<_> = segments
        .iter()
        .filter(|segment| segment.flags == "SYN")
        .map(|syn| (Some(syn.destination), syn.destination_port))
        .collect();
    for finding in &findings.all {
        let probed = asked.contains(&(finding.address, finding.port));
        let wanted = match (finding.state.is_some(), probed) {
            (true, _) => continue,
            (false, true) => "interrupted before the verdict",
            (false, false) => "not probed: interrupted before its first SYN",
        };
        assert_eq!((&*finding.reason, &*finding.status), (wanted, "UNKNOWN"), "{finding:?}");
    }
    assert_every_syn_ack_is_reset(&segments);
    crowd.assert_nothing_is_left();
}

/// Dozens of answers wait to be read when the signal arrives.
#[test]
fn at_full_speed_too_no_handshake_is_left_half_open() {
    let crowd = Crowd::new();
    for _ in 0..5 {
        let arguments = ["-o", "json", "--rate", "0", "-t", "30", "198.18.0.0/16:80"];
        let findings = Findings::of(&interrupt(stopped_after(10_000, &crowd, &arguments)));
        assert_eq!(findings.code, 3);
        let summary = &findings.summary;
        assert_eq!(summary.open + summary.unknown + summary.not_probed, 65_536, "{summary:?}");
        assert_eq!(findings.all.len(), 65_536);
        crowd.assert_nothing_is_left();
    }
}

#[test]
fn a_monitor_reads_that_the_pool_was_interrupted() {
    let crowd = Crowd::new();
    let outcome = interrupt(stopped_after(1000, &crowd, &POOL));
    assert_eq!(outcome.code, 3, "{outcome:?}");
    let line = outcome.stdout.lines().next().expect("a line");
    assert!(line.starts_with("TCP HALF-OPEN UNKNOWN - "), "{line}");
    assert!(line.contains(" of 8192 open") && line.contains(" not probed"), "{line}");
    assert!(line.contains("interrupted"), "{line}");
}

/// Sends SIGINT to a program that is stopped.
fn interrupt(pool: Running) -> Outcome {
    signal(&pool, Signal::SIGINT);
    signal(&pool, Signal::SIGCONT);
    pool.wait()
}

#[track_caller]
fn assert_every_syn_ack_is_reset(segments: &[Captured]) {
    let resets: HashSet<_> = segments
        .iter()
        .filter(|segment| segment.flags == "RST")
        .map(|rst| (rst.destination, rst.destination_port, rst.source_port, rst.seq))
        .collect();
    let answers: Vec<_> = segments.iter().filter(|segment| segment.flags == "SYN+ACK").collect();
    assert!(answers.len() >= 1000, "{} answers", answers.len());
    for answer in answers {
        let reset = (answer.source, answer.source_port, answer.destination_port, answer.ack);
        assert!(resets.contains(&reset), "without an RST: {answer:#?}");
    }
}
