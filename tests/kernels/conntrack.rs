//! A connection table of this machine that is full (`nf_conntrack_max`). It is a parameter of the
//! whole machine, so these tests run alone.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};

use crate::support::ENGINES;
use crate::support::modules::load;
use crate::support::process::wait_until;
use lab::{Lab, Namespace, SERVER_V4, SERVER_V6, halfopen};

/// As many connections as the table has room for.
const FULL: usize = 8;

struct Tracking {
    lab: Lab,
    listeners: Vec<TcpListener>,
    _connections: Vec<TcpStream>,
}

impl Tracking {
    /// A client with a firewall that needs to know all connections, and `FULL` of them.
    fn new() -> Self {
        load(&["nf_conntrack"]);
        set_room(262_144);
        let lab = Lab::new();
        lab.client.nft(
            "table inet t { chain in { type filter hook input priority 0; ct state established accept; }; }",
        );
        let listeners: Vec<_> = [SERVER_V4, SERVER_V6]
            .map(|server| lab.server.listen(SocketAddr::new(server, 80)))
            .into();
        let connect = |_| {
            let connect = || TcpStream::connect((SERVER_V4, 80)).expect("it listens");
            lab.client.enter(connect)
        };
        let connections = (0..FULL).map(connect).collect();
        Self { lab, listeners, _connections: connections }
    }
}

fn set_room(room: usize) {
    fs::write("/proc/sys/net/netfilter/nf_conntrack_max", room.to_string()).expect("root may");
}

/// Returns how many packets of this host found the table full.
fn dropped(host: &Namespace) -> u64 {
    let table =
        host.enter(|| fs::read_to_string("/proc/thread-self/net/stat/nf_conntrack")).expect("root");
    let mut lines = table.lines();
    let names = lines.next().expect("names of columns");
    let column = names.split_whitespace().position(|name| name == "drop").expect("since 2.6");
    let count = |line: &str| u64::from_str_radix(line.split_whitespace().nth(column)?, 16).ok();
    lines.filter_map(count).sum()
}

#[test]
#[ignore = "for scripts/kernels"]
fn a_full_connection_table_is_no_state_of_a_port() {
    let tracking = Tracking::new();
    set_room(FULL);
    for server in [SERVER_V4, SERVER_V6] {
        let before = dropped(&tracking.lab.client);
        let verdict =
            tracking.lab.verdict(&["--engine", "raw", "-t", "2", &server.to_string(), "80"]);
        assert_eq!(verdict.ending(), (None, 3), "{verdict:?}");
        assert!(verdict.reason.contains("local firewall refused the SYN"), "{verdict:?}");
        assert!(dropped(&tracking.lab.client) > before);
        // The kernel tells nobody that a SYN of its own was dropped here: docs/engines.md.
        let verdict =
            tracking.lab.verdict(&["--engine", "connect", "-t", "2", &server.to_string(), "80"]);
        assert_eq!(verdict.ending(), (Some("filtered"), 2), "{verdict:?}");
    }
    set_room(262_144);
    drop(tracking.listeners);
}

#[test]
#[ignore = "for scripts/kernels"]
fn a_check_outlives_a_connection_table_that_is_full_for_a_moment() {
    let tracking = Tracking::new();
    let client = &tracking.lab.client;
    for engine in ENGINES {
        for server in [SERVER_V4, SERVER_V6] {
            set_room(FULL);
            let before = dropped(client);
            let running = client.spawn(halfopen(&[
                "-o",
                "json",
                "--engine",
                engine,
                &server.to_string(),
                "80",
            ]));
            wait_until(|| dropped(client) > before);
            set_room(262_144);
            let verdict = running.wait().verdict();
            assert_eq!(verdict.ending(), (Some("open"), 0), "{engine}: {verdict:?}");
        }
    }
}
