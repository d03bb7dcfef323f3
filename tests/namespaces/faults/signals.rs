//! Signals that ask the program to end. It does so at once, with exit code 3 and a line that says
//! so.

use std::io::Write;
use std::process::Stdio;

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::{ENGINES, Stage, assert_unknown_in_one_line, program, writer_to};
use crate::support::names::{Names, name_service};
use crate::support::process::{signal, state, wait_until};
use lab::Running;

const SIGNALS: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGALRM];

#[test]
fn while_a_silent_port_is_waited_for() {
    let stage = Stage::new();
    let capture = stage.lab.server.capture("server0");
    for engine in ENGINES {
        for ending in SIGNALS {
            let check = stage.lab.client.spawn(program(engine, &["-t", "600", "198.19.0.2", "82"]));
            wait_until(|| !capture.segments().is_empty());
            assert_ends_at_once(check, ending, "interrupted");
        }
    }
}

#[test]
fn while_the_name_service_is_waited_for() {
    let stage = Stage::new();
    let questions = name_service(&stage.lab);
    let names = Names::with_hosts("127.0.0.1 localhost\n");
    for engine in ENGINES {
        for ending in SIGNALS {
            let command =
                names.command(&["--engine", engine, "-4", "-t", "600", "slow.test", "80"]);
            let check = stage.lab.client.spawn(command);
            questions.recv(&mut [0; 512]).expect("the program asks");
            assert_ends_at_once(check, ending, "interrupted");
        }
    }
}

#[test]
fn while_the_pipe_of_targets_has_no_writer() {
    let stage = Stage::new();
    let folder = tempfile::tempdir().expect("a scratch directory");
    let pipe = folder.path().join("targets");
    mkfifo(&pipe, Mode::S_IRWXU).expect("a pipe with a name");
    let file = pipe.to_str().expect("plain letters");
    for engine in ENGINES {
        for ending in SIGNALS {
            let check =
                || stage.lab.client.spawn(program(engine, &["-t", "600", "--targets", file]));
            let unopened = check();
            wait_until(|| state(&unopened) == 'S');
            assert_ends_at_once(unopened, ending, "interrupted");

            let opened = check();
            let mut writer = writer_to(&pipe);
            writer.write_all(b"198.19.0.2:80\n").expect("there is a reader");
            assert_ends_at_once(opened, ending, "interrupted");
        }
    }
}

#[test]
fn while_standard_input_has_no_end() {
    let stage = Stage::new();
    for engine in ENGINES {
        for ending in SIGNALS {
            let mut command = program(engine, &["-t", "600", "--targets", "-"]);
            command.stdin(Stdio::piped());
            let mut check = stage.lab.client.spawn(command);
            let mut input = check.child.stdin.take().expect("piped");
            input.write_all(b"198.19.0.2:80\n").expect("there is a reader");
            wait_until(|| state(&check) == 'S');
            assert_ends_at_once(check, ending, "interrupted");
        }
    }
}

/// The deadline is later than the limit after which a test counts as hanging.
#[track_caller]
fn assert_ends_at_once(check: Running, ending: Signal, reason: &str) {
    signal(&check, ending);
    let outcome = check.wait();
    assert_unknown_in_one_line(&outcome);
    assert!(outcome.stdout.contains(reason), "{outcome:#?}");
}
