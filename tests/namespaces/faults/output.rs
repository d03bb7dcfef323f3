//! Output that cannot be written, or not yet. The exit code does not depend on it.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::iter;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{ENGINES, Stage, program};
use crate::support::process::wait_until;
use lab::{Capture, Direction, patience};

#[test]
fn a_late_reader_gets_everything() {
    let stage = Stage::new();
    let capture = stage.lab.server.capture("server0");
    for engine in ENGINES {
        for blocking in [OFlag::empty(), OFlag::O_NONBLOCK] {
            let (mut reader, writer, filling) = full_pipe(blocking);
            let mut check = start(&stage, engine, &["198.19.0.2", "81"], writer, Stdio::null());
            wait_until(|| has_answered(&capture));
            assert!(check.try_wait().expect("our child").is_none(), "there is no room in the pipe");
            let mut said = String::new();
            reader.read_to_string(&mut said).expect("text");
            let line: serde_json::Value = serde_json::from_str(&said[filling..]).expect("a line");
            assert_eq!((&line["state"], exit_code(&mut check)), (&"closed".into(), Some(2)));
        }
    }
}

#[test]
fn a_signal_ends_a_check_whose_output_is_not_read() {
    let stage = Stage::new();
    let capture = stage.lab.server.capture("server0");
    for engine in ENGINES {
        for details in [false, true] {
            let (_reader, writer, _) = full_pipe(OFlag::empty());
            let mut check = if details {
                start(&stage, engine, &["-v", "198.19.0.2", "80"], Stdio::null(), writer)
            } else {
                start(&stage, engine, &["198.19.0.2", "80"], writer, Stdio::null())
            };
            wait_until(|| has_answered(&capture));
            kill(Pid::from_raw(check.id().cast_signed()), Signal::SIGTERM).expect("it runs");
            // The signal may arrive before the verdict or after it.
            assert!(matches!(exit_code(&mut check), Some(0 | 3)), "{engine}, details: {details}");
        }
    }
}

#[test]
fn a_full_disk_changes_no_verdict_of_a_pool() {
    let stage = Stage::new();
    for engine in ENGINES {
        for (refused, code) in [("ok", 0), ("warn", 1), ("crit", 2)] {
            let full = File::options().write(true).open("/dev/full").expect("needs /dev/full");
            let arguments = ["-r", refused, "198.18.0.0/24:81"];
            let mut check = start(&stage, engine, &arguments, full, Stdio::null());
            assert_eq!(exit_code(&mut check), Some(code), "{engine} {refused}");
        }
    }
}

/// A full pipe, and how many bytes are in it.
fn full_pipe(flags: OFlag) -> (PipeReader, PipeWriter, usize) {
    let (reader, mut writer) = io::pipe().expect("a pipe");
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("a pipe of ours");
    let chunk = [b' '; 4096];
    let filling = iter::from_fn(|| writer.write(&chunk).ok()).sum();
    fcntl(&writer, FcntlArg::F_SETFL(flags)).expect("a pipe of ours");
    (reader, writer, filling)
}

fn start(
    stage: &Stage,
    engine: &str,
    arguments: &[&str],
    stdout: impl Into<Stdio> + Send,
    stderr: impl Into<Stdio> + Send,
) -> Child {
    let mut command = program(engine, arguments);
    command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    stage.lab.client.enter(|| command.spawn().expect("the built program"))
}

/// Returns true if the server has sent its whole answer to a SYN.
fn has_answered(capture: &Capture) -> bool {
    let answer = |flags: &str| flags == "SYN+ACK" || flags == "RST+ACK";
    let segments = capture.segments();
    segments.iter().any(|one| one.direction == Direction::Out && answer(&one.flags))
}

/// Returns the exit code of a program that is about to end.
fn exit_code(check: &mut Child) -> Option<i32> {
    let patience = Instant::now() + patience();
    loop {
        if let Some(status) = check.try_wait().expect("our child") {
            return status.code();
        }
        if Instant::now() > patience {
            check.kill().expect("our child");
            panic!("the program hangs");
        }
        thread::sleep(Duration::from_millis(1));
    }
}
