//! Clients that ask for much and take little. The judges are the kernel and curl.

use std::io::Write;
use std::net::TcpStream;

use lab::Lab;
use nix::sys::socket::{setsockopt, sockopt};

use crate::daemon::{Files, PATIENCE};
use crate::http::{HERE, curl, kilobytes};
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
