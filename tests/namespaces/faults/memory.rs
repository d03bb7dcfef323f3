//! Too little memory: the allocator aborts a program that asks for more than there is, and some
//! callers take death by a signal for success.

use std::process::Command;

use super::{ENGINES, Stage, limited, right, right_so_far};
use crate::support::names::{Names, address, answer, name_service};
use lab::{Lab, Outcome, halfopen_path};

/// Kilobytes of address space from one limit to the next.
const STEP: u32 = 32;

#[test]
fn with_any_amount_of_memory_the_verdict_is_right_or_there_is_none() {
    let stage = Stage::new();
    let least = least_that_starts(&stage.lab);
    let names = Names::with_hosts("127.0.0.1 localhost\n198.19.0.2 listed.test\n");
    answer(name_service(&stage.lab), address);
    for engine in ENGINES {
        for (targets, most) in [
            (&["198.19.0.2", "80"][..], 256),
            (&["2001:db8::2", "81"], 256),
            (&["-4", "listed.test", "80"], 1536),
            (&["-4", "served.test", "81"], 1536),
            // With a thread for RSTs.
            (&["--rate", "0", "198.18.0.0/26:81"], 2560),
        ] {
            let limits = (least..least + most).step_by(STEP as usize);
            let mut codes: Vec<_> = limits
                .map(|limit| {
                    let command = limited("-v", limit, engine, targets);
                    let outcome = stage.lab.client.outcome(names.shown_to(&command));
                    assert_right_or_none(&outcome);
                    outcome.code
                })
                .collect();
            println!("{engine} {targets:?} from {least} KiB on: {codes:?}");
            assert_ne!(codes.pop(), Some(3), "enough in the end");
        }
    }
}

/// Every target is kept in memory, for the details.
#[test]
fn a_pool_that_needs_more_than_there_is_ends_by_itself() {
    let stage = Stage::new();
    let limit = least_that_starts(&stage.lab) + 1024;
    for engine in ENGINES {
        let targets = ["-v", "--rate", "0", "198.18.0.0/16:81"];
        let outcome = stage.lab.client.outcome(limited("-v", limit, engine, &targets));
        assert_eq!(outcome.code, 3, "{}", outcome.stderr);
        assert!(outcome.stderr.contains("memory allocation of"), "{}", outcome.stderr);
    }
}

/// Returns the smallest address space, in kilobytes, with which the program starts. With less, the
/// kernel, the loader or Rust's runtime ends the program before `main`. It is two steps more than
/// that, because the layout is random.
fn least_that_starts(lab: &Lab) -> u32 {
    let starts = |limit: &u32| {
        let mut command = Command::new("sh");
        command.args([
            "-c",
            r#"ulimit -v "$0" && exec "$1" --version"#,
            &limit.to_string(),
            halfopen_path(),
        ]);
        let outcome = lab.client.outcome(command);
        outcome.code == 3 && outcome.stdout.starts_with("halfopen ")
    };
    let least = (2048..65_536).step_by(STEP as usize).find(starts).expect("64 MiB are enough");
    least + 2 * STEP
}

/// If the allocator ended the program, the message is on standard error, and a pool may have
/// printed some of its targets.
#[track_caller]
fn assert_right_or_none(outcome: &Outcome) {
    if outcome.code == 3 && outcome.stdout.is_empty() {
        assert!(!outcome.stderr.is_empty(), "{outcome:#?}");
    } else if outcome.code == 3 && outcome.stdout.starts_with('{') && !has_ended(outcome) {
        assert!(outcome.stderr.contains("memory allocation of"), "{outcome:#?}");
        right_so_far(outcome);
    } else {
        right(outcome);
    }
}

/// Returns true if the output is that of one target, or ends with the summary of a pool.
fn has_ended(outcome: &Outcome) -> bool {
    let last = outcome.stdout.lines().next_back().unwrap_or_default();
    outcome.stdout.lines().count() == 1 || last.starts_with("{\"summary\"")
}
