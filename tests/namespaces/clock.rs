//! A wall clock that steps during the check, or is wrong. A preloaded library simulates it, and the
//! machine's own clock is not changed.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::support::preloaded::Preloaded;
use lab::{Lab, Outcome, SERVER_V4, SERVER_V6, halfopen_path, with_own_clock};

fn run(lab: &Lab, clock: &Preloaded, program: &str, arguments: &[&str]) -> Outcome {
    let mut command = Command::new(program);
    command.args(arguments).env("LD_PRELOAD", &clock.path);
    lab.client.outcome(with_own_clock(command))
}

#[test]
fn a_wall_clock_that_steps_back_changes_no_state_and_no_time() {
    let lab = Lab::new();
    let clock = Preloaded::build(&lab, "stepping_clock.c");
    assert_steps(&clock, &lab);
    lab.server.nft(
        "table inet t { chain in { type filter hook input priority 0; tcp dport 82 drop; }; }",
    );
    for server in [SERVER_V4, SERVER_V6] {
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        let target = server.to_string();
        for engine in ["raw", "connect"] {
            let check = |arguments: &[&str]| {
                run(&lab, &clock, halfopen_path(), &[&["--engine", engine], arguments].concat())
            };
            for (port, state, code) in [("80", "open", 0), ("81", "closed", 2)] {
                let verdict = check(&["-o", "json", &target, port]).verdict();
                assert_eq!(
                    (verdict.ending(), verdict.tries),
                    ((Some(state), code), Some(1)),
                    "{verdict:?}"
                );
                let rtt = verdict.rtt.expect("an answer has a time");
                assert!((0.0..1.0).contains(&rtt), "{rtt}");
            }
            let verdict = check(&["-o", "json", "-t", "3.5", &target, "82"]).verdict();
            assert_eq!(verdict.ending(), (Some("filtered"), 2), "{verdict:?}");
            assert!(verdict.reason.starts_with("no answer to 3 SYNs in "), "{}", verdict.reason);
            assert!(verdict.elapsed >= Duration::from_millis(3490), "{verdict:?}");

            let outcome = check(&["-vvv", &target, "80"]);
            assert_eq!(outcome.code, 0);
            assert!(
                !outcome.stdout.contains(" -0") && !outcome.stdout.contains("=-"),
                "no time is negative: {}",
                outcome.stdout
            );
        }
    }
}

/// The kernel's time stamps are then of another clock than the program's readings.
#[test]
fn time_stamps_that_contradict_the_wall_clock_make_no_round_trip_time() {
    let lab = Lab::new();
    let preloaded = Preloaded::build(&lab, "stepping_clock.c");
    for server in [SERVER_V4, SERVER_V6] {
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        for clock in ["steps", "stepped", "ahead", "early", "late"] {
            for (port, state, code) in [("80", "open", 0), ("81", "closed", 2)] {
                let mut command = Command::new(halfopen_path());
                command.env("CLOCK", clock);
                command.args(["--engine", "raw", "-o", "json", &server.to_string(), port]);
                let verdict = preloaded.run(&lab, command).verdict();
                assert_eq!(verdict.ending(), (Some(state), code), "{clock}: {verdict:?}");
                let rtt = verdict.rtt.expect("an answer has a time");
                assert!(rtt > 0.0 && rtt < verdict.elapsed.as_secs_f64(), "{clock}: {verdict:?}");
            }
        }
    }
}

/// The library changes the wall clock of a program that asks for it.
fn assert_steps(clock: &Preloaded, lab: &Lab) {
    let shown: u64 = run(lab, clock, "date", &["+%s"]).stdout.trim().parse().expect("seconds");
    let real = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    assert!(shown + 3590 < real, "date shows {shown}, it is {real}");
}
