//! A program that does not get to run for a while: what arrives meanwhile counts, and silence
//! proves nothing.

use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::crowd::{Crowd, Findings, OPEN, expected};
use crate::support::preloaded::Preloaded;
use crate::support::process::{signal, state, wait_until};
use lab::{Running, halfopen_path};

/// The program is stopped from its last SYN until the last timeout has passed. There are no more
/// targets than a kernel queues packets between two interfaces (`netdev_max_backlog`, 1000).
#[test]
fn answers_that_came_in_time_count_after_a_stall() {
    let crowd = Crowd::new();
    let client = &crowd.lab.client;
    let arguments = ["-o", "json", "--rate", "0", "--retries", "0", "-t", "2", "198.18.0.0/23:80"];
    let pool = stopped_after(512, &crowd, &arguments);
    let sockets = client.run("cat", &["/proc/net/raw"]);
    assert!(sockets.lines().skip(1).any(has_unread), "answers are there: {sockets}");
    thread::sleep(Duration::from_millis(2100));
    signal(&pool, Signal::SIGCONT);

    let findings = Findings::of(&pool.wait());
    findings.assert_states(expected("198.18.0.0", 512, &[OPEN]));
    crowd.assert_nothing_is_left();
}

/// Returns the program, with raw sockets, once it has sent this many SYNs and is stopped. It
/// continues at SIGCONT.
pub(super) fn stopped_after(syns: u32, crowd: &Crowd, arguments: &[&str]) -> Running {
    let library = Preloaded::build(&crowd.lab, "pool/standstill.c");
    let mut command = Command::new(halfopen_path());
    command.env("LD_PRELOAD", &library.path).env("LAST_SYN", syns.to_string());
    command.args(["--engine", "raw"]).args(arguments);
    let pool = crowd.lab.client.spawn(command);
    wait_until(|| state(&pool) == 'T');
    pool
}

/// A line of /proc/net/raw: number, two addresses, state, and the bytes of both queues.
fn has_unread(socket: &str) -> bool {
    let queues = socket.split_whitespace().nth(4).expect("a column");
    let (_, unread) = queues.split_once(':').expect("two queues");
    unread.bytes().any(|digit| digit != b'0')
}
