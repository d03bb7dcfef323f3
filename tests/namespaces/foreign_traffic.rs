//! Other traffic of the same machine: it must neither confuse a check nor slow it down.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use socket2::{Domain, Socket, Type};

use crate::lab::{HALFOPEN, Lab, Running, SERVER_V4, SERVER_V6};

/// A bound on hanging.
const PATIENCE: Duration = Duration::from_mins(5);

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

/// A check that waits is held up while the others transfer megabytes: the packet filter keeps every
/// one of their segments out of its queue.
#[test]
fn a_bulk_transfer_never_reaches_the_raw_socket() {
    let lab = Lab::new();
    lab.server.nft(
        "table inet t { chain in { type filter hook input priority 0; tcp dport 82 drop; }; }",
    );
    for (server, table) in [(SERVER_V4, "/proc/net/raw"), (SERVER_V6, "/proc/net/raw6")] {
        let capture = lab.server.capture("server0");
        let mut command = Command::new(HALFOPEN);
        command.args(["-o", "json", "-t", "20", "--retries", "1", &server.to_string(), "82"]);
        let check = lab.client.spawn(command);
        // The program sleeps a moment after its SYN: from then on its filter stands.
        wait_until(|| !capture.segments().is_empty());
        wait_until(|| state(&check) == 'S');
        signal(&check, Signal::SIGSTOP);
        let dropped = raw_sockets(&lab, table).1;

        let bulk = BulkTransfer::start(&lab, server);
        wait_until(|| bulk.bytes() > 20 << 20);
        assert_eq!(
            raw_sockets(&lab, table),
            (0, dropped),
            "bytes queued, segments dropped for want of room"
        );

        signal(&check, Signal::SIGCONT);
        assert_eq!(check.wait().verdict().ending(), (Some("filtered"), 2));
    }
}

/// Such errors reach every raw socket of the machine that asked for errors.
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

/// One connection between client and server, as busy as it can be in one direction until the value
/// is dropped.
pub(crate) struct BulkTransfer {
    ends: [TcpStream; 2],
    threads: [Option<JoinHandle<()>>; 2],
    received: Arc<AtomicU64>,
}

impl BulkTransfer {
    /// From the client to the server.
    pub(crate) fn start(lab: &Lab, server: IpAddr) -> Self {
        let (client, server) = connection(lab, SocketAddr::new(server, 5001));
        Self::from(client, server)
    }

    /// From the server to the client.
    pub(crate) fn back(lab: &Lab, server: IpAddr) -> Self {
        let (client, server) = connection(lab, SocketAddr::new(server, 5002));
        Self::from(server, client)
    }

    fn from(source: TcpStream, sink: TcpStream) -> Self {
        let ends = [&source, &sink].map(|end| end.try_clone().expect("a descriptor"));
        let received = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&received);
        let threads =
            [thread::spawn(|| send(source)), thread::spawn(move || receive(sink, &count))];
        Self { ends, threads: threads.map(Some), received }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

impl Drop for BulkTransfer {
    fn drop(&mut self) {
        for end in &self.ends {
            let _ = end.shutdown(Shutdown::Both);
        }
        for thread in self.threads.iter_mut().filter_map(Option::take) {
            let _ = thread.join();
        }
    }
}

/// The client's end and the server's.
fn connection(lab: &Lab, address: SocketAddr) -> (TcpStream, TcpStream) {
    let listener = lab.server.listen(address);
    let client = lab.client.enter(|| TcpStream::connect(address).expect("the server listens"));
    (client, listener.accept().expect("a connection").0)
}

fn send(mut stream: TcpStream) {
    let chunk = vec![0; 65_536];
    while stream.write_all(&chunk).is_ok() {}
}

fn receive(mut stream: TcpStream, received: &AtomicU64) {
    let mut chunk = vec![0; 65_536];
    while let Ok(length @ 1..) = stream.read(&mut chunk) {
        received.fetch_add(length as u64, Ordering::Relaxed);
    }
}

fn be_rejected(address: SocketAddr, stop: &AtomicBool, rejected: &AtomicU64) {
    while !stop.load(Ordering::Relaxed) {
        let socket =
            Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
        socket.set_nonblocking(true).expect("a socket of ours");
        // The SYN leaves, and is rejected before the call returns.
        socket.connect(&address.into()).expect_err("not at once");
        rejected.fetch_add(1, Ordering::Relaxed);
    }
}

/// Ends the threads beside it also when an assertion fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Bytes in the queues of the namespace's raw sockets, and segments that they dropped for want of
/// room.
fn raw_sockets(lab: &Lab, table: &str) -> (u64, u64) {
    let told = lab.client.run("cat", &[table]);
    let sockets: Vec<_> = told.lines().skip(1).map(raw_socket).collect();
    assert!(!sockets.is_empty(), "the check has a raw socket: {told}");
    sockets.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// The same of one socket, from its line in the table.
fn raw_socket(line: &str) -> (u64, u64) {
    let words: Vec<_> = line.split_whitespace().collect();
    let (_, queued) = words[4].split_once(':').expect("tx_queue:rx_queue");
    (u64::from_str_radix(queued, 16).expect("hexadecimal"), words[12].parse().expect("a number"))
}

/// The letter of `proc_pid_stat(5)`: S is asleep.
pub(crate) fn state(running: &Running) -> char {
    let status =
        std::fs::read_to_string(format!("/proc/{}/stat", running.child.id())).expect("it runs");
    let (_, rest) = status.rsplit_once(") ").expect("the name in parentheses");
    rest.chars().next().expect("a state")
}

pub(crate) fn signal(running: &Running, signal: Signal) {
    kill(Pid::from_raw(running.child.id().cast_signed()), signal).expect("it runs");
}

#[track_caller]
pub(crate) fn wait_until(condition: impl Fn() -> bool) {
    let patience = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < patience, "not within {PATIENCE:?}: what is waited for here");
        thread::sleep(Duration::from_millis(1));
    }
}
