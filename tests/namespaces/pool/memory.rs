//! Memory per target: little while it is pending, none before and after. The output goes to a file,
//! because output that waits for a slow reader takes memory, too.

use std::fs;
use std::process::Command;

use crate::support::crowd::{CLOSED, Crowd, DROPPED, Findings, expected};
use lab::{Outcome, halfopen_path, with_own_clock};

/// Runs a pool with a limit on the memory that it may write to (`RLIMIT_DATA`). A program that asks
/// for more dies.
fn check_within(crowd: &Crowd, kilobytes: u32, arguments: &[&str]) -> Outcome {
    let folder = tempfile::tempdir().expect("a scratch directory");
    let file = folder.path().join("output");
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            r#"ulimit -d "$0" && exec "$@" >"$OUTPUT""#,
            &kilobytes.to_string(),
            halfopen_path(),
        ])
        .args(["--rate", "0", "-t", "30"])
        .args(arguments)
        .env("OUTPUT", &file);
    let outcome = crowd.lab.client.outcome(with_own_clock(command));
    Outcome { stdout: fs::read_to_string(&file).expect("made by the shell"), ..outcome }
}

#[test]
fn a_pool_that_answers_takes_hardly_any_memory() {
    let crowd = Crowd::new();
    let outcome = check_within(&crowd, 4 << 10, &["-o", "json", "198.18.0.0/16:81"]);
    Findings::of(&outcome).assert_states(expected("198.18.0.0", 65_536, &[CLOSED]));
}

/// Of targets that are not open, no more is stored than a monitor reads.
#[test]
fn a_closed_pool_takes_hardly_any_memory_in_the_nagios_format() {
    let crowd = Crowd::new();
    let outcome = check_within(&crowd, 4 << 10, &["198.18.0.0/16:81"]);
    assert_eq!(outcome.code, 2, "{outcome:?}");
    let said = &outcome.stdout;
    assert!(said.starts_with("TCP HALF-OPEN CRITICAL - 0 of 65536 open: "), "{said}");
    assert!(said.len() < 8192, "{} bytes", said.len());
}

/// About a hundred bytes each, in tables that have room to grow.
#[test]
fn a_pending_target_takes_little_memory() {
    let crowd = Crowd::new();
    let arguments = ["-o", "json", "--retries", "1", "198.18.0.0/16:82"];
    let outcome = check_within(&crowd, 12 << 10, &arguments);
    Findings::of(&outcome).assert_states(expected("198.18.0.0", 65_536, &[DROPPED]));
}
