//! Clients that ask for much and read little. The judges are the kernel and curl.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::Instant;

use lab::Lab;
use nix::sys::socket::{setsockopt, sockopt};

use crate::daemon::{Files, PATIENCE};
use crate::http::{HERE, curl, files, kilobytes, start};
use crate::page::{crowd, ready};

const CLIENTS: u64 = 50;

#[test]
fn clients_that_do_not_read_what_they_ask_for_hold_little_memory() {
    let lab = Lab::new();
    lab.client.sysctl("net.ipv4.tcp_wmem", "4096 16384 65536"); // or the kernel holds megabytes
    let files = Files::new(&crowd());
    let daemon = ready(&lab, &files);
    let healthy = format!("http://{HERE}/-/healthy");
    for path in ["metrics", "api/v1/targets?history=true", ""] {
        // One client that reads shows what an answer takes.
        let (_, text) = curl(&lab.client, &[&format!("http://{HERE}/{path}")]);
        let before = kilobytes(&daemon, "VmHWM:");
        let asked = format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n").repeat(10);
        let streams: Vec<_> = lab.client.enter(|| {
            let connect = |_| {
                let mut stream = TcpStream::connect(HERE).expect("it listens");
                setsockopt(&stream, sockopt::RcvBuf, &2048).expect("a socket");
                stream.write_all(asked.as_bytes()).expect("it reads");
                stream.set_read_timeout(Some(PATIENCE)).expect("a time");
                let begins = stream.peek(&mut [0; 8]).expect("it answers");
                assert!(begins > 0, "/{path}");
                stream
            };
            (0..CLIENTS).map(connect).collect()
        });
        assert_eq!(curl(&lab.client, &[&healthy]).0, "200");
        let grown = kilobytes(&daemon, "VmHWM:").saturating_sub(before);
        let bound = CLIENTS * 300; // kilobytes
        assert!(grown < bound, "/{path}: {grown} kB for answers of {} bytes", text.len());
        drop(streams);
    }
}

#[test]
fn reloads_that_clients_ask_for_are_few() {
    let lab = Lab::new();
    let files = files();
    let _daemon = start(&lab, &files, &[]);
    let url = format!("http://{HERE}/-/reload");
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..16 {
            let ask = || {
                for _ in 0..3 {
                    assert_eq!(curl(&lab.client, &["--request", "POST", &url]).0, "200");
                }
            };
            scope.spawn(ask);
        }
    });
    let log = fs::read_to_string(files.path("log")).expect("a log");
    let reloads = log.matches("reload: done").count();
    // In a second, one reload begins, and another one for clients that asked after it had begun.
    let bound = 2 * (begun.elapsed().as_secs() + 2);
    assert!(reloads as u64 <= bound, "{reloads} reloads, at most {bound}: {log}");
}
