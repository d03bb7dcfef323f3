//! Bad networks (tc-netem(8)): 10,240 checks with each engine over each family, compared with the
//! truth.

use crate::support::ENGINES;
use crate::support::chance::bounds;
use crate::support::crowd::{CLOSED, Crowd, DROPPED, Findings, OPEN};
use lab::{CLIENT_V4, CLIENT_V6, SERVER_V4, SERVER_V6};

/// Ports that answer, on 4,096 addresses each, and silent ones on 2,048.
const POOLS: [[&str; 2]; 2] = [
    ["198.18.0.0/20:80,81", "198.18.16.0/21:82"],
    ["[2001:db8:1::/116]:80,81", "[2001:db8:1::1000/117]:82"],
];
const ANSWERING: usize = 4096;
const SILENT: usize = 2048;

/// The number of SYNs to each target, if none is answered.
const SYNS: i32 = 3;

#[test]
#[ignore = "for scripts/kernels"]
fn loss_makes_ports_filtered_as_often_as_it_must_and_never_closed_or_open() {
    let lost = 1.0 - 0.9 * 0.9;
    for (engine, findings) in check_through("loss 10%") {
        let (least, most) = bounds(ANSWERING, f64::powi(lost, SYNS));
        for silent in assert_never_wrong(&findings) {
            assert!(silent <= most, "{engine}: {silent} filtered, expected at most {most}");
            // The kernel repeats the SYNs of its own handshakes, so fewer of those fail.
            assert!(silent >= least || engine == "connect", "{silent} filtered, not {least}");
        }
    }
}

#[test]
#[ignore = "for scripts/kernels"]
fn delay_and_jitter_change_no_verdict() {
    assert_always_right("delay 40ms 20ms");
}

#[test]
#[ignore = "for scripts/kernels"]
fn duplicates_change_no_verdict() {
    assert_always_right("duplicate 30%");
}

#[test]
#[ignore = "for scripts/kernels"]
fn reordering_changes_no_verdict() {
    assert_always_right("delay 20ms reorder 50% 50%");
}

/// One flipped bit: a checksum tells, or the receiver is another, or the field means nothing here.
#[test]
#[ignore = "for scripts/kernels"]
fn corruption_is_at_most_loss() {
    let lost = 1.0 - 0.9 * 0.9;
    for (engine, findings) in check_through("corrupt 10%") {
        let (_, most) = bounds(ANSWERING, f64::powi(lost, SYNS));
        for silent in assert_never_wrong(&findings) {
            assert!(silent <= most, "{engine}: {silent} filtered, expected at most {most}");
        }
    }
}

fn assert_always_right(fault: &str) {
    for (engine, findings) in check_through(fault) {
        assert_eq!(assert_never_wrong(&findings), [0, 0], "{engine}: silent ports");
    }
}

/// Checks all pools through a network with this fault in both directions.
fn check_through(fault: &str) -> Vec<(&'static str, Findings)> {
    let crowd = Crowd::new();
    // A SYN+ACK that the server repeats would make up for a lost one.
    crowd.lab.server.sysctl("net.ipv4.tcp_synack_retries", "0");
    fix_neighbours(&crowd);
    for (host, interface) in [(&crowd.lab.client, "client0"), (&crowd.lab.server, "server0")] {
        let words = format!("qdisc add dev {interface} root netem limit 100000 {fault}");
        host.run("tc", &words.split(' ').collect::<Vec<_>>());
    }
    let mut all = Vec::new();
    for engine in ENGINES {
        for pool in POOLS {
            // The second SYN comes after 571 ms: sooner than 500 ms after the first, Linux may not
            // answer it.
            let options = ["--engine", engine, "--rate", "0", "-t", "4"];
            all.push((engine, crowd.check(&[&options[..], &pool].concat())));
        }
    }
    all
}

/// Enters each host in the other's neighbour table: ARP has no checksum, and a host whose link
/// address is wrong is rightly silent.
fn fix_neighbours(crowd: &Crowd) {
    let (client, server) = (&crowd.lab.client, &crowd.lab.server);
    let link_address = |host: &lab::Namespace, interface| {
        let shown = host.run("ip", &["-o", "link", "show", "dev", interface]);
        let mut words = shown.split_whitespace().skip_while(|word| *word != "link/ether");
        words.nth(1).expect("an Ethernet address").to_owned()
    };
    for (host, interface, addresses, other) in [
        (client, "client0", [SERVER_V4, SERVER_V6], link_address(server, "server0")),
        (server, "server0", [CLIENT_V4, CLIENT_V6], link_address(client, "client0")),
    ] {
        for address in addresses {
            host.configure(&[&format!(
                "neigh replace {address} lladdr {other} dev {interface} nud permanent"
            )]);
        }
    }
}

/// Asserts that no target has a state that it cannot have: loss looks like silence. Returns how
/// many open and how many closed ports look silent.
#[track_caller]
fn assert_never_wrong(findings: &Findings) -> [usize; 2] {
    let mut silent = [0, 0];
    for finding in &findings.all {
        match (finding.port, finding.state.as_deref()) {
            (OPEN, Some("open")) | (CLOSED, Some("closed")) | (DROPPED, Some("filtered")) => {}
            (OPEN, Some("filtered")) => silent[0] += 1,
            (CLOSED, Some("filtered")) => silent[1] += 1,
            _ => panic!("wrong: {finding:?}"),
        }
    }
    assert_eq!(findings.all.len(), 2 * ANSWERING + SILENT);
    silent
}
