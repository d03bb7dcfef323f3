//! System calls that are interrupted, or fail because of a shortage.

use std::io::Write;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::{ENGINES, Stage, preloading, program, right, writer_to};
use crate::support::names::{Names, address, answer, name_service};
use crate::support::preloaded::Preloaded;
use lab::{Outcome, with_own_clock};

/// Open, closed and silent, in both families.
const POOL: [&str; 2] = ["198.19.0.2:80,81,82", "[2001:db8::2]:80,81,82"];

/// How many programs run side by side. They wait most of the time.
const AT_ONCE: usize = 12;

#[test]
fn a_storm_of_signals_changes_no_verdict() {
    let stage = Stage::new();
    let storm = Preloaded::build(&stage.lab, "faults/signal_storm.c");
    for engine in ENGINES {
        for (port, target) in [("80", "198.19.0.2"), ("81", "2001:db8::2")] {
            let outcome =
                stage.lab.client.outcome(preloading(&storm, program(engine, &[target, port])));
            assert_eq!(right(&outcome), 1, "{outcome:#?}");
        }
        let arguments = [&["-t", "2"], &POOL[..]].concat();
        let check = with_own_clock(preloading(&storm, program(engine, &arguments)));
        let outcome = stage.lab.client.outcome(check);
        assert_eq!(right(&outcome), 6, "{outcome:#?}");
        assert!(number_on_stderr(&outcome, "signals") > 1000, "no storm: {outcome:#?}");
    }
}

#[test]
fn a_storm_of_signals_disturbs_no_name_service() {
    let stage = Stage::new();
    let storm = Preloaded::build(&stage.lab, "faults/signal_storm.c");
    let names = Names::with_hosts("127.0.0.1 localhost\n");
    answer(name_service(&stage.lab), |question| {
        thread::sleep(Duration::from_millis(300));
        address(question)
    });
    for engine in ENGINES {
        let command = names.command(&["--engine", engine, "-4", "slow.test", "80"]);
        let outcome = stage.lab.client.outcome(preloading(&storm, command));
        assert_eq!(right(&outcome), 1, "{outcome:#?}");
        assert!(number_on_stderr(&outcome, "signals") > 100, "no storm: {outcome:#?}");
    }
}

#[test]
fn a_storm_of_signals_loses_no_target_of_a_file() {
    let stage = Stage::new();
    let storm = Preloaded::build(&stage.lab, "faults/signal_storm.c");
    let folder = tempfile::tempdir().expect("a scratch directory");
    let file = folder.path().join("targets");
    mkfifo(&file, Mode::S_IRWXU).expect("a pipe with a name");
    let check =
        preloading(&storm, program("auto", &["--targets", file.to_str().expect("plain letters")]));
    let check = stage.lab.client.spawn(check);
    let mut pipe = writer_to(&file);
    for line in ["198.19.0.2:80\n", "# nothing\n", "[2001:db8::2]:80\n"] {
        thread::sleep(Duration::from_millis(50));
        pipe.write_all(line.as_bytes()).expect("the program reads it");
    }
    drop(pipe);
    let outcome = check.wait();
    assert_eq!(right(&outcome), 2, "{outcome:#?}");
    assert!(number_on_stderr(&outcome, "signals") > 100, "no storm: {outcome:#?}");
}

/// The errors of a kernel without memory, of a full table, and of a call that is interrupted before
/// it begins.
#[test]
fn occasional_failures_of_system_calls_make_no_wrong_state() {
    const OF_BOTH: &[(&str, &[Errno])] = &[
        ("socket", &[Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS, Errno::ENOMEM]),
        ("bind", &[Errno::EADDRINUSE, Errno::ENOMEM]),
        ("setsockopt", &[Errno::ENOBUFS, Errno::ENOMEM]),
        ("getsockname", &[Errno::ENOBUFS]),
        ("connect", &[Errno::ENOBUFS, Errno::ENOMEM, Errno::EINTR]),
        ("ppoll", &[Errno::EINTR, Errno::ENOMEM]),
        ("read", &[Errno::EINTR, Errno::EIO]),
    ];
    const OF_RAW: &[(&str, &[Errno])] = &[
        ("sendmmsg", &[Errno::EINTR, Errno::EAGAIN, Errno::ENOBUFS, Errno::ENOMEM]),
        ("recvmmsg", &[Errno::EINTR, Errno::ENOBUFS, Errno::ENOMEM]),
    ];
    const OF_CONNECT: &[(&str, &[Errno])] = &[
        ("epoll_wait", &[Errno::EINTR, Errno::ENOMEM]),
        ("epoll_ctl", &[Errno::ENOMEM, Errno::ENOSPC]),
    ];
    let stage = Stage::new();
    let failing = Preloaded::build(&stage.lab, "faults/failing_calls.c");
    let mut programs = Vec::new();
    for (engine, its_own) in ENGINES.into_iter().zip([OF_RAW, OF_CONNECT]) {
        for (call, errors) in OF_BOTH.iter().chain(its_own) {
            for (error, every) in errors.iter().flat_map(|error| [(error, 1), (error, 3)]) {
                let fault = format!("{call} {} {every}", *error as i32);
                let mut command = program(engine, &["-t", "0.5", POOL[0]]);
                command.env("FAULT", fault);
                programs.push((
                    format!("{engine}, every {every}. {call}() {error}"),
                    preloading(&failing, command),
                ));
            }
        }
    }
    side_by_side(&stage, programs, |name, outcome| {
        println!("{name}: {} right", right(outcome));
        // Not all of these calls are made three times.
        let some = number_on_stderr(outcome, "failed") > 0 || !name.contains("every 1.");
        assert!(some, "nothing failed: {name}: {outcome:#?}");
    });
}

/// A filter of system calls does so. Nothing that arrives can be learnt, and the message says why.
#[test]
fn a_refusal_to_receive_is_named() {
    let stage = Stage::new();
    let failing = Preloaded::build(&stage.lab, "faults/failing_calls.c");
    for error in [Errno::EPERM, Errno::EACCES, Errno::ENOSYS] {
        for target in ["198.19.0.2", "2001:db8::2"] {
            let mut command = program("raw", &["-t", "2", target, "80"]);
            command.env("FAULT", format!("recvmmsg {} 1", error as i32));
            let check = with_own_clock(preloading(&failing, command));
            let outcome = stage.lab.client.outcome(check);
            assert_eq!(right(&outcome), 0, "{outcome:#?}");
            let wanted = format!("cannot receive answers ({})", error.desc());
            assert!(outcome.stdout.contains(&wanted), "{outcome:#?}");
            assert!(outcome.stdout.contains("seccomp"), "{outcome:#?}");
        }
    }
}

/// Without its answer, a ping would prove the host silent, and its socket would never seem empty.
#[test]
fn a_refusal_to_receive_replies_to_pings_is_named() {
    let stage = Stage::new();
    let failing = Preloaded::build(&stage.lab, "faults/failing_calls.c");
    for (engine, target) in ENGINES.into_iter().zip(["198.19.0.2", "2001:db8::2"]) {
        let mut command = program(engine, &["--explain", "-t", "2", target, "82"]);
        command.env("FAULT", format!("recvmsg {} 1", Errno::EPERM as i32));
        let check = with_own_clock(preloading(&failing, command));
        let outcome = stage.lab.client.outcome(check);
        assert_eq!(outcome.verdict().ending(), (Some("filtered"), 2), "{outcome:#?}");
        let wanted = "pings could not be sent (cannot receive answers (Operation not permitted)";
        assert!(outcome.stdout.contains(wanted), "{outcome:#?}");
    }
}

/// Runs the programs, a few at a time.
fn side_by_side(stage: &Stage, programs: Vec<(String, Command)>, judge: impl Fn(&str, &Outcome)) {
    let mut programs = programs.into_iter();
    loop {
        let some = programs.by_ref().take(AT_ONCE);
        let running: Vec<_> =
            some.map(|(name, command)| (name, stage.lab.client.spawn(command))).collect();
        if running.is_empty() {
            return;
        }
        for (name, program) in running {
            judge(&name, &program.wait());
        }
    }
}

/// Returns the number before `what` in the output of a preloaded library.
fn number_on_stderr(outcome: &Outcome, what: &str) -> u32 {
    let line = outcome.stderr.lines().find_map(|line| line.strip_suffix(what));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or_else(|| panic!("{outcome:#?}"))
}
