//! Prometheus' `node_exporter`, on what the wrapper writes for its textfile collector.

use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use crate::installed::{Daemon, Installed};
use crate::pool::Pool;
use lab::Outcome;

#[test]
fn node_exporter_shows_the_state_of_a_pool() {
    let (pool, installed) = (Pool::new(), Installed::new());
    let file = installed.folder("textfile").join("halfopen.prom");
    let file = file.to_str().expect("plain letters");
    let targets =
        ["198.18.0.7:25", "198.18.0.8:25", "198.18.0.9:25", "[2001:db8:1::7]:25", "198.18.0.7:25"];
    let written = write(&pool, &installed, file, &[&["-t", "1"], &targets[..]].concat());
    assert_eq!((written.code, &*written.stdout), (0, ""), "{written:?}");
    let text = std::fs::read_to_string(file).expect("written");
    let mut names: Vec<_> =
        text.lines().map(|line| line.rsplit_once(' ').expect("a value").0).collect();
    names.sort_unstable();
    assert!(
        names.windows(2).all(|pair| pair[0] != pair[1]),
        "a metric twice is none at all: {text}"
    );

    let mut exporter = start(&pool, &installed);
    let metrics = exporter.until("metrics", |_| metrics(&pool));
    let value = |metric: &str, target: &str, address: &str| {
        let name = format!("{metric}{{address=\"{address}\",port=\"25\",target=\"{target}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name))?;
        line.parse::<f64>().ok()
    };
    for (target, address, open, status, answered) in [
        ("198.18.0.7:25", "198.18.0.7", 1.0, 0.0, true),
        ("198.18.0.8:25", "198.18.0.8", 0.0, 2.0, true),
        ("198.18.0.9:25", "198.18.0.9", 0.0, 2.0, false),
        ("[2001:db8:1::7]:25", "2001:db8:1::7", 1.0, 0.0, true),
    ] {
        assert_eq!(value("halfopen_open", target, address), Some(open), "{metrics}");
        assert_eq!(value("halfopen_status", target, address), Some(status), "{metrics}");
        let round_trip = value("halfopen_round_trip_seconds", target, address);
        assert_eq!(round_trip.is_some_and(|time| time > 0.0), answered, "{metrics}");
    }
    assert!(metrics.contains("node_textfile_scrape_error 0"), "{metrics}");
}

#[test]
fn an_unknown_state_is_not_a_metric() {
    let (pool, installed) = (Pool::new(), Installed::new());
    // The machine's own firewall refuses to send.
    pool.lab.client.nft(
        "table inet t { chain out { type filter hook output priority 0; tcp dport 25 drop; }; }",
    );
    let file = installed.folder("textfile").join("halfopen.prom");
    let file = file.to_str().expect("plain letters");
    write(&pool, &installed, file, &["-t", "1", "198.18.0.7:25"]);
    let text = std::fs::read_to_string(file).expect("written");
    assert!(!text.contains("halfopen_open{"), "{text}");
    assert!(text.contains("halfopen_status{") && text.contains("} 3"), "{text}");
}

#[test]
fn wrong_usage_leaves_the_old_metrics_alone() {
    let (pool, installed) = (Pool::new(), Installed::new());
    let file = installed.write("textfile/halfopen.prom", "old 1\n");
    let path = file.to_str().expect("plain letters");
    let outcome = write(&pool, &installed, path, &["--bogus"]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert_eq!(std::fs::read_to_string(&file).expect("still there"), "old 1\n");
    let files = std::fs::read_dir(installed.path("textfile")).expect("its own directory").count();
    assert_eq!(files, 1, "no scraps");
}

/// An alert on the age of the file shows that the check does not run.
#[test]
fn a_check_that_does_not_run_to_its_end_leaves_the_old_metrics_alone() {
    let (pool, installed) = (Pool::new(), Installed::new());
    let line = r#"{"target":"198.18.0.7:25","address":"198.18.0.7","port":25,"state":"open"}"#;
    for script in [
        "exit 127".to_owned(), // as if it were missing
        "kill -SEGV $$".to_owned(),
        "exit 3".to_owned(),
        "exit 0".to_owned(),
        format!("echo '{line}'; kill -KILL $$"),
    ] {
        let program = installed.write("program", &format!("#!/bin/sh\n{script}\n"));
        std::fs::set_permissions(&program, Permissions::from_mode(0o755)).expect("its own file");
        installed.copy(&program, "usr/bin/halfopen");
        let file = installed.write("textfile/halfopen.prom", "old 1\n");
        let path = file.to_str().expect("plain letters");
        let outcome = write(&pool, &installed, path, &["-t", "1", "198.18.0.7:25"]);
        assert_eq!(outcome.code, 1, "{script}: {outcome:?}");
        assert_eq!(std::fs::read_to_string(&file).expect("still there"), "old 1\n", "{script}");
        let files = std::fs::read_dir(installed.path("textfile")).expect("its own directory");
        assert_eq!(files.count(), 1, "{script}: no scraps");
    }
}

/// Another user who may write to the directory guesses the name of the temporary file.
#[test]
fn a_planted_link_is_not_followed() {
    let (pool, installed) = (Pool::new(), Installed::new());
    let victim = installed.write("textfile/victim", "untouched\n");
    let file = installed.path("textfile").join("halfopen.prom");
    let script = "umask 022; ln -s \"$0\" \"$1.$$\"; exec /usr/lib/halfopen/node-exporter \"$@\"";
    let [link, path] = [&victim, &file].map(|path| path.to_str().expect("plain letters"));
    let words = ["sh", "-c", script, link, path, "-t", "1", "198.18.0.7:25"];
    let outcome = pool.lab.client.outcome(installed.command(&words));
    assert_eq!((outcome.code, &*outcome.stdout), (0, ""), "{outcome:?}");
    assert_eq!(std::fs::read_to_string(&victim).expect("still there"), "untouched\n");
    let written = std::fs::symlink_metadata(&file).expect("written");
    assert!(written.is_file());
    assert_eq!(written.permissions().mode() & 0o777, 0o644, "node_exporter is another user");
}

fn write(pool: &Pool, installed: &Installed, file: &str, words: &[&str]) -> Outcome {
    let words = [&["/usr/lib/halfopen/node-exporter", file], words].concat();
    pool.lab.client.outcome(installed.command(&words))
}

fn start(pool: &Pool, installed: &Installed) -> Daemon {
    let folder = format!("--collector.textfile.directory={}", installed.path("textfile").display());
    let words = [
        "prometheus-node-exporter",
        "--collector.disable-defaults",
        "--collector.textfile",
        "--web.listen-address=127.0.0.1:9100",
        &folder,
    ];
    installed.start(&pool.lab.client, &words)
}

fn metrics(pool: &Pool) -> Option<String> {
    pool.lab.client.enter(|| {
        let mut stream = TcpStream::connect("127.0.0.1:9100").ok()?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.contains(" 200 OK").then_some(answer)
    })
}
