//! Running programs: their state, signals to them, and waiting for them.

use std::fs;
use std::thread;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use lab::{Running, patience, pause};

/// Returns the state as in `proc_pid_stat(5)`: S is asleep.
pub(crate) fn state(running: &Running) -> char {
    let status = fs::read_to_string(format!("/proc/{}/stat", running.child.id())).expect("it runs");
    let (_, rest) = status.rsplit_once(") ").expect("the name in parentheses");
    rest.chars().next().expect("a state")
}

pub(crate) fn signal(running: &Running, signal: Signal) {
    kill(Pid::from_raw(running.child.id().cast_signed()), signal).expect("it runs");
}

#[track_caller]
pub(crate) fn wait_until(condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        let waited = started.elapsed();
        assert!(waited < patience(), "not within {waited:?}: what is waited for here");
        thread::sleep(pause(waited));
    }
}
