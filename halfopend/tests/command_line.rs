//! The program as a caller sees it: exit codes, and what goes where.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn halfopend(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_halfopend")).args(arguments).output().expect("halfopend")
}

/// Returns the exit code, standard output and standard error.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = halfopend(arguments);
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn a_usage_error_is_told_on_standard_error_with_exit_code_2() {
    for arguments in [
        &[][..],
        &["--no-such-option", "192.0.2.7:443"],
        &["192.0.2.7"],
        &["--config"],
        &["--config", "a.toml", "192.0.2.7:443"],
        &["--log", "xml", "192.0.2.7:443"],
    ] {
        let (code, out, messages) = run(arguments);
        assert_eq!((code, &*out), (Some(2), ""), "{arguments:?}");
        assert!(messages.starts_with("halfopend: "), "{messages}");
    }
}

#[test]
fn help_and_version_are_answers() {
    for argument in ["--help", "-h", "--version", "-V"] {
        let (code, out, messages) = run(&[argument]);
        assert_eq!((code, &*messages), (Some(0), ""), "{argument}");
        assert!(out.contains("halfopend"), "{out}");
    }
}

#[test]
fn check_says_what_it_understood() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.toml");
    let text = "[pool.web]\nfile = 'web.txt'\nwitness = ['192.0.2.1:22']\n\
                [pool.mail]\ntargets = ['mail.example:25']\ninterval = '1m'\nretries = 0\n";
    fs::write(&file, text).unwrap();
    fs::write(folder.path().join("web.txt"), "192.0.2.0/30:80,443\n").unwrap();
    let (code, out, messages) = run(&["--config", file.to_str().unwrap(), "--check"]);
    assert_eq!((code, &*messages), (Some(0), ""));
    let expected = "2 pools, 9 targets\n\
                    web: 8 targets and 1 witness every 5s, 3 SYNs at most\n\
                    mail: 1 target every 60s, 1 SYN at most\n";
    assert_eq!(out, expected);
    let (code, out, _) = run(&["192.0.2.7:443", "--check"]);
    assert_eq!(code, Some(0));
    assert_eq!(out, "1 pool, 1 target\ndefault: 1 target every 5s, 3 SYNs at most\n");
}

#[test]
fn check_names_the_line_of_a_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.toml");
    let name = file.to_str().unwrap();
    fs::write(&file, "[pool.web]\ntargets = ['192.0.2.7:443']\nfall = 0\n").unwrap();
    let (code, out, messages) = run(&["--config", name, "--check"]);
    assert_eq!((code, &*out), (Some(2), ""));
    assert!(messages.starts_with(&format!("halfopend: {name}:3:8: ")), "{messages}");
    let (code, _, messages) = run(&["--config", name, "--check", "--log", "json"]);
    let object: serde_json::Value = serde_json::from_str(&messages).expect("an object");
    assert_eq!((code, &object["level"]), (Some(2), &"error".into()));
    let (code, _, messages) = run(&["10.0.0.0/8:1", "--check"]);
    let expected = "halfopend: more than 1000000 targets, all pools together\n";
    assert_eq!((code, &*messages), (Some(2), expected));
}

/// Starts the program on an open port, and returns it and the port.
fn checking(arguments: &[&str]) -> (Child, TcpListener) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_halfopend"))
        .arg(port.local_addr().unwrap().to_string())
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("halfopend");
    (child, port)
}

fn end(child: Child, signal: Signal) -> (Option<i32>, String) {
    kill(pid(&child), signal).unwrap();
    let ended = child.wait_with_output().unwrap();
    (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().try_into().unwrap())
}

/// Reads the next line, which says that a target is up.
fn assert_says_up(out: &mut impl BufRead) {
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    let event: serde_json::Value = serde_json::from_str(&line).expect(&line);
    assert_eq!(event["event"], "up", "{line}");
}

#[test]
fn a_signal_ends_it_with_exit_code_0() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let (mut child, _port) = checking(&["--log", "json"]);
        assert_says_up(&mut BufReader::new(child.stdout.take().unwrap()));
        let (code, log) = end(child, signal);
        assert_eq!(code, Some(0), "{log}");
        let first: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
        assert_eq!(first["message"], "checking 1 pool, 1 target");
    }
}

#[test]
fn events_are_appended_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.jsonl");
    fs::write(&file, "before\n").unwrap();
    let (child, _port) = checking(&["--events", file.to_str().unwrap()]);
    let until = format!("--pid={}", pid(&child));
    let mut tail = Command::new("tail")
        .args(["--follow", "--lines=+1", &until])
        .arg(&file)
        .stdout(Stdio::piped())
        .spawn()
        .expect("tail");
    let mut lines = BufReader::new(tail.stdout.take().unwrap());
    let mut before = String::new();
    lines.read_line(&mut before).unwrap();
    assert_eq!(before, "before\n");
    assert_says_up(&mut lines);
    assert_eq!(end(child, Signal::SIGTERM).0, Some(0));
    tail.wait().unwrap();
}

#[test]
fn a_file_for_events_that_cannot_be_opened_is_a_fault_of_this_machine() {
    let (code, out, messages) = run(&["127.0.0.1:1", "--events", "/nonexistent/events"]);
    assert_eq!((code, &*out), (Some(1), ""));
    let expected = "halfopend: cannot write to /nonexistent/events: No such file or directory\n";
    assert_eq!(messages, expected);
}
