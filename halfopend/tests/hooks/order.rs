//! Which events run, and when.

use std::fs;

use halfopend::event::EventKind::{Down, Held, Snapshot, Up};
use halfopend::hooks::Failure;

use crate::support::{Trial, commands};

/// Notes the event, and waits for the gate to open. Notes if another run is under way.
const GATED: &str = r#"
    mkdir busy || echo overlap >> log
    echo "$HALFOPEN_SEQUENCE $HALFOPEN_EVENT $HALFOPEN_TARGET" >> log
    until [ -e gate ]; do sleep 0.01; done
    rmdir busy"#;

#[test]
fn events_run_one_at_a_time_in_order_and_the_newest_of_a_target_wins() {
    let mut trial = Trial::new(GATED);
    trial.push(Down, "a:1");
    trial.until("the first has begun", |trial| trial.file("log") == "1 down a:1\n");
    for (kind, target) in [(Up, "a:1"), (Down, "b:1"), (Held, "b:1"), (Down, "a:1"), (Up, "c:1")] {
        trial.push(kind, target);
    }
    fs::write(trial.path("gate"), "").expect("its own folder");
    let expected = "1 down a:1\n3 down b:1\n4 held b:1\n5 down a:1\n6 up c:1\n";
    trial.until("all have run", |trial| trial.file("log").len() >= expected.len());
    assert_eq!(trial.file("log"), expected);
    trial.assert_failures(&[]);
}

#[test]
fn a_thousand_events_of_ten_targets_need_eleven_runs() {
    let mut trial = Trial::new(GATED);
    trial.push(Down, "first:1");
    trial.until("the first has begun", |trial| trial.file("log") == "1 down first:1\n");
    for number in 0..1000 {
        trial.push(if number % 3 == 0 { Up } else { Down }, &format!("t{}:1", number % 10));
    }
    fs::write(trial.path("gate"), "").expect("its own folder");
    trial.until("the last has run", |trial| trial.file("log").contains("1001 "));
    let log = trial.file("log");
    let sequences: Vec<_> =
        log.lines().map(|line| line.split(' ').next().expect("a number")).collect();
    let expected: Vec<_> =
        ["1".to_owned()].into_iter().chain((992..=1001).map(|n| n.to_string())).collect();
    assert_eq!(sequences, expected);
    trial.assert_failures(&[]);
}

#[test]
fn an_event_runs_the_hook_that_its_pool_had_when_it_happened() {
    let mut trial = Trial::new(GATED);
    trial.push(Down, "a:1");
    trial.push(Down, "b:1");
    let other = trial.script("other", r#"echo "$HALFOPEN_SEQUENCE by another" >> log"#);
    trial.hooks.set_commands(commands(&other));
    trial.push(Down, "c:1");
    fs::write(trial.path("gate"), "").expect("its own folder");
    trial.until("the last has run", |trial| trial.file("log").contains("3 by another\n"));
    assert_eq!(trial.file("log"), "1 down a:1\n2 down b:1\n3 by another\n");
    trial.hooks.set_commands([].into());
    trial.push(Down, "d:1");
    trial.assert_failures(&[]);
}

#[test]
fn a_snapshot_runs_nothing() {
    let mut trial = Trial::new("echo $HALFOPEN_SEQUENCE >> log");
    trial.push(Snapshot, "a:1");
    trial.push(Down, "b:1");
    trial.until("one has run", |trial| !trial.file("log").is_empty());
    assert_eq!(trial.file("log"), "2\n");
}

#[test]
fn a_run_lasts_until_everything_that_it_has_started_has_ended() {
    let mut trial = Trial::new(
        r#"
        [ "$HALFOPEN_SEQUENCE" = 2 ] && { echo second >> log; exit; }
        (setsid sh -c 'until [ -e gate ]; do sleep 0.01; done; echo first >> log' &) &
        echo begun > begun"#,
    );
    trial.push(Down, "a:1");
    trial.push(Down, "b:1");
    trial.until("the first has begun", |trial| !trial.file("begun").is_empty());
    fs::write(trial.path("gate"), "").expect("its own folder");
    trial.until("both have run", |trial| trial.file("log").contains("second"));
    assert_eq!(trial.file("log"), "first\nsecond\n");
    assert_eq!(trial.hooks.failures(Failure::TimedOut), 0);
}
