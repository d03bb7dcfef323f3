//! `--rate` on the wire: an upper bound at every moment, for retransmissions too, and almost no
//! catching up after a pause.

use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::crowd::{Crowd, Findings, expected};
use crate::support::process::{signal, wait_until};
use lab::{Captured, halfopen_path};

/// SYNs per second.
const RATE: &str = "1000";

/// The length of a window, and how many SYNs may leave in it. The program makes up for delays of 20
/// ms, and as many SYNs may be late, because the clock is read before a batch is sent, and the
/// program may have to wait in between.
const WINDOW: Duration = Duration::from_millis(100);
const MOST: usize = 100 + 2 * 20 + 5;

const POOL: [&str; 8] = ["-o", "json", "--rate", RATE, "--retries", "1", "-t", "60"];

#[test]
fn no_window_has_more_syns_than_the_rate_allows() {
    let crowd = Crowd::new();
    let capture = crowd.lab.client.capture("client0");
    let findings = crowd.check(&[&POOL[2..], &["198.18.0.0/22:80,82"]].concat());
    findings.assert_states(expected("198.18.0.0", 1024, &[80, 82]));
    let syns = syns(&capture.segments());
    assert_eq!(syns.len(), 1024 + 2 * 1024, "silent targets get two SYNs");
    assert_paced(&syns);
}

#[test]
fn after_a_pause_there_is_no_burst() {
    let crowd = Crowd::new();
    let capture = crowd.lab.client.capture("client0");
    let mut command = Command::new(halfopen_path());
    command.args(POOL).arg("198.18.0.0/22:80,82");
    let pool = crowd.lab.client.spawn(command);
    wait_until(|| pool.said().matches('\n').count() > 200);
    signal(&pool, Signal::SIGSTOP);
    thread::sleep(Duration::from_millis(500));
    signal(&pool, Signal::SIGCONT);
    let findings = Findings::of(&pool.wait());
    findings.assert_states(expected("198.18.0.0", 1024, &[80, 82]));

    let syns = syns(&capture.segments());
    let longest = syns.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max();
    assert!(longest >= Some(Duration::from_millis(450)), "there was a pause: {longest:?}");
    assert_paced(&syns);
}

/// When each SYN left.
fn syns(segments: &[Captured]) -> Vec<Duration> {
    let syns = segments.iter().filter(|segment| segment.flags == "SYN");
    syns.map(|segment| segment.time).collect()
}

#[track_caller]
fn assert_paced(syns: &[Duration]) {
    assert!(syns.is_sorted());
    for (index, first) in syns.iter().enumerate() {
        let within = syns[index..].partition_point(|time| *time < *first + WINDOW);
        assert!(within <= MOST, "{within} SYNs within {WINDOW:?} after {index} others");
    }
}
