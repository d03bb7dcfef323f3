//! How runs, helpers and daemons end, and what is left of them: nothing.

use std::fs;
use std::thread;

use halfopend::event::EventKind::Down;
use halfopend::hooks::{Failure, Hooks};
use nix::sys::eventfd::EventFd;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::processes::{parent, wait_until_gone};
use crate::support::{Trial, commands};

/// Notes the number of its process and those of others that leave its group and its session, whose
/// parents end at once. None of them ends by itself, nor when it is asked to.
const STUBBORN: &str = r#"
    trap '' TERM HUP INT
    echo $$ >> pids
    setsid sh -c 'echo $$ >> pids; while :; do sleep 100; done' &
    (setsid sh -c '(setsid sh -c "echo \$\$ >> pids; while :; do sleep 100; done" &) &' &) &
    while :; do sleep 100; done"#;

#[test]
fn after_ten_seconds_a_hook_is_killed_with_everything_that_it_has_started() {
    let mut trial = Trial::new(&format!("[ $HALFOPEN_SEQUENCE = 2 ] && exit\n{STUBBORN}"));
    trial.push(Down, "a:1");
    let processes = trial.processes("pids", 3);
    trial.until_logged("hook of pool web, event 1 (down a:1): killed after 10 seconds");
    wait_until_gone(&processes);
    trial.assert_failures(&[(Failure::TimedOut, 1)]);
    trial.push(Down, "b:1");
    trial.until_idle();
    trial.assert_failures(&[(Failure::TimedOut, 1)]);
}

/// Each process starts the next one, in a session of its own, and ends.
#[test]
fn processes_that_replace_themselves_do_not_escape() {
    let mut trial = Trial::new(r#"setsid sh "$0" "$1" & echo $$ >> pids"#);
    trial.push(Down, "a:1");
    trial.until_logged("event 1 (down a:1): killed after 10 seconds");
    assert!(!trial.has_logged("processes are left"), "{:#?}", trial.lines);
    let noted = trial.file("pids");
    assert!(noted.lines().count() > 10, "{noted}");
    // If one had escaped, it would have noted many others by the time that these have run.
    trial.hooks.set_commands(commands(&["/bin/true".to_owned()]));
    for _ in 0..20 {
        trial.push(Down, "b:1");
        trial.until_idle();
    }
    assert_eq!(trial.file("pids"), noted);
}

#[test]
fn nothing_is_left_of_a_run_if_the_daemon_is_killed() {
    let mut trial = Trial::new(STUBBORN);
    trial.push(Down, "a:1");
    let mut processes = trial.processes("pids", 3);
    let runner = parent(processes[0]);
    processes.extend([runner, parent(runner)]);
    trial.hooks = Hooks::default(); // closes the socket, as the end of the process does
    wait_until_gone(&processes);
}

#[test]
fn a_helper_that_dies_is_noticed_and_every_event_since_is_counted() {
    let mut trial = Trial::new(STUBBORN);
    trial.push(Down, "a:1");
    trial.push(Down, "b:1");
    let mut processes = trial.processes("pids", 3);
    let runner = parent(processes[0]);
    processes.push(runner);
    end(parent(runner));
    trial.until_logged("the process that runs hooks has ended");
    wait_until_gone(&processes);
    trial.assert_failures(&[(Failure::NoHelper, 2)]);
    assert!(!trial.hooks.can_run());
    trial.push(Down, "c:1");
    trial.assert_failures(&[(Failure::NoHelper, 3)]);
}

#[test]
fn a_runner_that_dies_is_reported_and_what_it_leaves_is_killed() {
    let mut trial = Trial::new(&format!("[ $HALFOPEN_SEQUENCE = 2 ] && exit\n{STUBBORN}"));
    trial.push(Down, "a:1");
    let processes = trial.processes("pids", 3);
    end(parent(processes[0]));
    trial.until_logged("event 1 (down a:1): the process that watched it has ended");
    wait_until_gone(&processes);
    trial.push(Down, "b:1");
    trial.until_idle();
    trial.assert_failures(&[(Failure::Failed, 1)]);
}

#[test]
fn failures_are_counted_and_logged_by_reason() {
    let mut trial = Trial::new("[ $HALFOPEN_TARGET = a:1 ] && exit 3; kill -9 $$");
    trial.push(Down, "a:1");
    trial.until_logged("hook of pool web, event 1 (down a:1): exit code 3");
    trial.push(Down, "b:1");
    trial.until_logged("hook of pool web, event 2 (down b:1): killed by signal 9");
    trial.hooks.set_commands(commands(&["/nonexistent/hook".to_owned()]));
    trial.push(Down, "c:1");
    trial.until_logged("event 3 (down c:1): not started (No such file or directory)");
    trial.hooks.set_commands(commands(&["true".to_owned(), "x".repeat(200_000)]));
    trial.push(Down, "d:1");
    trial.until_logged("event 4 (down d:1): not started (Argument list too long)");
    trial.assert_failures(&[(Failure::Failed, 2), (Failure::NotStarted, 2)]);
}

#[test]
fn the_daemon_waits_for_runs_under_way_and_starts_no_others() {
    let script = "echo begun >> log; until [ -e gate ]; do sleep 0.01; done; echo ended >> log";
    let mut trial = Trial::new(script);
    trial.push(Down, "a:1");
    trial.push(Down, "b:1");
    trial.until("the first has begun", |trial| trial.file("log") == "begun\n");
    let gate = trial.path("gate");
    let opener = thread::spawn(move || fs::write(gate, "").expect("its own folder"));
    trial.hooks.finish(&EventFd::new().expect("a descriptor"));
    opener.join().expect("it has written");
    assert_eq!(trial.file("log"), "begun\nended\n");
    trial.assert_failures(&[(Failure::Stopped, 1)]);
    let line = trial.hooks.poll_line().map(|line| line.text);
    assert_eq!(
        line.as_deref(),
        Some("1 events have not reached their hooks, because the daemon ends")
    );
}

#[test]
fn a_second_signal_ends_that_wait() {
    let mut trial = Trial::new(STUBBORN);
    trial.push(Down, "a:1");
    let processes = trial.processes("pids", 3);
    let signal = EventFd::from_value(1).expect("a descriptor");
    trial.hooks.finish(&signal);
    trial.assert_failures(&[(Failure::Stopped, 1)]);
    wait_until_gone(&processes);
}

fn end(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("a process that this test has started");
}
