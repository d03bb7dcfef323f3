//! Several targets at once: their summary, the report of each, and early ends.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::program::{HALFOPEN, Loopback, PATIENCE, Said, halfopen, run, segments_received};

const OPEN: &str = "127.0.0.1:8025";
const CLOSED: &str = "127.0.0.1:8026";
/// Drops each SYN.
const SILENT: &str = "127.0.0.1:8027";
/// This machine will not send there.
const BROADCAST: &str = "127.255.255.255:80";

#[test]
fn a_pool_begins_with_a_summary_and_lists_what_is_not_ok() {
    let _network = Loopback::new().listen("127.0.0.1");
    let said = halfopen([OPEN, CLOSED]);
    let lines: Vec<_> = said.stdout.lines().collect();
    let [first, second] = lines[..] else { panic!("{}", said.stdout) };
    let begin = "TCP HALF-OPEN CRITICAL - 1 of 2 open: 127.0.0.1:8026 closed|open=1;;;0;2 '127.0.0.1:8025'=0.";
    assert!(first.starts_with(begin), "{first}");
    assert!(second.starts_with("127.0.0.1:8026 closed (RST+ACK in "), "{second}");
    assert_eq!((said.code, said.stderr.as_str()), (2, ""));

    let fine = halfopen([OPEN, "localhost:8025", "-4"]);
    assert!(
        fine.stdout.starts_with("TCP HALF-OPEN OK - 2 of 2 open|open=2;;;0;2 "),
        "{}",
        fine.stdout
    );
    assert_eq!((fine.code, fine.stdout.lines().count()), (0, 1));
}

#[test]
fn every_form_names_the_same_pool() {
    let _network = Loopback::new().listen("127.0.0.1");
    for words in [
        ["127.0.0.1:8025", "127.0.0.1:8026"].as_slice(),
        &["127.0.0.1:8025,8026"],
        &["127.0.0.1:8025-8026"],
        &["127.0.0.1:8026,8025"],
        &["127.0.0.1", "8025,8026"],
        &["127.0.0.1", "8025-8026"],
        &["127.0.0.1", "-p", "8025,8026"],
        &["-H", "127.0.0.1", "-p", "8025-8026"],
        &["-H", "127.0.0.1/32", "-p", "8025-8026"],
        &["127.0.0.1/32:8025-8026"],
        &["", "127.0.0.1:8025", "", "127.0.0.1:8026", ""],
    ] {
        let (targets, _, _) = json_pool(words);
        let states: BTreeMap<_, _> =
            targets.iter().map(|t| (text(t, "target"), text(t, "state"))).collect();
        let wanted = [("127.0.0.1:8025", "open"), ("127.0.0.1:8026", "closed")];
        assert_eq!(states, wanted.map(|(a, b)| (a.to_owned(), b.to_owned())).into(), "{words:?}");
    }
}

#[test]
fn a_block_is_all_its_addresses() {
    let _network = Loopback::new().listen("127.0.0.1");
    for words in [["127.0.0.0/29:8025"].as_slice(), &["-H", "127.0.0.0/29", "-p", "8025"]] {
        let (targets, summary, code) = json_pool(words);
        assert_eq!((targets.len(), code), (8, 2));
        for target in &targets {
            let address = text(target, "address");
            let open = if address == "127.0.0.1" { "open" } else { "closed" };
            assert_eq!(text(target, "target"), format!("{address}:8025"));
            if address != "127.0.0.0" {
                assert_eq!(text(target, "state"), open, "{address}");
            }
        }
        assert_eq!(summary["open"], 1);
    }
    let v6 = Loopback::new().listen("::1");
    for words in [["[::1/128]:8025-8026"].as_slice(), &["-H", "::1/128", "-p", "8025-8026"]] {
        let (targets, summary, _) = json_pool(words);
        assert_eq!(
            (targets.len(), &summary["open"], &summary["closed"]),
            (2, &1.into(), &1.into())
        );
    }
    drop(v6);
}

/// CRITICAL over WARNING over UNKNOWN over OK.
#[test]
fn the_worst_target_decides() {
    let _network = Loopback::new().listen("127.0.0.1").overload();
    for (words, code) in [
        ([OPEN, OPEN].as_slice(), 0),
        (&[OPEN, CLOSED, "-r", "ok"], 0),
        (&[OPEN, BROADCAST], 3),
        (&[OPEN, BROADCAST, CLOSED, "-r", "ok"], 3),
        (&[OPEN, BROADCAST, CLOSED, "-r", "warn"], 1),
        (&[OPEN, CLOSED, "-r", "warn"], 1),
        (&[OPEN, BROADCAST, CLOSED], 2),
        (&[OPEN, BROADCAST, CLOSED, SILENT, "-r", "warn"], 2),
        (&[OPEN, OPEN, "-w", "0"], 1),
        (&[OPEN, CLOSED, "--expect", "closed"], 2),
        (&[CLOSED, "127.0.0.2:8026", "--expect", "closed"], 0),
    ] {
        for format in ["nagios", "json", "text"] {
            let said = halfopen([&["-o", format, "--retries", "0"], words].concat());
            assert_eq!(said.code, code, "{words:?}: {}", said.stdout);
            let status = ["OK", "WARNING", "CRITICAL", "UNKNOWN"][usize::try_from(code).unwrap()];
            assert!(said.stdout.contains(status), "{}", said.stdout);
        }
    }
}

#[test]
fn the_wanted_number_of_open_targets_decides_alone() {
    let _network = Loopback::new().listen("127.0.0.1");
    for (wanted, targets, code) in [
        ("0", [OPEN, CLOSED].as_slice(), 0),
        ("0", &[CLOSED, CLOSED], 0),
        ("0%", &[CLOSED, CLOSED], 0),
        ("1", &[OPEN, CLOSED], 0),
        ("2", &[OPEN, CLOSED], 2),
        ("50%", &[OPEN, CLOSED], 0),
        ("50.1%", &[OPEN, CLOSED], 2),
        ("100%", &[OPEN, CLOSED], 2),
        ("100%", &[OPEN, OPEN], 0),
        ("1", &[OPEN, BROADCAST], 0),
        ("2", &[OPEN, BROADCAST], 3),
        ("2", &[OPEN, BROADCAST, CLOSED], 3),
        ("3", &[OPEN, BROADCAST, CLOSED], 2),
        ("1", &[OPEN], 0),
        ("0", &[CLOSED], 0),
        ("1", &[CLOSED], 2),
    ] {
        let said = halfopen([&["--retries", "0", "--min-open", wanted], targets].concat());
        assert_eq!(said.code, code, "{wanted} of {targets:?}: {}", said.stdout);
    }
    let said = halfopen(["--min-open", "1", OPEN, CLOSED]);
    let begin = "TCP HALF-OPEN OK - 1 of 2 open (1 wanted): 127.0.0.1:8026 closed|open=1;;1:;0;2 ";
    assert!(said.stdout.starts_with(begin), "{}", said.stdout);
}

#[test]
fn more_open_targets_than_there_are_cannot_be_wanted() {
    let _network = Loopback::new();
    for (wanted, named) in [
        ("3", "2 targets"),
        ("101%", "101%"),
        ("-1", "-1"),
        ("-1%", "-1"),
        ("x", "x"),
        ("%", "%"),
        ("nan%", "nan%"),
    ] {
        let said = halfopen(["--min-open", wanted, OPEN, CLOSED]);
        assert_eq!(said.code, 3, "{}", said.stdout);
        assert!(said.stdout.starts_with("TCP HALF-OPEN UNKNOWN - "), "{}", said.stdout);
        assert!(said.stdout.contains(named), "{}", said.stdout);
    }
    assert_eq!(segments_received(), 0);
}

#[test]
fn a_name_that_does_not_resolve_is_its_own_verdict_alone() {
    let _network = Loopback::new().listen("127.0.0.1");
    let (targets, summary, code) =
        json_pool(&["nonexistent.invalid:80,81", OPEN, "localhost:8025", "-4", "-t", "5"]);
    assert_eq!(code, 2);
    assert_eq!(targets.len(), 4);
    for target in &targets {
        let nowhere = text(target, "target").starts_with("nonexistent.invalid:8");
        assert_eq!(text(target, "state"), if nowhere { "unreachable" } else { "open" });
        assert_eq!(target["address"].is_null(), nowhere);
    }
    assert_eq!((&summary["open"], &summary["unreachable"]), (&2.into(), &2.into()));
}

#[test]
fn what_several_words_name_is_probed_once_and_reported_for_each() {
    let _network = Loopback::new().listen("127.0.0.1");
    let words = [
        OPEN,
        OPEN,
        "[::ffff:127.0.0.1]:8025",
        "127.0.0.0/30:8025",
        "localhost:8025",
        "-4",
        "-vvv",
    ];
    let said = halfopen([&["-o", "json"], words.as_slice()].concat());
    let lines: Vec<Value> = json_lines(&said);
    let named: Vec<_> = lines.iter().filter(|line| line["address"] == "127.0.0.1").collect();
    assert_eq!(named.len(), 5, "{}", said.stdout);
    assert!(named.iter().all(|line| line["state"] == "open" && line["rtt"] == named[0]["rtt"]));
    assert_eq!(lines.last().unwrap()["summary"]["targets"], 8);
    assert_eq!(lines.last().unwrap()["summary"]["open"], 5);
    let syns = said
        .stderr
        .lines()
        .filter(|line| line.contains(" sent ") && line.contains("> 127.0.0.1:8025 SYN "));
    assert_eq!(syns.count(), 1, "{}", said.stderr);
}

#[test]
fn thousands_of_targets_do_not_say_more_than_a_monitor_reads() {
    let _network = Loopback::new();
    let said = halfopen(["127.1.0.0/20:9,10"]);
    assert_eq!(said.code, 2);
    assert!(said.stdout.len() < 8192, "{} bytes", said.stdout.len());
    let first = said.first_line();
    assert!(first.len() < 4096, "{} bytes", first.len());
    assert!(first.starts_with("TCP HALF-OPEN CRITICAL - 0 of 8192 open: 127.1.0."), "{first}");
    assert!(first.ends_with(" and 8189 more|open=0;;;0;8192"), "{first}");
    let listed = said.stdout.lines().skip(1).filter(|line| line.contains(" closed (RST+ACK in "));
    assert!(listed.count() > 100, "{}", said.stdout);
}

#[test]
fn json_has_a_line_for_each_of_thousands_and_one_that_adds_up() {
    let _network = Loopback::new().listen("127.0.0.1");
    let (targets, summary, code) = json_pool(&["127.0.0.1:8025", "127.1.0.0/20:9"]);
    assert_eq!((targets.len(), code), (4097, 2));
    let mut names: Vec<_> = targets.iter().map(|target| text(target, "target")).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 4097);
    for state in ["open", "closed", "filtered", "unreachable", "stale"] {
        let count = targets.iter().filter(|target| target["state"] == state).count();
        assert_eq!(summary[state], count, "{state}");
    }
    assert_eq!((&summary["targets"], &summary["unknown"]), (&4097.into(), &0.into()));
    assert_eq!((&summary["not_probed"], &summary["status"]), (&0.into(), &"CRITICAL".into()));
    assert!(summary["elapsed"].as_f64().unwrap() > 0.4, "4097 targets at 10,000 a second");
}

#[test]
fn text_has_a_row_for_each_and_a_summary() {
    let _network = Loopback::new().listen("127.0.0.1");
    let said = halfopen(["-o", "text", OPEN, CLOSED, "nonexistent.invalid:80"]);
    let lines: Vec<_> = said.stdout.lines().collect();
    assert_eq!(lines.len(), 5, "{}", said.stdout);
    let columns = lines[0].find("STATE").unwrap();
    for (line, state) in lines[1..].iter().zip(["open", "closed", "unreachable"]) {
        assert!(line[columns..].starts_with(state), "{}", said.stdout);
    }
    assert!(lines[4].starts_with("CRITICAL: 1 of 3 open in "), "{}", said.stdout);
    assert_eq!(said.stderr, "");
}

#[test]
fn the_rate_is_kept() {
    let _network = Loopback::new();
    let begin = Instant::now();
    let said = halfopen(["--rate", "10", "127.0.0.1:101-120"]);
    let elapsed = begin.elapsed();
    assert_eq!(said.code, 2);
    assert!(elapsed >= Duration::from_millis(1800), "20 targets at 10 a second took {elapsed:?}");
}

#[test]
fn what_cannot_fit_is_said_before_anything_is_sent() {
    let _network = Loopback::new();
    for (rate, timeout, targets, total) in [
        ("10", "1", "127.0.0.1:1-100", "100 targets"),
        ("10000", "10", "127.0.0.0/8:80", "16777216 targets"),
        ("1", "5", "[2001:db8::/64]:80", "18446744073709551616 targets"),
    ] {
        for format in ["nagios", "json", "text"] {
            let said = halfopen(["-o", format, "--rate", rate, "-t", timeout, targets]);
            assert_eq!(said.code, 3, "{}", said.stdout);
            for named in [total, rate, timeout, "--rate", "--timeout"] {
                assert!(said.stdout.contains(named), "{named} is not in {}", said.stdout);
            }
        }
    }
    assert_eq!(segments_received(), 0);
    assert_eq!(halfopen(["--rate", "1000", "-t", "1", "127.0.0.1:1-100"]).code, 2);
}

#[test]
fn one_target_fits_into_any_time() {
    let _network = Loopback::new().listen("127.0.0.1");
    assert_eq!(halfopen(["--rate", "1", "-t", "1", OPEN]).code, 0);
}

/// More than can be probed, or kept: the report has those that there was time for.
#[test]
fn a_pool_without_end_ends_in_time() {
    let _network = Loopback::new();
    // In real time: it never waits.
    let limited = "unset LD_PRELOAD; ulimit -v 500000; exec \"$0\" \"$@\"";
    for targets in ["10.0.0.0/8:1-65535", "[2001:db8::/32]:80"] {
        let said = run("sh", ["-c", limited, HALFOPEN, "--rate", "0", "-t", "2", targets]);
        assert_eq!(said.code, 2, "{}", said.stdout);
        assert!(said.stdout.len() < 8192, "{} bytes", said.stdout.len());
        assert!(said.first_line().contains(" not probed"), "{}", said.first_line());
    }
}

/// Each target has an object, but an end that is due does not wait until the addresses of a large
/// block are written down.
#[test]
fn of_a_pool_without_end_a_hundred_thousand_that_were_not_probed_are_listed() {
    let _network = Loopback::new();
    for (targets, left) in [("127.0.0.0/8:9", 100_000), ("127.1.0.0/16:9", 65_536)] {
        let (found, summary, _) = json_pool(&["--rate", "0", "-t", "0.05", targets]);
        let unprobed = found.iter().filter(|target| target["engine"].is_null());
        let unprobed: Vec<_> = unprobed.collect();
        let wanted = "not probed: the deadline came before its first SYN";
        assert!(unprobed.iter().all(|t| t["state"].is_null() && t["reason"] == wanted));
        let told = summary["not_probed"].as_u64().expect("a number");
        let listed = u64::try_from(unprobed.len()).unwrap();
        assert_eq!(listed, told.min(left), "{summary}");
        let counted = ["open", "closed", "filtered", "unreachable", "stale", "unknown"];
        let ended: u64 = counted.iter().map(|state| summary[state].as_u64().unwrap()).sum();
        assert_eq!(ended + told, summary["targets"].as_u64().unwrap(), "{summary}");
        assert_eq!(found.len() as u64, ended + listed, "{summary}");
    }
}

#[test]
fn an_address_of_the_other_family_is_named_before_anything_is_sent() {
    let _network = Loopback::new();
    for (family, address) in [("-4", "[::1]:80"), ("-6", "127.0.0.1:80")] {
        let said = halfopen([family, "localhost:80", address]);
        assert_eq!((said.code, said.stdout.lines().count()), (3, 1), "{}", said.stdout);
    }
    assert_eq!(segments_received(), 0);
}

#[test]
fn an_interrupted_pool_reports_what_is_known() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let _network = Loopback::new().listen("127.0.0.1").overload();
        let said = interrupted(&[OPEN, CLOSED, SILENT, SILENT], signal);
        assert_eq!((said.code, said.stderr.as_str()), (3, ""), "{signal}: {}", said.stdout);
        let begin = "TCP HALF-OPEN UNKNOWN - 1 of 4 open, interrupted: 127.0.0.1:8026 closed, 127.0.0.1:8027 unknown, 127.0.0.1:8027 unknown|open=1;;;0;4 ";
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
    let lines = json_lines(&said);
    assert_eq!(said.code, 3);
    assert_eq!(lines.len(), 4, "{}", said.stdout);
    assert_eq!((&lines[2]["target"], &lines[2]["state"]), (&SILENT.into(), &Value::Null));
    assert_eq!(lines[2]["reason"], "interrupted before the verdict");
    let summary = &lines[3]["summary"];
    assert_eq!((&summary["open"], &summary["closed"]), (&1.into(), &1.into()));
    assert_eq!((&summary["unknown"], &summary["not_probed"]), (&1.into(), &0.into()));
    assert_eq!(summary["status"], "UNKNOWN");
    let said = interrupted(&["-o", "text", OPEN, CLOSED, SILENT], Signal::SIGINT);
    let last = said.stdout.lines().last().unwrap();
    assert!(last.starts_with("UNKNOWN: 1 of 3 open, interrupted in "), "{last}");
    assert_eq!((said.code, said.stderr.as_str()), (3, ""));
}

/// As a load balancer's external check has it at its timeout: death by a signal would count as up.
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

#[test]
fn a_terminal_shows_the_progress_of_a_pool() {
    let _network = Loopback::new().listen("127.0.0.1").overload();
    let on_terminal = |words: &str| {
        let command = format!("'{HALFOPEN}' --retries 1 -t 3 {words}");
        run("script", ["--quiet", "--return", "--command", &command, "/dev/null"]).stdout
    };
    let slow = format!("{CLOSED} {SILENT}");
    let shown = on_terminal(&format!("-o text {slow}"));
    let (bar, result) = shown.split_once("TARGET").expect("needs script (bsdutils)");
    assert!(bar.contains("1 of 2 targets"), "{bar:?}");
    assert!(bar.ends_with("\r\u{1b}[K"), "the bar is gone before the result: {bar:?}");
    assert!(result.contains("0 of 2 open in 3."), "{result:?}");
    let calls = [
        format!("-o text {OPEN} {CLOSED}"),
        format!("-o text {SILENT}"),
        slow.clone(),
        format!("-o json {slow}"),
        format!("-o text {slow} 2>/dev/null"),
    ];
    thread::scope(|scope| {
        let running = calls.map(|words| scope.spawn(move || on_terminal(&words)));
        for shown in running.map(|call| call.join().unwrap()) {
            assert!(!shown.contains(" targets"), "{shown:?}");
        }
    });
    let piped = halfopen(["-o", "text", "--retries", "1", "-t", "3", CLOSED, SILENT]);
    assert_eq!(piped.stderr, "");
}

/// Runs the program, sends it a signal once its first SYNs have been answered, and gives what it
/// says then.
fn interrupted(words: &[&str], signal: Signal) -> Said {
    let before = segments_received();
    let mut child = start(&[&["-t", "600", "--retries", "9"], words].concat());
    // SYN; SYN+ACK and RST; RST+ACK. A target that stands twice is probed once.
    let drawn = [(OPEN, 3), (CLOSED, 2), (SILENT, 1)];
    let expected: u64 =
        drawn.iter().filter(|(target, _)| words.contains(target)).map(|(_, count)| count).sum();
    let begin = Instant::now();
    while segments_received() < before + expected {
        assert!(begin.elapsed() < PATIENCE, "no packets: {:?}", child.wait_with_output());
        thread::sleep(Duration::from_millis(5));
    }
    // What has arrived it takes in before it sleeps.
    while !sleeps(&child) {
        assert!(begin.elapsed() < PATIENCE, "it never sleeps");
        thread::sleep(Duration::from_millis(1));
    }
    end(&child, signal);
    let stdout = all_of(child.stdout.take().unwrap());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    let code = child.wait().unwrap().code().expect("an exit code, not a signal");
    Said { code, stdout, stderr }
}

/// A program whose raw sockets have nothing left to read, and that waits for more
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

/// The objects of a pool's targets, that of its summary, and the exit code.
fn json_pool(words: &[&str]) -> (Vec<Value>, Value, i32) {
    let said = halfopen([&["-o", "json"], words].concat());
    assert_eq!(said.stderr, "");
    let mut lines = json_lines(&said);
    let mut last = lines.pop().expect("a line");
    let summary = last["summary"].take();
    assert!(summary.is_object(), "{words:?}: {}", said.stdout);
    (lines, summary, said.code)
}

fn json_lines(said: &Said) -> Vec<Value> {
    said.stdout.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

fn text(object: &Value, field: &str) -> String {
    object[field].as_str().unwrap_or_else(|| panic!("{field} of {object}")).to_owned()
}
