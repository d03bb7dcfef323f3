//! A program that the machine does not let run for a while: what arrived meanwhile counts, and
//! silence proves nothing.

use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::crowd::{Crowd, Findings, OPEN, expected};
use crate::foreign_traffic::signal;
use crate::lab::HALFOPEN;

/// The server's SYN+ACKs do not get out at first. Those that it repeats arrive before the last wait
/// ends, while the program stands still until after that. Not more targets than what a kernel
/// queues between two interfaces (`netdev_max_backlog`, 1000), because all of them come at once.
#[test]
fn answers_that_came_in_time_count_after_a_stall() {
    let crowd = Crowd::new();
    let server = &crowd.lab.server;
    server.nft(
        "table inet mute { chain out { type filter hook output priority 0; tcp sport 80 drop; }; }",
    );
    let capture = server.capture("server0");
    let mut command = Command::new(HALFOPEN);
    command.args(["-o", "json", "--rate", "0", "-t", "20", "198.18.0.0/23:80"]);
    let pool = crowd.lab.client.spawn(command);
    // Each is asked at once, after a second, and after three, then from a port that the server does
    // not know: that SYN+ACK it repeats a second later. It is waited for seven seconds in all.
    let mut syns = 0;
    while syns < 3 * 512 {
        syns += capture.segments().len();
        assert!(pool.said().is_empty(), "no verdict before all SYNs: {}", pool.said());
    }
    signal(&pool, Signal::SIGSTOP);
    server.run("nft", &["delete", "table", "inet", "mute"]);
    thread::sleep(Duration::from_millis(4500));
    assert!(capture.segments().len() >= 512, "the server repeats its SYN+ACKs");
    signal(&pool, Signal::SIGCONT);

    let findings = Findings::of(&pool.wait());
    findings.assert_states(expected("198.18.0.0", 512, &[OPEN]));
    crowd.assert_nothing_is_left();
}
