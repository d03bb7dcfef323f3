//! The filter of system calls: what it refuses, and that this includes nothing that a check needs.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::support::names::{Names, address, answer, name_service};
use crate::support::preloaded::Preloaded;
use lab::{Lab, Outcome, SERVER_V4, halfopen_path};

/// How each attempt ended, by thread, in the order in which they were made.
struct Attempts(Vec<(String, String, String)>);

impl Attempts {
    /// Reads the output of `attempts.c`.
    fn of(outcome: &Outcome) -> Self {
        let lines = outcome.stderr.lines().filter(|line| !line.ends_with(" that is all"));
        let attempts: Vec<_> = lines
            .map(|line| {
                let (thread, attempt) = line.split_once(' ').expect("the number of the thread");
                let (attempt, end) = attempt.rsplit_once(": ").expect("how it ended");
                (thread.to_owned(), attempt.to_owned(), end.to_owned())
            })
            .collect();
        Self(attempts)
    }

    fn threads(&self) -> usize {
        self.0.iter().map(|(thread, ..)| thread).collect::<BTreeSet<_>>().len()
    }

    /// Returns those that the filter did not refuse.
    fn not_refused(&self) -> Vec<&str> {
        let others = self.0.iter().filter(|(_, attempt, end)| end != refusal(attempt));
        others.map(|(_, attempt, _)| &**attempt).collect()
    }
}

/// The C library does without `clone3()`, whose arguments no filter sees, only if the kernel seems
/// to lack it.
fn refusal(attempt: &str) -> &str {
    if attempt.starts_with("clone3(") { "ENOSYS" } else { "EPERM" }
}

fn halfopen(arguments: &[&str]) -> Command {
    let mut command = Command::new(halfopen_path());
    command.args(arguments);
    command
}

/// Without the filter, no attempt ends with the filter's error.
#[test]
fn without_the_filter_nothing_is_refused_for_want_of_permission() {
    let lab = Lab::new();
    let library = Preloaded::build(&lab, "privilege/attempts.c");
    let mut command = Command::new("getent");
    command.args(["ahosts", "127.0.0.1"]);
    let attempts = Attempts::of(&library.run(&lab, command));
    assert_eq!(attempts.not_refused().len(), attempts.0.len());
    assert!(attempts.0.len() > 40, "{}", attempts.0.len());
}

#[test]
fn what_a_check_does_not_need_is_refused_and_the_check_is_right() {
    let lab = Lab::new();
    let library = Preloaded::build(&lab, "privilege/attempts.c");
    let _listener = lab.server.listen(SocketAddr::new(SERVER_V4, 80));
    for engine in ["raw", "connect"] {
        for (port, state, code) in [("80", "open", 0), ("81", "closed", 2)] {
            let words = ["-o", "json", "--engine", engine, "198.19.0.2", port];
            let outcome = library.run(&lab, halfopen(&words));
            assert_eq!(outcome.verdict().ending(), (Some(state), code), "{outcome:?}");
            let attempts = Attempts::of(&outcome);
            assert_eq!(attempts.threads(), 1);
            assert_eq!(attempts.not_refused(), [""; 0], "{engine}");
        }
    }
}

/// The threads that look names up and that send RSTs.
#[test]
fn every_thread_is_confined() {
    let lab = Lab::new();
    let library = Preloaded::build(&lab, "privilege/attempts.c");
    let names = Names::with_hosts("198.19.0.2 server.test\n");
    let _listener = lab.server.listen("0.0.0.0:80".parse().expect("an endpoint"));
    let words = ["--rate", "0", "server.test:80", "198.18.0.0/22:80"];
    let command = names.shown_to(&halfopen(&words));
    let outcome = library.run(&lab, command);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let attempts = Attempts::of(&outcome);
    assert_eq!(attempts.threads(), 3);
    assert_eq!(attempts.not_refused(), [""; 0]);
}

/// UDP, and TCP if the answer is truncated (RFC 1035 §4.2.1).
#[test]
fn names_are_looked_up_over_udp_and_over_tcp() {
    let lab = Lab::new();
    let names = Names::with_hosts("");
    let _listener = lab.server.listen(SocketAddr::new(SERVER_V4, 80));
    answer(name_service(&lab), |question| {
        let long = question[12..].starts_with(b"\x04long");
        if long { cut_short(question) } else { address(question) }
    });
    let tcp = lab.client.enter(|| TcpListener::bind("127.0.0.1:53").expect("a free port"));
    let served = thread::spawn(move || serve(&tcp.accept().expect("the resolver comes").0));
    for engine in ["raw", "connect"] {
        let command = names.command(&["--engine", engine, "-4", "short.test", "80"]);
        let outcome = lab.client.outcome(command);
        assert_eq!(outcome.verdict().ending(), (Some("open"), 0), "{outcome:?}");
    }
    let outcome = lab.client.outcome(names.command(&["-4", "long.test", "80"]));
    assert_eq!(outcome.verdict().ending(), (Some("open"), 0), "{outcome:?}");
    served.join().expect("asked over TCP");
}

/// A response without answers, with the TC bit.
fn cut_short(question: &[u8]) -> Vec<u8> {
    let mut message = question.to_vec();
    message[2..4].copy_from_slice(&[0x83, 0x80]);
    message
}

/// Answers one question, which is preceded by its length (RFC 1035 §4.2.2).
fn serve(mut stream: &TcpStream) {
    stream.set_read_timeout(Some(Duration::from_mins(5))).expect("a socket of ours");
    let mut length = [0; 2];
    stream.read_exact(&mut length).expect("a length");
    let mut question = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut question).expect("a question");
    let message = address(&question);
    let length = u16::try_from(message.len()).expect("short");
    stream.write_all(&[&length.to_be_bytes()[..], &message].concat()).expect("it listens");
}

#[test]
fn a_panic_is_exit_code_3_and_one_line() {
    let lab = Lab::new();
    let library = Preloaded::build(&lab, "privilege/trouble.c");
    for engine in ["raw", "connect"] {
        let outcome = library.run(&lab, halfopen(&["--engine", engine, "198.19.0.2", "80"]));
        let line =
            "TCP HALF-OPEN UNKNOWN - internal error, nothing was learnt; stderr has the details\n";
        assert_eq!((outcome.code, &*outcome.stdout), (3, line), "{outcome:?}");
        assert!(outcome.stderr.starts_with("halfopen: panicked at src/"), "{outcome:?}");
    }
}

/// Not death by a signal, which some callers take for success.
#[test]
fn an_abort_is_exit_code_3() {
    let lab = Lab::new();
    let library = Preloaded::build(&lab, "privilege/trouble.c");
    for engine in ["raw", "connect"] {
        let mut command = halfopen(&["--engine", engine, "198.19.0.2", "80"]);
        command.env("ABORT", "1");
        assert_eq!(library.run(&lab, command).code, 3);
    }
}

/// The standard library knows where the stack of the first thread ends
/// (`packaging/native/stack.c`).
#[test]
fn an_overflow_of_the_stack_is_exit_code_3() {
    let lab = Lab::new();
    let library = Preloaded::build(&lab, "privilege/trouble.c");
    for engine in ["raw", "connect"] {
        let mut command = halfopen(&["--engine", engine, "198.19.0.2", "80"]);
        command.env("OVERFLOW", "1");
        let outcome = library.run(&lab, command);
        assert_eq!(outcome.code, 3, "{outcome:?}");
        assert!(outcome.stderr.contains("has overflowed its stack"), "{outcome:?}");
    }
}
