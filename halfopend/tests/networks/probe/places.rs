//! The places of checks under way, and how clients share them.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;

use lab::{Capture, Lab};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, socket};

use super::{probe, start};
use crate::daemon::{Files, wait_for, wait_until};
use crate::http::{HERE, read_to_end};

/// Ports that answer nothing.
const SILENT: &str = "table inet filtered { chain in { type filter hook input priority 0; \
                      tcp dport 8030-8099 drop; }; }";

/// Few places, and checks that take long.
const BUSY: &str = r#"
explain = false
[probe]
allow = ["198.18.0.0/16:8000-8099"]
max_in_flight = 4
[module.slow]
timeout = "40s"
retries = 5
[pool.web]
targets = ["198.18.9.9:99"]
"#;

/// A client at another address of the same machine, in the middle of a request for a check of a
/// port that answers nothing.
fn ask_and_wait(lab: &Lab, client: &str, port: u16) -> TcpStream {
    let client: IpAddr = client.parse().unwrap();
    lab.client.enter(|| {
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Inet, SockType::Stream, flags, None).expect("a socket");
        let own = SockaddrStorage::from(SocketAddr::new(client, 0));
        bind(socket.as_raw_fd(), &own).expect("an address of its own");
        let daemon = SockaddrStorage::from(HERE.parse::<SocketAddr>().unwrap());
        connect(socket.as_raw_fd(), &daemon).expect("it listens");
        let mut stream = TcpStream::from(socket);
        let request = format!(
            "GET /probe?module=slow&target=198.18.0.1:{port} HTTP/1.1\r\nHost: a\r\n\
             X-Prometheus-Scrape-Timeout-Seconds: 60\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("it reads");
        stream
    })
}

/// Returns the ports that SYNs have left for since this was last asked, but for the pool's.
fn syns(capture: &Capture) -> BTreeSet<u16> {
    let segments = capture.segments();
    let syns = segments.iter().filter(|segment| segment.flags == "SYN");
    syns.map(|syn| syn.destination_port).filter(|port| *port != 99).collect()
}

/// Waits until SYNs have left for these ports, and no others.
fn until_sent(capture: &Capture, sent: &mut BTreeSet<u16>, ports: impl IntoIterator<Item = u16>) {
    let ports: BTreeSet<_> = ports.into_iter().collect();
    wait_for("SYNs", || {
        sent.extend(syns(capture));
        if *sent == ports { Ok(()) } else { Err(sent.clone()) }
    });
}

/// Asserts that nothing is sent for clients that have left, while the check of another one goes on.
fn assert_nothing_is_sent_but_for(lab: &Lab, capture: &Capture, port: u16) {
    let stays = ask_and_wait(lab, "127.0.0.1", port);
    capture.segments();
    wait_until("a retransmission", || syns(capture) == BTreeSet::from([port]));
    drop(stays);
}

#[test]
fn places_are_shared_fairly_among_clients_and_those_of_clients_that_leave_are_free() {
    let lab = Lab::new();
    let _listener = lab.server.listen("[::]:8025".parse().unwrap());
    lab.server.nft(SILENT);
    let files = Files::new(BUSY);
    let _daemon = start(&lab, &files);
    let (capture, mut sent) = (lab.client.capture("client0"), BTreeSet::new());
    // One client has all places. It gets no more, and is told so at once.
    let mut streams: Vec<_> = (8030..8034)
        .map(|port| {
            let stream = ask_and_wait(&lab, "127.0.0.1", port);
            until_sent(&capture, &mut sent, 8030..=port);
            stream
        })
        .collect();
    let (status, text) = probe(&lab.client, "target=198.18.0.1:8025", &["--include"]);
    assert_eq!((&*status, text.contains("\r\nretry-after: 1\r\n")), ("503", true), "{text}");
    // Another one gets its share: the newest place of the first one, and then another.
    let other = ["--interface", "127.0.0.2"];
    assert_eq!(probe(&lab.client, "target=198.18.0.1:8025", &other).0, "200");
    sent.insert(8025);
    let lost = read_to_end(&mut streams.pop().unwrap());
    assert!(lost.starts_with("HTTP/1.1 503 ") && lost.contains("\r\nretry-after: 1\r\n"), "{lost}");
    let held = [8040, 8041].map(|port| ask_and_wait(&lab, "127.0.0.2", port));
    until_sent(&capture, &mut sent, (8030..8034).chain([8025, 8040, 8041]));
    let lost = read_to_end(&mut streams.pop().unwrap());
    assert!(lost.starts_with("HTTP/1.1 503 "), "{lost}");
    // Both have their share. What a client loses by leaving is free.
    assert_eq!(probe(&lab.client, "target=198.18.0.2:8025", &other).0, "503");
    assert_eq!(probe(&lab.client, "target=198.18.0.2:8025", &[]).0, "503");
    drop(held);
    wait_until("two places", || {
        let asked = ["198.18.0.3:8025", "198.18.0.4:8025"];
        asked.iter().all(|target| probe(&lab.client, &format!("target={target}"), &[]).0 == "200")
    });
    drop(streams);
    assert_nothing_is_sent_but_for(&lab, &capture, 8050);
}

#[test]
fn no_more_checks_are_under_way_than_allowed() {
    let lab = Lab::new();
    lab.server.nft(SILENT);
    let files = Files::new(BUSY);
    let _daemon = start(&lab, &files);
    let capture = lab.client.capture("client0");
    let mut streams: Vec<_> = (1..=20)
        .map(|client| {
            (8030 + client, ask_and_wait(&lab, &format!("127.0.1.{client}"), 8030 + client))
        })
        .collect();
    // Requests that arrive together are read in any order.
    let mut sent = BTreeSet::new();
    wait_for("SYNs", || {
        sent.extend(syns(&capture));
        if sent.len() == 4 { Ok(()) } else { Err(sent.clone()) }
    });
    for (port, stream) in &mut streams {
        if !sent.contains(port) {
            assert!(read_to_end(stream).starts_with("HTTP/1.1 503 "), "{port} beside {sent:?}");
        }
    }
    sent.extend(syns(&capture));
    assert_eq!(sent.len(), 4, "{sent:?}");
}
