//! A slow reader delays only the end of the program.

use std::io::Read;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::program::{HALFOPEN, Loopback, segments_received};

/// More than any pipe holds, as lines of JSON or of text.
const TARGETS: usize = 4096;
const POOL: &str = "127.0.16.0/20:8026";

#[test]
fn every_target_is_checked_if_the_output_is_not_read() {
    for engine in ["raw", "connect"] {
        let _network = Loopback::new();
        let (mut child, mut output) = unread(&["--engine", engine, "-o", "json", POOL]);
        wait_until(|| segments_received() >= 2 * TARGETS as u64);
        assert!(child.try_wait().unwrap().is_none(), "what it says has no room in the pipe");
        let mut said = String::new();
        output.read_to_string(&mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(2));
        let lines: Vec<Value> =
            said.lines().map(|line| serde_json::from_str(line).expect("whole lines")).collect();
        assert_eq!(lines.len(), TARGETS + 1);
        assert_eq!(lines[TARGETS]["summary"]["closed"], TARGETS);
    }
}

#[test]
fn a_signal_ends_the_program_if_the_output_is_not_read() {
    for (format, signal) in
        [("json", Signal::SIGTERM), ("json", Signal::SIGHUP), ("text", Signal::SIGINT)]
    {
        let _network = Loopback::new();
        let (mut child, output) = unread(&["-o", format, POOL]);
        wait_until(|| segments_received() >= 2 * TARGETS as u64);
        assert!(child.try_wait().unwrap().is_none(), "what it says has no room in the pipe");
        kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
        wait_until(|| child.try_wait().unwrap().is_some());
        let code = child.wait().unwrap().code();
        // Whether it arrives before the last verdict or after it: there are closed ports.
        assert_eq!(code, Some(2), "{format}, {signal}");
        drop(output);
    }
}

/// The loop notices the signal. The rest of the output finds no room in the pipe.
#[test]
fn one_signal_in_the_middle_of_a_pool_is_enough_if_the_output_is_not_read() {
    let _network = Loopback::new();
    let (mut child, output) = unread(&["--rate", "400", "-t", "60", "-o", "json", POOL]);
    wait_until(|| segments_received() >= 2 * 1000);
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    wait_until(|| child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(2), "some ports are known to be closed");
    drop(output);
}

/// The program, and its output, which is not read yet.
fn unread(words: &[&str]) -> (Child, ChildStdout) {
    let mut child = Command::new(HALFOPEN)
        .args(words)
        .env("LD_PRELOAD", lab::own_clock()) // all are checked before the deadline
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the built program");
    let output = child.stdout.take().expect("piped");
    (child, output)
}

pub(crate) fn wait_until(mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + lab::patience();
    while !condition() {
        assert!(Instant::now() < end, "it does not come to pass");
        thread::sleep(Duration::from_millis(1));
    }
}
