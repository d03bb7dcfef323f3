//! A server on a network of its own, checked by the installed plugin.

use std::io::ErrorKind;
use std::net::TcpListener;

use nix::sched::{CloneFlags, unshare};
use serde_json::Value;

use crate::machine::{Machine, run};

/// Asserts that the plugin at this path, run by the user `nagios`, reports what is open and what is
/// closed, uses this engine, and does not involve the server's application.
pub(crate) fn assert_serves_nagios(machine: &Machine, plugin: &str, engine: &str) {
    own_network();
    let listener = TcpListener::bind("127.0.0.1:8025").expect("a free port in a new network");
    listener.set_nonblocking(true).unwrap();
    let check = |words: &[&str]| machine.outcome_as("nagios", &[&[plugin], words].concat());

    let open = check(&["-H", "127.0.0.1", "-p", "8025"]);
    assert_eq!(open.code, 0, "{open:#?}");
    assert!(open.stdout.starts_with("TCP HALF-OPEN OK - 127.0.0.1:8025 open in "), "{open:#?}");

    let closed = check(&["-o", "json", "127.0.0.1", "8026"]);
    let verdict: Value = serde_json::from_str(&closed.stdout).expect("a line of JSON");
    assert_eq!(
        (closed.code, &verdict["state"], &verdict["engine"]),
        (2, &"closed".into(), &engine.into())
    );

    let nobody = listener.accept().expect_err("no connection to accept");
    assert_eq!(nobody.kind(), ErrorKind::WouldBlock);
}

/// Makes a network for this thread and the programs that it starts.
pub(crate) fn own_network() {
    unshare(CloneFlags::CLONE_NEWNET).expect("may make a network: needs root or a user namespace");
    run("ip", &["link", "set", "lo", "up"]);
}
