//! Checks that a signal ends, and readers that leave before the end.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::program::{
    BROADCAST, CLOSED, HALFOPEN, Loopback, OPEN, SILENT, Said, run, segments_received,
};

#[test]
fn an_interrupted_pool_reports_what_is_known() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let _network = Loopback::new().listen("127.0.0.1").overload();
        let said = interrupted(&[OPEN, CLOSED, SILENT, SILENT], signal);
        assert_eq!((said.code, said.stderr.as_str()), (2, ""), "{signal}: {}", said.stdout);
        let begin = "TCP HALF-OPEN CRITICAL - 1 of 4 open, interrupted: 127.0.0.1:8026 closed, 127.0.0.1:8027 unknown, 127.0.0.1:8027 unknown|open=1;;;0;4 ";
        assert!(said.stdout.starts_with(begin), "{}", said.stdout);
        let line = "\n127.0.0.1:8027 unknown (interrupted before the verdict)";
        assert_eq!(said.stdout.matches(line).count(), 2, "{}", said.stdout);
        assert_eq!(said.stdout.lines().count(), 4, "{}", said.stdout);
    }
}

#[test]
fn an_interrupted_pool_reports_in_every_format() {
    let _network = Loopback::new().listen("127.0.0.1").overload();
    let said = interrupted(&["-o", "json", OPEN, CLOSED, SILENT], Signal::SIGINT);
    let lines = said.json_lines();
    assert_eq!(said.code, 2);
    assert_eq!(lines.len(), 4, "{}", said.stdout);
    assert_eq!((&lines[2]["target"], &lines[2]["state"]), (&SILENT.into(), &Value::Null));
    assert_eq!(lines[2]["reason"], "interrupted before the verdict");
    let summary = &lines[3]["summary"];
    assert_eq!((&summary["open"], &summary["closed"]), (&1.into(), &1.into()));
    assert_eq!((&summary["unknown"], &summary["not_probed"]), (&1.into(), &0.into()));
    assert_eq!(summary["status"], "CRITICAL");
    let said = interrupted(&["-o", "text", OPEN, CLOSED, SILENT], Signal::SIGINT);
    let last = said.stdout.lines().last().unwrap();
    assert!(last.starts_with("CRITICAL: 1 of 3 open, interrupted in "), "{last}");
    assert_eq!((said.code, said.stderr.as_str()), (2, ""));
}

#[test]
fn a_pool_that_is_interrupted_before_anything_is_wrong_is_unknown() {
    let _network = Loopback::new().listen("127.0.0.1").overload();
    let said = interrupted(&[OPEN, SILENT], Signal::SIGTERM);
    assert_eq!((said.code, said.stderr.as_str()), (3, ""));
    let begin = "TCP HALF-OPEN UNKNOWN - 1 of 2 open, interrupted: 127.0.0.1:8027 unknown|";
    assert!(said.stdout.starts_with(begin), "{}", said.stdout);
}

/// As for a load balancer's external check that times out: death by a signal would count as up.
#[test]
fn a_single_check_that_is_interrupted_is_unknown_in_one_line() {
    let _network = Loopback::new().overload();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let said = interrupted(&[SILENT], signal);
        assert_eq!(
            said,
            Said {
                code: 3,
                stdout: "TCP HALF-OPEN UNKNOWN - interrupted before the verdict\n".to_owned(),
                stderr: String::new()
            }
        );
    }
    let said = interrupted(&["-o", "json", SILENT], Signal::SIGTERM);
    assert_eq!(said.code, 3);
    assert_eq!((&said.json()["state"], &said.json()["status"]), (&Value::Null, &"UNKNOWN".into()));
}

#[test]
fn a_verdict_is_written_as_soon_as_it_is_reached() {
    let _network = Loopback::new().listen("127.0.0.1").overload();
    let mut child = start(&["-o", "json", "-t", "600", "--retries", "9", SILENT, OPEN]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!((&first["target"], &first["state"]), (&OPEN.into(), &"open".into()));
    assert!(child.try_wait().unwrap().is_none(), "the other verdict takes seconds");
    end(&child, Signal::SIGTERM);
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

#[test]
fn a_reader_who_leaves_half_way_changes_no_verdict() {
    let _network = Loopback::new().listen("127.0.0.1");
    for (words, code) in [
        (["-o", "json", "127.1.0.0/20:9"].as_slice(), 2),
        (&["-o", "json", "-r", "warn", "127.1.0.0/20:9"], 1),
        (&["-o", "text", "-r", "ok", "127.1.0.0/20:9"], 0),
        (&["-o", "json", "-r", "ok", "--retries", "0", "127.1.0.0/20:9", BROADCAST], 3),
    ] {
        let mut child = start(words);
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        reader.read_line(&mut String::new()).unwrap();
        drop(reader);
        let mut errors = String::new();
        child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        assert_eq!((child.wait().unwrap().code(), errors.as_str()), (Some(code), ""), "{words:?}");
    }
    let script = format!("\"{HALFOPEN}\" -o json 127.1.0.0/24:9; echo $? >&2");
    let said = run("bash", ["-c", &format!("{{ {script}; }} | head -1")]);
    assert_eq!(said.stderr, "2\n");
}

/// Runs the program, sends it a signal once its first SYNs have been answered, and returns its
/// output.
fn interrupted(words: &[&str], signal: Signal) -> Said {
    let before = segments_received();
    let mut child = start(&[&["-t", "600", "--retries", "9"], words].concat());
    // The segments of each target. One that is named twice is probed once.
    let drawn = [(OPEN, 3), (CLOSED, 2), (SILENT, 1)];
    let expected: u64 =
        drawn.iter().filter(|(target, _)| words.contains(target)).map(|(_, count)| count).sum();
    let begin = Instant::now();
    while segments_received() < before + expected {
        assert!(begin.elapsed() < lab::patience(), "no packets: {:?}", child.wait_with_output());
        thread::sleep(Duration::from_millis(5));
    }
    // It handles what has arrived before it sleeps.
    while !sleeps(&child) {
        assert!(begin.elapsed() < lab::patience(), "it never sleeps");
        thread::sleep(Duration::from_millis(1));
    }
    end(&child, signal);
    let stdout = all_of(child.stdout.take().unwrap());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    let code = child.wait().unwrap().code().expect("an exit code, not a signal");
    Said { code, stdout, stderr }
}

/// Returns true if the program's raw sockets have nothing left to read, and it waits for more
/// (`proc_pid_stat(5)`).
fn sleeps(child: &Child) -> bool {
    let queued = ["raw", "raw6"].iter().any(|table| {
        let table = fs::read_to_string(format!("/proc/thread-self/net/{table}")).unwrap();
        table.lines().skip(1).any(|line| !line.contains(":00000000 00:"))
    });
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    !queued && stat.rsplit_once(") ").unwrap().1.starts_with('S')
}

fn start(words: &[&str]) -> Child {
    let mut command = Command::new(HALFOPEN);
    command.args(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn end(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
}

fn all_of(mut stdout: ChildStdout) -> String {
    let mut text = String::new();
    stdout.read_to_string(&mut text).unwrap();
    text
}
