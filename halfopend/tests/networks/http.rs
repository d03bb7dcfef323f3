//! HTTP: what clients are told, and hostile ones. The judges are curl, the kernel, and the events:
//! checks go on.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use lab::{Lab, Namespace};

use crate::daemon::{Daemon, Files, PATIENCE, SERVERS, pool, wait_until};

/// Where the daemon serves by default, and where it is reached from the server's host.
pub(crate) const HERE: &str = "127.0.0.1:10115";
const FROM_ELSEWHERE: &str = "198.19.0.1:10115";

/// The same without a pool that has an agent.
pub(crate) fn files() -> Files {
    Files::new(&pool())
}

pub(crate) fn start(lab: &Lab, files: &Files, more: &[&str]) -> Daemon {
    let log = files.path("log");
    let log = log.to_str().expect("text");
    let mut command = files.command(&["sh", "-c", r#"exec "$@" 2>"$0""#, log]);
    command.args(["--listen", HERE, "--listen", FROM_ELSEWHERE]).args(more);
    let daemon = Daemon::of(&lab.client, command);
    wait_until("it listens", || lab.client.enter(|| TcpStream::connect(HERE).is_ok()));
    daemon
}

/// Asks with curl, and returns the status and what it has printed.
pub(crate) fn curl(host: &Namespace, words: &[&str]) -> (String, String) {
    let mut command = Command::new("curl");
    command.args(["--silent", "--path-as-is", "--write-out", "\n%{http_code}"]).args(words);
    let outcome = host.outcome(command);
    let (body, status) = outcome.stdout.rsplit_once('\n').expect("the status, at least");
    (status.to_owned(), body.to_owned())
}

fn url(path: &str) -> String {
    format!("http://{HERE}{path}")
}

/// Sends these bytes, and returns all that comes back until the daemon closes the connection.
fn answer_to(host: &Namespace, bytes: &[u8]) -> String {
    host.enter(|| {
        let mut stream = TcpStream::connect(HERE).expect("it listens");
        let _ = stream.write_all(bytes); // it may have been refused meanwhile
        read_to_end(&mut stream)
    })
}

pub(crate) fn read_to_end(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "it hangs");
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn each_path_has_its_methods_and_no_other_spelling() {
    let lab = Lab::new();
    let files = files();
    let _daemon = start(&lab, &files, &[]);
    let ask = |words: &[&str], path: &str| curl(&lab.client, &[words, &[&url(path)]].concat());
    assert_eq!(ask(&[], "/-/healthy"), ("200".into(), "healthy\n".into()));
    assert_eq!(ask(&[], "/-/healthy?a=%00&b#c").0, "200");
    let (status, head) = ask(&["--head"], "/-/healthy");
    assert_eq!((&*status, head.ends_with("\r\n\r\n")), ("200", true), "{head}");
    assert!(head.contains("\r\ncontent-length: 8\r\n"), "{head}");
    wait_until("every target has been checked", || ask(&[], "/-/ready").0 == "200");
    for path in [
        "/-/healthy/",
        "/./-/healthy",
        "//-/healthy",
        "/-/../-/healthy",
        "/-/%68ealthy",
        "/-/HEALTHY",
        "/-/healthy%0d%0aSet-Cookie:%20a=b",
        "/../../etc/passwd",
        "/config%00",
    ] {
        let (status, answer) = ask(&["--include"], path);
        assert_eq!(status, "404", "{path}");
        assert!(!answer.contains("Set-Cookie"), "{answer}");
    }
}

#[test]
fn other_methods_are_refused_and_browsers_are_told_what_to_think() {
    let lab = Lab::new();
    let files = files();
    let _daemon = start(&lab, &files, &[]);
    let ask = |words: &[&str], path: &str| curl(&lab.client, &[words, &[&url(path)]].concat());
    for (method, path, allowed) in [
        ("POST", "/-/healthy", "GET, HEAD"),
        ("DELETE", "/config", "GET, HEAD"),
        ("OPTIONS", "/-/ready", "GET, HEAD"),
        ("GET", "/-/reload", "POST"),
        ("TRACE", "/-/reload", "POST"),
    ] {
        let (status, answer) = ask(&["--include", "--request", method], path);
        assert_eq!(status, "405", "{method} {path}");
        assert!(answer.contains(&format!("\r\nallow: {allowed}\r\n")), "{answer}");
    }
    let (_, answer) = ask(&["--include"], "/-/healthy");
    for header in [
        "content-security-policy: default-src 'none'",
        "x-content-type-options: nosniff",
        "cache-control: no-store",
    ] {
        assert!(answer.contains(&format!("\r\n{header}")), "{answer}");
    }
}

#[test]
fn a_reload_answers_when_it_is_done_or_refused() {
    let lab = Lab::new();
    let files = files();
    let _daemon = start(&lab, &files, &[]);
    let reload = |words: &[&str]| {
        curl(&lab.client, &[words, &["--request", "POST", &url("/-/reload")]].concat())
    };
    assert_eq!(reload(&[]), ("200".into(), "reload: done\n".into()));
    files.write("halfopend.toml", &format!("{}fall = 0\n", pool()));
    let (status, answer) = reload(&[]);
    assert_eq!(status, "500");
    assert!(answer.contains("halfopend.toml:9:8: "), "{answer}");
    assert_eq!(reload(&["--header", "Sec-Fetch-Site: cross-site"]).0, "403");
    assert_eq!(reload(&["--header", "Origin: http://other.example"]).0, "403");
    assert_eq!(reload(&["--header", "Origin: null"]).0, "403");
    files.write("halfopend.toml", &pool());
    assert_eq!(reload(&["--header", "Sec-Fetch-Site: same-origin"]).0, "200");
    let own = format!("Origin: {}", url(""));
    assert_eq!(reload(&["--header", &own]).0, "200");
    let (_, text) = curl(&lab.client, &[&url("/config")]);
    assert!(text.contains("\n[pool.web]\n") && text.contains("\ninterval = \"500ms\"\n"), "{text}");
    files.write("halfopend.toml", &format!("{}fall = 7\n", pool()));
    assert_eq!(reload(&[]).0, "200");
    assert!(curl(&lab.client, &[&url("/config")]).1.contains("\nfall = 7\n"));
}

#[test]
fn an_address_in_use_ends_the_start_and_is_named_unless_none_is_wanted() {
    let lab = Lab::new();
    let _taken = lab.client.enter(|| TcpListener::bind(HERE).expect("a free port"));
    let files = files();
    let outcome = lab.client.outcome(files.command(&[]));
    assert_eq!(outcome.code, 1, "{outcome:#?}");
    assert!(outcome.stderr.contains(&format!("cannot serve HTTP on {HERE} ")), "{outcome:#?}");
    let _listener = lab.server.listen(SERVERS[0].parse().unwrap());
    let mut command = files.command(&[]);
    command.args(["--listen", "none"]);
    Daemon::of(&lab.client, command).until(0, "up", SERVERS[0]);
}

#[test]
fn requests_that_could_mean_two_things_are_refused_or_end_the_connection() {
    let lab = Lab::new();
    let files = files();
    let _daemon = start(&lab, &files, &[]);
    let get = "GET /-/healthy HTTP/1.1\r\nHost: a\r\n";
    let huge = "x".repeat(1 << 20);
    let many = "a: b\r\n".repeat(1000);
    for (request, status) in [
        (format!("{get}X: {huge}\r\n\r\n"), "431 "),
        (format!("{get}{many}\r\n"), "431 "),
        (format!("GET /{huge} HTTP/1.1\r\nHost: a\r\n\r\n"), "431 "),
        (format!("{get}A: b\r\n folded\r\n\r\n"), "400 "),
        (format!("{get}A\r\n\r\n"), "400 "),
        (format!("{get}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"), "400 "),
        (format!("{get}Transfer-Encoding: chunked, identity\r\n\r\n"), "400 "),
        ("GET /-/healthy HTTP/9.9\r\n\r\n".to_owned(), "400 "),
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}".to_owned() + &huge, "400 "),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), "400 "),
    ] {
        let answer = answer_to(&lab.client, request.as_bytes());
        let is_refused = answer.is_empty() || answer.starts_with(&format!("HTTP/1.1 {status}"));
        assert!(is_refused, "{}…: {answer}", &request[..request.len().min(99)]);
    }
    // What follows a body that nobody reads is not a request.
    let smuggled = format!(
        "{get}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{get}\r\n{get}\r\n"
    );
    let answer = answer_to(&lab.client, smuggled.as_bytes());
    assert!(answer.matches("HTTP/1.1 ").count() <= 1, "{answer}");
}

#[test]
fn a_client_that_sends_no_more_is_answered() {
    let lab = Lab::new();
    let files = files();
    let _daemon = start(&lab, &files, &[]);
    let answer = lab.client.enter(|| {
        let mut stream = TcpStream::connect(HERE).expect("it listens");
        stream.write_all(b"GET /-/healthy HTTP/1.0\r\n\r\n").expect("it reads");
        stream.shutdown(Shutdown::Write).expect("connected");
        read_to_end(&mut stream)
    });
    assert!(answer.ends_with("\r\n\r\nhealthy\n"), "{answer}");
}

#[test]
fn clients_that_are_slow_are_given_up() {
    let lab = Lab::new();
    let files = files();
    let _daemon = start(&lab, &files, &[]);
    let begun: [&[u8]; 4] = [
        b"",
        b"GET /-/healthy HTTP/1.1\r\nHost: ",
        b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /-/reload HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\na",
    ];
    lab.client.enter(|| {
        let mut streams = begun.map(|bytes| {
            let mut stream = TcpStream::connect(HERE).expect("it listens");
            stream.write_all(bytes).expect("it reads");
            stream
        });
        for stream in &mut streams {
            read_to_end(stream); // or the test would hang
        }
    });
}

/// Opens so many connections to the daemon, and sends the beginning of something on each.
fn crowd(host: &Namespace, daemon: &str, count: usize) -> Vec<TcpStream> {
    let daemon: SocketAddr = daemon.parse().unwrap();
    host.enter(|| {
        let connect = |index: usize| {
            let connected = TcpStream::connect_timeout(&daemon, Duration::from_mins(1));
            let mut stream = connected.expect("the daemon accepts them");
            stream.set_nonblocking(true).expect("a socket");
            // Many were closed already to make room.
            let _ = match index % 4 {
                0 => stream.write(b"GET /metrics HTTP/1.1\r\nHost: "),
                1 => stream.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
                2 => stream.write(&[0x16; 4096]),
                _ => Ok(0),
            };
            stream
        };
        (0..count).map(connect).collect()
    })
}

/// Returns a figure of `/proc/PID/status` in kilobytes.
pub(crate) fn kilobytes(daemon: &Daemon, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.id())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with(field)).expect("a field");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

/// Returns the nice value of the thread with that name.
fn nice(daemon: &Daemon, name: &str) -> i32 {
    let threads = fs::read_dir(format!("/proc/{}/task", daemon.id())).expect("it runs");
    let stat = |thread: std::io::Result<fs::DirEntry>| {
        fs::read_to_string(thread.expect("a folder").path().join("stat")).unwrap_or_default()
    };
    let is_it = |stat: &String| stat.contains(&format!(" ({name}) "));
    let stat = threads.map(stat).find(is_it).expect("a thread");
    let fields = stat.rsplit_once(')').expect("a name").1;
    fields.split_whitespace().nth(16).and_then(|nice| nice.parse().ok()).expect("a number")
}

#[test]
fn a_crowd_of_hostile_clients_stops_neither_checks_nor_others() {
    let lab = Lab::new();
    let mut listeners: Vec<_> =
        SERVERS.iter().map(|server| lab.server.listen(server.parse().unwrap())).collect();
    let files = files();
    let mut daemon = start(&lab, &files, &[]);
    let seen = daemon.until(0, "up", SERVERS[0]);
    let before = kilobytes(&daemon, "VmRSS:");
    // The second thousand make the first lose their places, and so on: ten thousand in all.
    let mut waiting = Vec::new();
    for _ in 0..10 {
        waiting = crowd(&lab.server, FROM_ELSEWHERE, 1000);
        assert_eq!(curl(&lab.client, &[&url("/-/healthy")]).0, "200");
    }
    assert_eq!(nice(&daemon, "http"), nice(&daemon, "halfopend").max(10), "checks go first");
    listeners.remove(0);
    daemon.until(seen, "down", SERVERS[0]);
    assert_eq!(curl(&lab.client, &[&url("/-/healthy")]).0, "200");
    let descriptors = fs::read_dir(format!("/proc/{}/fd", daemon.id())).unwrap().count();
    assert!(descriptors < 400, "{descriptors}");
    let grown = kilobytes(&daemon, "VmHWM:").saturating_sub(before);
    assert!(grown < 32 << 10, "{grown} kB");
    drop(waiting);
}
