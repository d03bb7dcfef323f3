//! curl, and a server that keeps what it is sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::thread;

use lab::Namespace;

use super::{DOWN, HOSTILE, Transition};

/// Answers one request with this status. Returns its lines up to the empty one, and its body.
fn answer(listener: &TcpListener, status: &str) -> (Vec<String>, String) {
    let (stream, _) = listener.accept().expect("a connection");
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a request");
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_ascii_lowercase()),
        }
    }
    let length =
        head.iter().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    let mut body = vec![0; length.parse().expect("a number")];
    reader.read_exact(&mut body).expect("a body");
    write!(reader.get_mut(), "HTTP/1.1 {status}\r\ncontent-length: 3\r\n\r\nno\n")
        .expect("an answer");
    (head, String::from_utf8(body).expect("text"))
}

#[test]
fn the_object_is_posted() {
    let host = Namespace::new();
    let listener = host.listen(SocketAddr::from(([127, 0, 0, 1], 80)));
    let hostile = Transition { target: HOSTILE, reason: HOSTILE, ..DOWN };
    thread::scope(|scope| {
        let received = scope.spawn(|| answer(&listener, "200 OK"));
        let words = ["http://127.0.0.1/events?a=b&c", "--header", "X-Token: 1 2"];
        let outcome = hostile.tell(&host, Path::new("/"), "webhook", &words);
        assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", ""));
        let (head, body) = received.join().expect("a request");
        assert_eq!(head[0], "post /events?a=b&c http/1.1");
        for line in ["content-type: application/json", "x-token: 1 2"] {
            assert!(head.iter().any(|found| found == line), "{head:#?}");
        }
        let found: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(found, hostile.object());
    });
}

#[test]
fn a_server_that_refuses_is_a_failure() {
    let host = Namespace::new();
    let listener = host.listen(SocketAddr::from(([127, 0, 0, 1], 80)));
    thread::scope(|scope| {
        scope.spawn(|| answer(&listener, "503 Service Unavailable"));
        let outcome = DOWN.run(&host, Path::new("/"), "webhook", &["http://127.0.0.1/"]);
        assert_ne!(outcome.code, 0);
        assert!(outcome.stderr.contains("503"), "{outcome:?}");
    });
    assert_ne!(DOWN.run(&host, Path::new("/"), "webhook", &["http://127.0.0.1:1/"]).code, 0);
}
