//! A configuration that is loaded again: all of it or nothing, and nothing is lost or leaked.

use std::collections::BTreeMap;
use std::fs::{self, DirEntry};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Stdio;

use lab::{Capture, Lab};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::daemon::{Daemon, Files, wait_for, wait_until};
use crate::name_service::{Answer, NameService, command, ip, log};

/// A pool with these targets, which are checked every half second.
fn pool(name: &str, targets: &str) -> String {
    format!(
        "[pool.{name}]\ntargets = {targets}\ninterval = \"500ms\"\ntimeout = \"400ms\"\n\
         transition_interval = \"500ms\"\ndown_interval = \"500ms\"\nretries = 1\n"
    )
}

fn listener(lab: &Lab) -> std::net::TcpListener {
    lab.server.listen(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 8025))
}

/// Returns the events of targets, except snapshots: what happened, and to which.
fn happened(events: &[Value]) -> Vec<(String, String)> {
    let text = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
    let each = events.iter().map(|event| (text(event, "event"), text(event, "target")));
    each.filter(|(event, _)| event != "snapshot").collect()
}

/// Loads the configuration again, and waits until the log has one more line about it.
fn reload(daemon: &Daemon, files: &Files) -> String {
    let lines = |log: &str| log.lines().filter(|line| line.contains("reload:")).count();
    let before = lines(&log(files));
    daemon.signal(Signal::SIGHUP);
    wait_until("the end of the reload", || lines(&log(files)) > before);
    log(files).lines().rfind(|line| line.contains("reload:")).expect("a line").to_owned()
}

const UP: &str = "198.18.0.1:8025";
const DOWN: &str = "198.18.0.1:9";

#[test]
fn a_reload_changes_all_that_differs_and_nothing_else() {
    let lab = Lab::new();
    let _listener = listener(&lab);
    let files = Files::new(&pool("web", &format!("[{UP:?}, {DOWN:?}, \"198.18.0.2:8025-8026\"]")));
    let mut daemon = Daemon::of(&lab.client, command(&files));
    daemon.until(0, "up", UP);
    daemon.until(0, "down", DOWN);
    daemon.until(0, "up", "198.18.0.2:8025");
    daemon.until(0, "down", "198.18.0.2:8026");
    let seen = daemon.events().len();
    let new = pool("web", &format!("[{UP:?}, {DOWN:?}, \"198.18.0.3:8025\"]"));
    files.write("halfopend.toml", &(new + &pool("other", &format!("[{UP:?}]"))));
    assert!(reload(&daemon, &files).ends_with("reload: done"));
    daemon.until(seen, "snapshot", DOWN);
    daemon.until(seen, "up", "198.18.0.3:8025");
    wait_until("other's first verdict", || {
        daemon.events().iter().any(|event| event["pool"] == "other" && event["event"] == "up")
    });
    let mut events = happened(&daemon.events().split_off(seen));
    events.sort();
    let event = |event: &str, target: &str| (event.to_owned(), target.to_owned());
    assert_eq!(
        events,
        [
            event("added", UP),
            event("added", "198.18.0.3:8025"),
            event("removed", "198.18.0.2:8025"),
            event("removed", "198.18.0.2:8026"),
            event("up", UP),
            event("up", "198.18.0.3:8025"),
        ]
    );
    let events = daemon.events();
    let newest = |pool: &str, target: &str| {
        let mut events = events.iter().rev();
        events.find(|event| event["pool"] == pool && event["target"] == target).cloned()
    };
    let snapshot = newest("web", DOWN).expect("a snapshot");
    assert_eq!((&snapshot["event"], &snapshot["to"]), (&"snapshot".into(), &"down".into()));
    assert_eq!(snapshot["pool_targets"], 3);
}

/// Returns a configuration with these targets besides the first.
fn with_targets(targets: &str) -> String {
    pool("web", &format!("[{UP:?}, {targets}]"))
}

/// Returns configurations that cannot take the place of `good`, and what is said of them.
fn mistakes(good: &str) -> Vec<(String, &'static str)> {
    vec![
        (good.replace("targets", "target"), "unknown key"),
        (with_targets("\"198.18.0.1\""), "no port"),
        (with_targets(&format!("{UP:?}")), "in this pool already"),
        (with_targets("\"no-such.test:8025\""), "no-such.test: name does not resolve: not found"),
        (with_targets("\"silent.test:8025\""), "silent.test: name does not resolve:"),
        (with_targets("\"[fe80::1%no-such]:8025\""), "fe80::1%no-such: "),
        (good.to_owned() + "mark = 7", "a change of pool.web.mark needs a restart"),
        (
            good.to_owned() + "source = \"198.19.0.1\"",
            "a change of pool.web.source needs a restart",
        ),
        (
            good.to_owned() + "agent = \"127.0.0.1:10116\"",
            "a change of pool.web.agent to 127.0.0.1:10116, where nothing listens yet, needs a restart",
        ),
        ("rate = 5000\n".to_owned() + good, "a change of rate needs a restart"),
        ("explain = false\n".to_owned() + good, "a change of explain needs a restart"),
        (good.replace("retries = 1", "retries = 9"), "pool.web.retries"),
    ]
}

#[test]
fn a_reload_that_fails_changes_nothing() {
    let lab = Lab::new();
    let _listener = listener(&lab);
    let names = NameService::start(
        &lab,
        &[("old.test", Answer::Addresses(vec![ip(1)])), ("silent.test", Answer::Silence)],
    );
    let good = pool("web", &format!("[{UP:?}, \"old.test:8026\"]"));
    let files = Files::new(&good);
    let mut daemon = Daemon::of(&lab.client, command(&files));
    daemon.until(0, "up", UP);
    daemon.until(0, "down", "old.test:8026");
    let seen = daemon.events().len();
    names.set("old.test", Answer::Silence);
    for (text, reason) in mistakes(&good) {
        files.write("halfopend.toml", &text);
        let line = reload(&daemon, &files);
        assert!(line.contains(reason), "{line}\nshould say {reason}, for {text}");
        assert!(line.ends_with("; nothing has changed"), "{line}");
    }
    fs::remove_file(files.path("halfopend.toml")).expect("it was there");
    assert!(reload(&daemon, &files).contains("cannot read"));
    assert_eq!(daemon.events().len(), seen, "{:?}", daemon.events());
    until_measured(&lab, "halfopen_config_last_reload_successful 0");
    // A name that was there before does not hinder: its address stays in use.
    files.write("halfopend.toml", &with_targets("\"old.test:8026\", \"198.18.0.2:8025\""));
    assert!(reload(&daemon, &files).ends_with("reload: done"));
    daemon.until(seen, "up", "198.18.0.2:8025");
    until_measured(&lab, "halfopen_config_last_reload_successful 1");
}

/// Waits until this is a line of the metrics.
fn until_measured(lab: &Lab, line: &str) {
    wait_until(line, || {
        let mut text = String::new();
        lab.client.enter(|| {
            let mut stream = TcpStream::connect("127.0.0.1:10115").expect("it listens");
            stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").expect("a request");
            stream.read_to_string(&mut text).expect("a response");
        });
        text.lines().any(|own| own == line)
    });
}

/// How many SYNs each address of the server has got on port 8025.
fn checks(capture: &Capture) -> BTreeMap<String, usize> {
    let mut checks = BTreeMap::new();
    for segment in capture.segments() {
        if segment.flags == "SYN" && segment.destination_port == 8025 {
            *checks.entry(segment.destination.to_string()).or_default() += 1;
        }
    }
    checks
}

/// Returns those of the addresses that begin like this, in ascending order.
fn counts(checks: &BTreeMap<String, usize>, block: &str) -> Vec<usize> {
    let own = checks.iter().filter(|(address, _)| address.starts_with(block));
    let mut counts: Vec<_> = own.map(|(_, count)| *count).collect();
    counts.sort_unstable();
    counts
}

/// Returns what the descriptors of a daemon lead to, and the names of its threads. Settings of the
/// kernel do not count: on a busy machine a check may time out, and then the engine opens the file
/// of one, once, and keeps it.
fn resources(daemon: &Daemon) -> [Vec<String>; 2] {
    let process = PathBuf::from(format!("/proc/{}", daemon.id()));
    let entries = |folder: &str| fs::read_dir(process.join(folder)).expect("a child").flatten();
    // A descriptor that was closed meanwhile does not count.
    let leads_to = |entry: DirEntry| Some(fs::read_link(entry.path()).ok()?.display().to_string());
    let name = |entry: DirEntry| fs::read_to_string(entry.path().join("comm")).ok();
    let descriptors = entries("fd").filter_map(leads_to).filter(|to| !to.starts_with("/proc/sys/"));
    [descriptors.collect(), entries("task").filter_map(name).collect()]
}

/// Waits until a daemon has no more descriptors and threads than before. A look-up has some while
/// it is under way.
fn until_no_more_than(before: &[Vec<String>; 2], daemon: &Daemon) {
    wait_for(&format!("no more than {before:#?}"), || {
        let now = resources(daemon);
        let is_as_few = now.iter().zip(before).all(|(now, before)| now.len() <= before.len());
        if is_as_few { Ok(()) } else { Err(now) }
    });
}

/// Waits until the state of all targets in a network is known.
fn until_known(daemon: &mut Daemon, network: u8) {
    daemon.until(0, "down", &format!("198.18.{network}.1:9"));
    for host in 0..32 {
        daemon.until(0, "up", &format!("198.18.{network}.{host}:8025"));
    }
}

/// The number of checks is compared with that of a daemon that is left alone: a busy machine makes
/// both late, but not by as much. There are many reloads per check, so if each reload lost a check,
/// there would be hardly any.
#[test]
fn a_hundred_reloads_lose_no_check_and_leak_nothing() {
    let lab = Lab::new();
    let _listener = listener(&lab);
    let names = NameService::start(&lab, &[("web.test", Answer::Addresses(vec![ip(200)]))]);
    let steady = pool("web", r#"["198.18.1.0/27:8025", "198.18.1.1:9", "web.test:8025"]"#);
    let changing = pool("more", r#"["198.18.3.0/25:8025", "web.test:8026"]"#);
    let files = Files::new(&steady);
    let left_alone = Files::new(&pool("web", r#"["198.18.2.0/27:8025", "198.18.2.1:9"]"#));
    let mut daemon = Daemon::of(&lab.client, command(&files));
    let mut left_alone = command(&left_alone);
    left_alone.args(["--listen", "127.0.0.1:10117"]);
    let mut other = Daemon::of(&lab.client, left_alone);
    until_known(&mut daemon, 1);
    until_known(&mut other, 2);
    daemon.until(0, "up", "web.test:8025");
    let seen = daemon.events().len();
    let capture = lab.server.capture("server0");
    let idle = resources(&daemon);
    for round in 0..100 {
        let text = if round % 2 == 0 { steady.clone() + &changing } else { steady.clone() };
        files.write("halfopend.toml", &text);
        let line = reload(&daemon, &files);
        assert!(line.ends_with("reload: done"), "{line}");
    }
    let events = daemon.events().split_off(seen);
    until_no_more_than(&idle, &daemon);
    drop((daemon, other, names));
    let checks = checks(&capture);
    let (changed, alone) = (counts(&checks, "198.18.1."), counts(&checks, "198.18.2."));
    let least = alone[alone.len() / 2] / 2;
    assert!(changed.len() == 32 && changed.iter().all(|count| *count >= least), "{checks:?}");
    let is_steady = |(_, target): &(String, String)| {
        target.starts_with("198.18.1.") || target == "web.test:8025"
    };
    let steady: Vec<_> = happened(&events).into_iter().filter(is_steady).collect();
    assert_eq!(steady, [], "targets that stay");
}

/// The reader is a test that does not read.
#[test]
fn a_reader_that_has_lost_events_gets_a_snapshot() {
    let lab = Lab::new();
    let few = pool("web", r#"["127.0.0.1:9"]"#);
    let many = pool("many", r#"["127.1.0.0/20:9"]"#).replace("\"500ms\"", "\"60s\"");
    let files = Files::new(&few);
    let mut program = command(&files);
    program.stdout(Stdio::piped());
    let mut child = lab.client.enter(|| program.spawn().expect("the daemon"));
    let id = Pid::from_raw(child.id().cast_signed());
    let reloads = || log(&files).lines().filter(|line| line.contains("reload: done")).count();
    wait_until("the start", || log(&files).contains("checking"));
    for round in 1..=6 {
        files.write(
            "halfopend.toml",
            &if round % 2 == 0 { few.clone() } else { few.clone() + &many },
        );
        kill(id, Signal::SIGHUP).expect("a child");
        wait_until("the end of a reload", || reloads() == round);
    }
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut events = std::iter::from_fn(|| {
        let line = lines.next()?.expect("text");
        Some(serde_json::from_str::<Value>(&line).expect("an object"))
    });
    let lost = |event: &Value| event["lost"].as_u64().unwrap_or_default();
    let after_gap = events.find(|event| lost(event) > 0).expect("events are lost");
    assert!(lost(&after_gap) > 1000, "{after_gap}");
    let is_snapshot =
        |event: &Value| event["event"] == "snapshot" && event["target"] == "127.0.0.1:9";
    assert!(is_snapshot(&after_gap) || events.any(|event| is_snapshot(&event)));
    kill(id, Signal::SIGTERM).expect("a child");
    child.wait().expect("it ends");
}
