//! Few descriptors and many clients. With the kernel's handshake, each SYN takes a descriptor.

use std::collections::VecDeque;
use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use lab::{Capture, Captured, Lab};
use serde_json::Value;

use crate::agent::ask;
use crate::daemon::{AGENT, Daemon, Files, wait_until};
use crate::http::{HERE, curl};
use crate::name_service::{Answer, NameService, with_names};

/// 64 targets of which one dies, and others that are silent and take descriptors for long.
const CONFIGURATION: &str = "engine = \"connect\"\n\
     [probe]\n\
     allow = [\"198.18.1.0/24:8025\"]\n\
     [pool.live]\n\
     targets = [\"198.18.1.0/26:8025\"]\n\
     interval = \"1s\"\n\
     timeout = \"400ms\"\n\
     retries = 1\n\
     agent = \"127.0.0.1:10116\"\n\
     [pool.silent]\n\
     targets = [\"198.18.9.0/29:8025\"]\n\
     interval = \"1s\"\n\
     down_interval = \"1s\"\n\
     timeout = \"400ms\"\n\
     retries = 1\n";

const MORTAL: &str = "198.18.1.7:8025";

/// Idle clients of HTTP, and some that wait for names which nobody answers.
fn crowd(lab: &Lab) -> Vec<TcpStream> {
    lab.client.enter(|| {
        let connect = |index: usize| {
            let mut stream = TcpStream::connect(HERE).ok()?;
            if index.is_multiple_of(4) {
                let question =
                    format!("GET /probe?target=silent{index}.test:8025 HTTP/1.0\r\n\r\n");
                let _ = stream.write_all(question.as_bytes()); // it may have lost its place
            }
            Some(stream)
        };
        (0..300).filter_map(connect).collect()
    })
}

/// Idle clients of the agent, which gives each two seconds: new ones come until `is_over`.
fn stream_of_clients(lab: &Lab, is_over: impl Fn() -> bool + Sync) {
    lab.client.enter(|| {
        let mut crowd = VecDeque::new();
        while !is_over() {
            crowd.extend(TcpStream::connect(AGENT));
            if crowd.len() > 400 {
                crowd.pop_front();
            }
            thread::sleep(Duration::from_millis(2));
        }
    });
}

/// Returns the longest time between two SYNs to a target.
fn longest_pause(capture: &Capture, target: &str) -> Option<Duration> {
    let is_syn = |segment: &Captured| {
        segment.flags == "SYN" && target == format!("{}:8025", segment.destination)
    };
    let syns: Vec<_> = capture.segments().into_iter().filter(is_syn).collect();
    syns.windows(2).map(|pair| pair[1].after(&pair[0])).max()
}

#[test]
fn clients_take_at_most_half_of_few_descriptors() {
    for limit in ["150", "200", "300"] {
        checks_go_on(limit);
    }
}

fn checks_go_on(limit: &str) {
    let lab = Lab::new();
    lab.server.nft(
        "table inet silent { chain in { type filter hook input priority 0; \
         ip daddr 198.18.9.0/24 drop; }; }",
    );
    let _listener = lab.server.listen("[::]:8025".parse().expect("an endpoint"));
    let names: Vec<_> = (0..300).map(|index| format!("silent{index}.test")).collect();
    let names: Vec<_> = names.iter().map(|name| (name.as_str(), Answer::Silence)).collect();
    let _names = NameService::start(&lab, &names);
    let files = Files::new(CONFIGURATION);
    let mut words = with_names(&files);
    words.extend(["prlimit".to_owned(), format!("--nofile={limit}:{limit}")]);
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let mut daemon = Daemon::of(&lab.client, files.command(&words));
    for target in live() {
        daemon.until(0, "up", &target);
    }
    let downs = (0..8).map(|host| daemon.until(0, "down", &format!("198.18.9.{host}:8025")));
    let seen = downs.max().expect("eight");
    let capture = lab.server.capture("server0");
    thread::scope(|scope| {
        let killing = scope.spawn(|| kill_and_revive(&lab, &mut daemon, seen));
        stream_of_clients(&lab, || killing.is_finished());
    });
    judge(&lab, daemon, &capture, limit);
}

/// Returns the targets that answer.
fn live() -> impl Iterator<Item = String> {
    (0..64).map(|host| format!("198.18.1.{host}:8025"))
}

/// Kills a target and revives it, twice, each time in a crowd, and waits until that is noticed.
fn kill_and_revive(lab: &Lab, daemon: &mut Daemon, mut seen: usize) {
    for _ in 0..2 {
        let _crowd = crowd(lab);
        lab.server.nft(
            "table inet mortal { chain in { type filter hook input priority 0; \
             ip daddr 198.18.1.7 drop; }; }",
        );
        seen = daemon.until(seen, "down", MORTAL);
        wait_until("an agent's answer", || {
            ask(&lab.client, &format!("live/{MORTAL}\n")).starts_with("down")
        });
        let _crowd = crowd(lab);
        lab.server.nft("delete table inet mortal");
        seen = daemon.until(seen, "up", MORTAL);
    }
}

/// Checks that nothing else has gone down, no check has failed, and none was late by much.
fn judge(lab: &Lab, daemon: Daemon, capture: &Capture, limit: &str) {
    let (_, metrics) = curl(&lab.client, &[&format!("http://{HERE}/metrics")]);
    let is_fault = |line: &&str| {
        // Checks that were late may have waited for each other.
        line.starts_with("halfopen_faults_total") && !line.contains("\"descriptors\"")
    };
    let faults: Vec<_> = metrics.lines().filter(is_fault).collect();
    assert!(!faults.is_empty() && faults.iter().all(|line| line.ends_with(" 0")), "{faults:#?}");
    let is_trouble = |event: &Value| {
        event["event"] == "held"
            || event["event"] == "isolated"
            || event["event"] == "down" && event["pool"] == "live" && event["target"] != MORTAL
    };
    assert_eq!(daemon.events().into_iter().find(is_trouble), None, "{limit}");
    // Each second, but for the load of this machine.
    let most = Duration::from_secs(5) + daemon.held_up();
    drop(daemon);
    for target in live().filter(|target| target != MORTAL) {
        let longest = longest_pause(capture, &target);
        assert!(longest < Some(most), "{limit}: {target}: {longest:?}, not {most:?}");
    }
}
