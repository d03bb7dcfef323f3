//! Other traffic of the same machine: it must neither confuse a check nor slow it down.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use nix::sys::signal::Signal;
use socket2::{Domain, Socket, Type};

use crate::support::bulk_transfer::BulkTransfer;
use crate::support::process::{signal, state, wait_until};
use lab::{Lab, SERVER_V4, SERVER_V6, halfopen_path};

#[test]
fn a_bulk_transfer_between_the_same_hosts_confuses_no_check() {
    let lab = Lab::new();
    for server in [SERVER_V4, SERVER_V6] {
        let bulk = BulkTransfer::start(&lab, server);
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        for _ in 0..10 {
            let before = bulk.bytes();
            let open = lab.verdict(&[&server.to_string(), "80"]);
            assert_eq!((open.ending(), open.tries), ((Some("open"), 0), Some(1)), "{open:?}");
            let closed = lab.verdict(&[&server.to_string(), "81"]);
            assert_eq!(
                (closed.ending(), closed.tries),
                ((Some("closed"), 2), Some(1)),
                "{closed:?}"
            );
            wait_until(|| bulk.bytes() > before);
        }
    }
}

/// A waiting check is stopped while the hosts transfer megabytes over another connection. The
/// packet filter keeps all of its segments out of the check's queue.
#[test]
fn a_bulk_transfer_never_reaches_the_raw_socket() {
    let lab = Lab::new();
    lab.server.nft(
        "table inet t { chain in { type filter hook input priority 0; tcp dport 82 drop; }; }",
    );
    for (server, table) in [(SERVER_V4, "/proc/net/raw"), (SERVER_V6, "/proc/net/raw6")] {
        let capture = lab.server.capture("server0");
        let mut command = Command::new(halfopen_path());
        command.args(["-o", "json", "-t", "20", "--retries", "1", &server.to_string(), "82"]);
        let check = lab.client.spawn(command);
        // The program sleeps after its SYN has left. Its filter is in place by then.
        wait_until(|| !capture.segments().is_empty());
        wait_until(|| state(&check) == 'S');
        signal(&check, Signal::SIGSTOP);
        let dropped = raw_sockets(&lab, table).1;

        let bulk = BulkTransfer::start(&lab, server);
        wait_until(|| bulk.bytes() > 20 << 20);
        assert_eq!(
            raw_sockets(&lab, table),
            (0, dropped),
            "bytes queued, segments dropped for lack of room"
        );

        signal(&check, Signal::SIGCONT);
        assert_eq!(check.wait().verdict().ending(), (Some("filtered"), 2));
    }
}

/// Such errors reach every raw socket of the machine whose error queue is on.
#[test]
fn icmp_errors_of_other_connections_blame_no_target() {
    let lab = Lab::new();
    lab.server.sysctl("net.ipv4.icmp_ratelimit", "0");
    lab.server.sysctl("net.ipv6.icmp.ratelimit", "0");
    lab.server.nft("table inet t { chain in { type filter hook input priority 0; tcp dport 9 reject with icmpx type admin-prohibited; tcp dport 82 drop; }; }");
    let (stop, rejected) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for server in [SERVER_V4, SERVER_V6] {
            let (lab, stop, rejected) = (&lab, &stop, &rejected);
            scope.spawn(move || {
                lab.client.enter(|| be_rejected(SocketAddr::new(server, 9), stop, rejected));
            });
        }
        let _stop = StopOnDrop(&stop);
        for server in [SERVER_V4, SERVER_V6] {
            let _listener = lab.server.listen(SocketAddr::new(server, 80));
            for _ in 0..10 {
                let before = rejected.load(Ordering::Relaxed);
                let open = lab.verdict(&[&server.to_string(), "80"]);
                assert_eq!(open.ending(), (Some("open"), 0), "{open:?}");
                let closed = lab.verdict(&[&server.to_string(), "81"]);
                assert_eq!((closed.ending(), &*closed.reason), ((Some("closed"), 2), "RST+ACK"));
                wait_until(|| rejected.load(Ordering::Relaxed) > before);
            }
            // Hundreds arrive while this one waits.
            let filtered = lab.verdict(&["-t", "1.4", &server.to_string(), "82"]);
            assert_eq!(filtered.ending(), (Some("filtered"), 2), "{filtered:?}");
            assert!(filtered.reason.starts_with("no answer to 3 SYNs"), "{}", filtered.reason);
        }
    });
}

fn be_rejected(address: SocketAddr, stop: &AtomicBool, rejected: &AtomicU64) {
    while !stop.load(Ordering::Relaxed) {
        let socket =
            Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
        socket.set_nonblocking(true).expect("a socket of ours");
        // The SYN is rejected before the call returns.
        socket.connect(&address.into()).expect_err("not at once");
        rejected.fetch_add(1, Ordering::Relaxed);
    }
}

/// Ends the other threads even if an assertion fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Returns the bytes in the queues of the namespace's raw sockets, and the number of segments that
/// they dropped for lack of room.
fn raw_sockets(lab: &Lab, table: &str) -> (u64, u64) {
    let told = lab.client.run("cat", &[table]);
    let sockets: Vec<_> = told.lines().skip(1).map(raw_socket).collect();
    assert!(!sockets.is_empty(), "the check has a raw socket: {told}");
    sockets.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// The same for one socket, from its line in the table.
fn raw_socket(line: &str) -> (u64, u64) {
    let words: Vec<_> = line.split_whitespace().collect();
    let (_, queued) = words[4].split_once(':').expect("tx_queue:rx_queue");
    (u64::from_str_radix(queued, 16).expect("hexadecimal"), words[12].parse().expect("a number"))
}
