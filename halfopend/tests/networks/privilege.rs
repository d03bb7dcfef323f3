//! The privilege that the daemon begins with, and that it has none when it runs.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use lab::Lab;
use nix::sys::signal::Signal;

use crate::agent::ask;
use crate::daemon::{Daemon, Files, SERVERS, pool};

/// An ordinary user, by options of `setpriv`.
const USER: [&str; 3] = ["--reuid=65534", "--regid=65534", "--clear-groups"];

const AMBIENT: [&str; 2] = ["--inh-caps=-all,+net_raw", "--ambient-caps=-all,+net_raw"];

/// The fields of `/proc/PID/status` that say what a thread may do.
const FIELDS: [&str; 7] =
    ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"];

const NONE: &str = "0000000000000000";

/// Starts the daemon, and asserts which engine it has and that its threads can do nothing that any
/// user could not do. Returns their bounding set.
fn assert_confined(command: Command, engine: &str) -> String {
    let lab = Lab::new();
    let _listener = lab.server.listen(SERVERS[0].parse().expect("an endpoint"));
    let mut daemon = Daemon::of(&lab.client, command);
    let seen = daemon.until(0, "up", SERVERS[0]);
    assert_eq!(daemon.events()[seen - 1]["engine"], engine);
    assert_eq!(ask(&lab.client, &format!("web/{}\n", SERVERS[0])), "up\n");
    let threads = fs::read_dir(format!("/proc/{}/task", daemon.id())).expect("it runs");
    let states: Vec<_> = threads.map(|thread| state(&thread.expect("a folder").path())).collect();
    assert!(states.len() > 1, "the agent has a thread");
    let bounds: BTreeSet<_> = states.iter().map(|state| state[3].clone()).collect();
    assert_eq!(bounds.len(), 1, "{states:?}");
    let bound = bounds.into_iter().next().expect("one");
    for state in states {
        assert_eq!(state, [NONE, NONE, NONE, &bound, NONE, "1", "2"], "{FIELDS:?}");
    }
    bound
}

fn state(thread: &Path) -> Vec<String> {
    let status = fs::read_to_string(thread.join("status")).expect("a thread that runs");
    let value = |name: &&str| {
        let line = status.lines().find(|line| line.starts_with(&format!("{name}:")));
        line.and_then(|line| line.split_whitespace().last()).expect("a field").to_owned()
    };
    FIELDS.iter().map(value).collect()
}

/// Returns a configuration that every user can read.
fn files(configuration: &str) -> Files {
    let files = Files::new(configuration);
    fs::set_permissions(files.path("."), Permissions::from_mode(0o755)).expect("its own folder");
    files
}

fn as_user(files: &Files, words: &[&str]) -> Command {
    files.command(&[&["setpriv"], &USER[..], words].concat())
}

/// Returns a copy of the daemon that a program has changed, started by an ordinary user.
fn changed_by(files: &Files, program: &str, change: &str) -> Command {
    let copy = files.path("halfopend");
    // Another process writes it: a file that is open for writing cannot be run, and a child of
    // another test may still have it open.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_halfopend")).arg(&copy).status();
    let changed = Command::new(program).arg(change).arg(&copy).status();
    for status in [copied, changed] {
        assert!(status.is_ok_and(|status| status.success()), "cannot make such a file");
    }
    let mut command = Command::new("setpriv");
    command.args(USER).arg(copy).arg("--config").arg(files.path("halfopend.toml"));
    command
}

fn with_file_capability(files: &Files) -> Command {
    changed_by(files, "setcap", "cap_net_raw=p")
}

#[test]
fn root_keeps_no_privilege() {
    let files = files(&pool());
    let bound = assert_confined(files.command(&[]), "raw");
    assert_eq!(bound, NONE);
}

/// As with `AmbientCapabilities=CAP_NET_RAW` and a user of its own.
#[test]
fn an_ambient_capability_is_enough_and_is_not_kept() {
    let files = files(&pool());
    let bound = assert_confined(as_user(&files, &AMBIENT), "raw");
    assert_ne!(bound, NONE, "only CAP_SETPCAP could empty it");
}

#[test]
fn a_file_capability_is_enough_and_is_not_kept() {
    let files = files(&pool());
    assert_confined(with_file_capability(&files), "raw");
}

#[test]
fn without_any_privilege_the_kernel_makes_the_handshake() {
    let files = files(&pool());
    assert_confined(as_user(&files, &["--inh-caps=-all"]), "connect");
}

#[test]
fn privilege_that_is_lent_has_a_highest_rate() {
    let files = files(&format!("rate = 10001\n{}", pool()));
    let lab = Lab::new();
    let outcome = lab.client.outcome(with_file_capability(&files));
    assert_eq!(outcome.code, 2, "{outcome:#?}");
    assert!(outcome.stderr.contains("rate 10001 is only for root"), "{outcome:#?}");
    // Whoever has the capability may pass it on.
    let _listener = lab.server.listen(SERVERS[0].parse().expect("an endpoint"));
    Daemon::of(&lab.client, as_user(&files, &AMBIENT)).until(0, "up", SERVERS[0]);
}

/// A helper runs hooks. It is the same program, so it is setuid, too.
#[test]
fn hooks_of_a_setuid_program_run_as_its_caller() {
    let files = files(&format!("{}hook = [\"/usr/bin/id\"]\n", pool()));
    let lab = Lab::new();
    let _listener = lab.server.listen(SERVERS[0].parse().expect("an endpoint"));
    let mut daemon = Daemon::of(&lab.client, changed_by(&files, "chmod", "4755"));
    let seen = daemon.until(0, "up", SERVERS[0]);
    assert_eq!(daemon.events()[seen - 1]["engine"], "raw");
    daemon.signal(Signal::SIGTERM); // it waits for hooks that have begun
    let outcome = daemon.running.wait();
    assert!(outcome.stderr.contains("uid=65534"), "{outcome:#?}");
    assert!(!outcome.stderr.contains("euid=0"), "{outcome:#?}");
}
