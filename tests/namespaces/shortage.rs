//! A SYN that the kernel has no room for (`ENOBUFS`): a queue of the link that drops it, here by a
//! egress rule.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::process::Command;

use crate::support::crowd::{Crowd, Finding, Findings};
use lab::{Captured, Direction, Lab, SERVER_V4, SERVER_V6, halfopen_path};

#[test]
fn a_syn_that_is_dropped_once_on_egress_is_sent_again() {
    let lab = Lab::new();
    let capture = lab.server.capture("server0");
    lab.client.nft(
        "table netdev t { chain out { type filter hook egress device client0 priority 0; }; }",
    );
    for server in [SERVER_V4, SERVER_V6] {
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        // While the neighbour is being resolved, there is room for a SYN.
        assert_eq!(lab.verdict(&[&server.to_string(), "81"]).ending(), (Some("closed"), 2));
        capture.segments();
        lab.client.nft("flush chain netdev t out; add rule netdev t out tcp flags syn numgen inc mod 1000000 0 drop");
        let outcome = lab.check(&["--engine", "raw", "-t", "30", "-v", &server.to_string(), "80"]);
        assert_eq!(outcome.code, 0, "{outcome:#?}");
        outcome.assert_waited_at_most(15.0);
        assert!(outcome.stdout.contains("1 SYNs postponed"), "{outcome:#?}");
        let syns = capture.segments().into_iter().filter(|segment| segment.flags == "SYN");
        assert_eq!(syns.filter(|syn| syn.direction == Direction::In).count(), 1);
    }
}

/// RSTs have an egress queue of their own, which lets almost nothing out until a test opens it.
fn dam_resets(lab: &Lab) {
    lab.client.nft("table inet dam { chain out { type filter hook output priority 0; tcp flags & (rst | syn) == rst meta priority set 1:2\n }; }");
    for words in [
        "qdisc add dev client0 root handle 1: htb default 1",
        "class add dev client0 parent 1: classid 1:1 htb rate 10gbit",
        "class add dev client0 parent 1: classid 1:2 htb rate 800bit burst 1b cburst 1b",
        "qdisc add dev client0 parent 1:2 pfifo limit 16",
    ] {
        lab.client.run("tc", &words.split(' ').collect::<Vec<_>>());
    }
}

fn is(segment: &Captured, flags: &str) -> bool {
    segment.flags == flags
}

#[test]
fn rsts_leave_as_soon_as_the_queue_has_room() {
    let crowd = Crowd::new();
    // A retransmitted SYN would make up for a lost RST.
    crowd.lab.server.sysctl("net.ipv4.tcp_synack_retries", "0");
    dam_resets(&crowd.lab);
    let capture = crowd.lab.server.capture("server0");
    let mut command = Command::new(halfopen_path());
    command.args(["--engine", "raw", "-o", "json", "--rate", "0", "-t", "40", "198.18.0.0/21:80"]);
    let pool = crowd.lab.client.spawn(command);
    let mut segments = Vec::new();
    while segments.iter().filter(|segment| is(segment, "SYN+ACK")).count() < 2048 {
        segments.extend(capture.segments());
    }
    let open = "class change dev client0 classid 1:2 htb rate 10gbit";
    crowd.lab.client.run("tc", &open.split(' ').collect::<Vec<_>>());
    let findings = Findings::of(&pool.wait());
    assert_eq!((findings.code, findings.count("open")), (0, 2048));
    segments.extend(capture.segments());
    let resets = segments.iter().filter(|segment| is(segment, "RST"));
    let reset: HashSet<_> = resets.map(|segment| segment.destination).collect();
    assert_eq!(reset.len(), 2048);
    crowd.assert_nothing_is_left();
}

/// The program does not wait for them beyond the deadline.
#[test]
fn rsts_without_room_delay_nothing() {
    let crowd = Crowd::new();
    dam_resets(&crowd.lab);
    let arguments = ["--engine", "raw", "-o", "json", "--rate", "0", "-t", "2", "198.18.0.0/21:80"];
    let outcome = crowd.lab.check(&arguments);
    outcome.assert_waited_at_most(2.05);
    let findings = Findings::of(&outcome);
    assert_eq!((findings.code, findings.count("open")), (0, 2048));
}

/// Whatever their position among the others.
#[test]
fn targets_whose_syns_are_dropped_on_egress_delay_no_other() {
    let crowd = Crowd::new();
    crowd.check(&["198.18.1.1:80,81"]); // finds the neighbour
    crowd.lab.client.nft("table netdev t { chain out { type filter hook egress device client0 priority 0; ip daddr { 198.18.1.0, 198.18.1.90 } drop; }; }");
    for rate in ["0", "10000"] {
        let arguments = ["--engine", "raw", "-t", "5", "--rate", rate, "198.18.1.0/24:80"];
        let mut findings = crowd.check(&arguments);
        let is_dropped =
            |finding: &Finding| ["198.18.1.0:80", "198.18.1.90:80"].contains(&&*finding.target);
        assert_eq!((findings.all.len(), findings.summary.unknown), (256, 2));
        for finding in findings.all.iter().filter(|finding| is_dropped(finding)) {
            assert_eq!(finding.state, None, "{finding:?}");
            assert!(finding.reason.contains("No buffer space"), "{finding:?}");
        }
        findings.all.retain(|finding| !is_dropped(finding));
        assert_eq!(findings.count("open"), 254);
        crowd.assert_nothing_is_left();
    }
}
