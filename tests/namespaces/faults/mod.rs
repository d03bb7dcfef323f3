//! Faults of this machine. Each ends in the right verdict or in none, never in a wrong state, and
//! the program never dies, hangs or stays silent.

mod calls;
mod descriptors;
mod memory;
mod no_ipv6;
mod output;
mod resolver;
mod signals;
mod threads;

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;

use nix::fcntl::OFlag;
use serde_json::Value;

use crate::support::preloaded::Preloaded;
use crate::support::process::wait_until;
use lab::{Lab, Outcome, SERVER_V4, SERVER_V6, halfopen_path};

pub(crate) const ENGINES: [&str; 2] = ["raw", "connect"];

/// A server with an open, a closed and a silent port.
struct Stage {
    lab: Lab,
    _listeners: [TcpListener; 2],
}

impl Stage {
    fn new() -> Self {
        let lab = Lab::new();
        lab.server.nft(
            "table inet t { chain in { type filter hook input priority 0; tcp dport 82 drop; }; }",
        );
        let listen = |server| lab.server.listen(SocketAddr::new(server, 80));
        let listeners = [SERVER_V4, SERVER_V6].map(listen);
        Self { lab, _listeners: listeners }
    }
}

/// The program with `-o json`.
fn program(engine: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(halfopen_path());
    command.args(["--engine", engine, "-o", "json"]).args(arguments);
    command
}

/// The program with a preloaded library. The libraries here affect only the program under test, not
/// the shells and other programs that start it.
fn preloading(library: &Preloaded, mut program: Command) -> Command {
    program.env("LD_PRELOAD", &library.path);
    program
}

/// The program with `-o json`, under a limit of the shell's `ulimit`.
pub(crate) fn limited(limit: &str, value: u32, engine: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    let script = format!(r#"ulimit {limit} {value} && exec "$0" "$@""#);
    command
        .args(["-c", &script, halfopen_path(), "--engine", engine, "-o", "json"])
        .args(arguments);
    command
}

/// Returns the writing end of a named pipe, once the program has opened the other end.
fn writer_to(pipe: &Path) -> File {
    let opened = RefCell::new(None);
    wait_until(|| {
        let mut writer = OpenOptions::new();
        writer.write(true).custom_flags(OFlag::O_NONBLOCK.bits());
        *opened.borrow_mut() = writer.open(pipe).ok();
        opened.borrow().is_some()
    });
    opened.into_inner().expect("opened")
}

/// The state and the status of each port of the [`Stage`].
fn truth(port: u64) -> (&'static str, &'static str) {
    match port {
        80 => ("open", "OK"),
        81 => ("closed", "CRITICAL"),
        82 => ("filtered", "CRITICAL"),
        other => panic!("port {other} has no state here"),
    }
}

/// Returns how many targets of the [`Stage`] have the right verdict. Asserts that the others have
/// none, and that the exit code agrees.
#[track_caller]
fn right(outcome: &Outcome) -> usize {
    if outcome.stdout.starts_with("TCP HALF-OPEN UNKNOWN - ") {
        assert_unknown_in_one_line(outcome);
        return 0;
    }
    let (right, status) = right_so_far(outcome);
    let code = match status.as_str() {
        Some("OK") => 0,
        Some("CRITICAL") => 2,
        Some("UNKNOWN") => 3,
        _ => panic!("no output: {outcome:#?}"),
    };
    assert_eq!(outcome.code, code, "{outcome:#?}");
    right
}

/// Asserts that each line is right, and returns how many have a state, and the last status.
#[track_caller]
fn right_so_far(outcome: &Outcome) -> (usize, Value) {
    let mut right = 0;
    let mut status = Value::Null;
    for line in outcome.stdout.lines() {
        let mut line: Value = serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {outcome:#?}"));
        if line["summary"].is_object() {
            status = line["summary"]["status"].take();
            continue;
        }
        status = line["status"].take();
        if line["state"].is_null() {
            assert_eq!(status, "UNKNOWN", "{outcome:#?}");
        } else {
            let port = line["port"].as_u64().expect("a port");
            assert_eq!(
                (&line["state"], &status),
                (&truth(port).0.into(), &truth(port).1.into()),
                "{outcome:#?}"
            );
            right += 1;
        }
    }
    (right, status)
}

#[track_caller]
fn assert_unknown_in_one_line(outcome: &Outcome) {
    assert_eq!((outcome.code, outcome.stdout.lines().count()), (3, 1), "{outcome:#?}");
    let unknown = outcome.stdout.starts_with("TCP HALF-OPEN UNKNOWN - ")
        || (outcome.json()["state"].is_null() && outcome.json()["status"] == "UNKNOWN");
    assert!(unknown, "{outcome:#?}");
}
