//! What questions put on the wire, as captures show it.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::Duration;

use super::ENGINES;
use super::explained::Explained;
use super::full_queue::{FullQueue, listen};
use super::hosts::{address, endpoint, filter};
use crate::support::process::wait_until;
use crate::support::tun::{Family, in_both_families};
use lab::{Captured, Direction, Lab, Outcome, halfopen};

in_both_families!(
    a_target_gets_ten_packets_more_at_most_and_no_other_address_any,
    every_syn_ack_that_a_question_drew_is_reset,
    an_open_port_gets_no_packet_more,
    questions_are_not_repeated_by_the_kernel,
);

/// The most questions about a target.
const MOST: usize = 10;

/// What becomes of the ports of a host.
const RULES: &str = "tcp dport 82 drop; tcp dport 83 tcp flags & (syn | ack) == syn drop;
    tcp dport 84 reject with tcp reset; tcp dport 85 reject;
    tcp dport 86 reject with icmpx type admin-prohibited;
    tcp dport 87 reject with icmpx type host-unreachable;";

/// Each port of 80 to 89 is checked on an address of its own, so that packets tell by their
/// destination which check they belong to. All addresses are those of one host.
fn targets(family: Family) -> Vec<(IpAddr, u16)> {
    let host = |port| {
        let (v4, v6) = (format!("198.18.0.{port}"), format!("2001:db8:1::{port}"));
        (address(family, &v4, &v6), port)
    };
    (80..=89).map(host).collect()
}

fn check(lab: &Lab, options: &[&str], targets: &[(IpAddr, u16)]) -> Outcome {
    let targets: Vec<_> =
        targets.iter().map(|(ip, port)| endpoint(*ip, *port).to_string()).collect();
    let targets = targets.iter().map(String::as_str);
    let words: Vec<_> =
        ["-o", "json"].into_iter().chain(options.iter().copied()).chain(targets).collect();
    lab.client.outcome(halfopen(&words))
}

/// Returns true for what asks: a SYN, an ACK, an echo request.
fn asks(packet: &Captured) -> bool {
    packet.direction == Direction::Out
        && ["SYN", "ACK", "ICMP 8/0", "ICMP 128/0"].contains(&&*packet.flags)
}

fn a_target_gets_ten_packets_more_at_most_and_no_other_address_any(family: Family) {
    let lab = Lab::new();
    let targets = targets(family);
    filter(
        &lab.server,
        "input",
        &format!("{RULES} ip daddr 198.18.0.89 drop; ip6 daddr 2001:db8:1::89 drop;"),
    );
    let any = address(family, "0.0.0.0", "::");
    let _listener = lab.server.listen(endpoint(any, 80));
    let _full = FullQueue::new(&lab.server, endpoint(targets[8].0, 88), 0);
    let capture = lab.client.capture("client0");
    for engine in ENGINES {
        let options = ["-t", "3", "--engine", engine];
        let plain = check(&lab, &options, &targets);
        let without = count(&capture.segments());
        let explained = check(&lab, &[&options[..], &["--explain"]].concat(), &targets);
        explained.assert_waited_at_most(3.1);
        let with = count(&capture.segments());

        let ours: Vec<_> = targets.iter().map(|(ip, _)| *ip).collect();
        assert!(with.keys().all(|to| ours.contains(to)), "{with:?}");
        let states = |outcome| {
            let mut all = Explained::all(outcome);
            all.sort_by(|one, other| one.target.cmp(&other.target));
            all.into_iter().map(|one| (one.target, one.state)).collect::<Vec<_>>()
        };
        assert_eq!(states(&plain), states(&explained));
        for (ip, port) in &targets {
            let more = with[ip].saturating_sub(without[ip]);
            assert!(more <= MOST, "{engine}, port {port}: {more} packets more");
            if *port == 80 {
                assert_eq!(more, 0, "an open port");
            } else {
                assert!(more > 0, "{engine}, port {port}");
            }
        }
        for one in Explained::all(&plain) {
            assert_eq!((one.cause, one.evidence.len()), (None, 0));
        }
    }
}

/// Returns how many packets went to each address that call for an answer. A busy machine may be too
/// late to stop the kernel's own handshake before it repeats a SYN: that is not counted.
fn count(packets: &[Captured]) -> BTreeMap<IpAddr, usize> {
    let mut counts = BTreeMap::new();
    let mut seen = Vec::new();
    for packet in packets.iter().filter(|packet| asks(packet)) {
        let Captured { destination, source_port, destination_port, seq, .. } = packet;
        let ends = (*destination, *source_port, *destination_port, *seq);
        if packet.flags != "SYN" || !seen.contains(&ends) {
            *counts.entry(*destination).or_default() += 1;
            seen.push(ends);
        }
    }
    counts
}

/// The kernel would send the SYN of a handshake again after 1, 3 and 7 s.
fn questions_are_not_repeated_by_the_kernel(family: Family) {
    let lab = Lab::new();
    filter(&lab.server, "input", "ip daddr 198.18.0.0/16 drop; ip6 daddr 2001:db8:1::/64 drop;");
    let host = address(family, "198.18.0.7", "2001:db8:1::7");
    let capture = lab.client.capture("client0");
    let options = ["--explain", "--engine", "connect", "--retries", "0", "-t", "9"];
    let outcome = check(&lab, &options, &[(host, 80)]);
    let mut copies: BTreeMap<_, usize> = BTreeMap::new();
    for packet in capture.segments().iter().filter(|packet| asks(packet) && packet.flags == "SYN") {
        let to_port = (packet.destination_port, packet.ttl);
        if to_port != (80, 64) {
            *copies
                .entry((packet.source_port, packet.destination_port, packet.seq))
                .or_default() += 1;
        }
    }
    assert!(copies.len() > 1, "{outcome:#?}");
    // The program may be late once.
    assert!(copies.values().all(|copies| *copies <= 2), "{copies:?}");
}

/// Other ports of the host are open, and 443 and 40001 among them are asked.
fn every_syn_ack_that_a_question_drew_is_reset(family: Family) {
    let lab = Lab::new();
    filter(&lab.server, "input", "tcp dport 82 drop; tcp dport 83 reject with tcp reset;");
    let any = address(family, "0.0.0.0", "::");
    let listeners: Vec<_> = [80, 443, 40_001, 40_002]
        .map(|port| lab.server.enter(|| listen(endpoint(any, port), 128)))
        .into();
    let host = address(family, "198.18.0.7", "2001:db8:1::7");
    for engine in ENGINES {
        let capture = lab.server.capture("server0");
        let options = ["--explain", "-t", "3", "--engine", engine];
        let outcome = check(&lab, &options, &[(host, 82), (host, 83), (host, 84)]);
        let packets = capture.segments();
        let syn_acks: Vec<_> = packets.iter().filter(|packet| packet.flags == "SYN+ACK").collect();
        assert!(!syn_acks.is_empty(), "{outcome:#?}");
        for syn_ack in syn_acks {
            let is_reset = packets.iter().any(|packet| {
                packet.flags.contains("RST")
                    && packet.source_port == syn_ack.destination_port
                    && packet.destination_port == syn_ack.source_port
                    && packet.seq == syn_ack.ack
            });
            assert!(is_reset, "{engine}: {syn_ack:#?}");
        }
        assert_eq!(lab.server.run("ss", &["-Htan", "state", "syn-recv"]), "", "{engine}");
    }
    wait_until(|| lab.server.run("ss", &["-Htan", "state", "syn-recv"]).is_empty());
    for listener in listeners {
        listener.set_nonblocking(true).expect("a socket of ours");
        let error = listener.accept().expect_err("nothing was connected");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
}

fn an_open_port_gets_no_packet_more(family: Family) {
    let lab = Lab::new();
    let any = address(family, "0.0.0.0", "::");
    let _listener = lab.server.listen(endpoint(any, 80));
    let host = address(family, "198.18.0.7", "2001:db8:1::7");
    for engine in ENGINES {
        let capture = lab.client.capture("client0");
        let outcome = check(&lab, &["--explain", "--engine", engine], &[(host, 80)]);
        assert_eq!(outcome.code, 0, "{outcome:#?}");
        let flags: Vec<_> = capture.segments().into_iter().map(|packet| packet.flags).collect();
        let end = if engine == "raw" { "RST" } else { "RST+ACK" };
        assert_eq!(flags, ["SYN", "SYN+ACK", end], "{engine}");
    }
}

/// The bounds of `pool::pace`.
const WINDOW: Duration = Duration::from_millis(100);

#[test]
fn questions_are_paced_with_the_syns() {
    let lab = Lab::new();
    filter(&lab.server, "input", "ip daddr 198.18.0.0/16 drop;");
    let capture = lab.client.capture("client0");
    let targets = "198.18.0.0/26:80";
    let options = ["--explain", "--rate", "200", "--retries", "0", "-t", "9", "-o", "json"];
    let outcome = lab.client.outcome(halfopen(&[&options[..], &[targets]].concat()));
    let sent: Vec<_> =
        capture.segments().into_iter().filter(asks).map(|packet| packet.time).collect();
    assert!(sent.len() > 2 * 64, "{}: {outcome:#?}", sent.len());
    // 20 for this window, 2 × 20 ms of catching up, and a few that were late.
    let most = 20 + 2 * 4 + 5;
    for (index, first) in sent.iter().enumerate() {
        let in_window = sent[index..].iter().take_while(|time| **time < *first + WINDOW).count();
        assert!(in_window <= most, "{in_window} packets within {WINDOW:?}");
    }
}
