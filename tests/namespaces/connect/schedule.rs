//! Our schedule is kept, although the kernel repeats each SYN by a schedule of its own.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::verdict;
use lab::{Captured, Lab, SERVER_V4, SERVER_V6};

#[test]
fn each_ipv4_attempt_is_a_fresh_syn_at_its_time_beside_those_that_the_kernel_repeats() {
    assert_each_attempt_has_its_time(SERVER_V4);
}

#[test]
fn each_ipv6_attempt_is_a_fresh_syn_at_its_time_beside_those_that_the_kernel_repeats() {
    assert_each_attempt_has_its_time(SERVER_V6);
}

/// The kernel repeats the first SYN when the SYN of the second attempt leaves, and again later. The
/// ports distinguish the attempts.
fn assert_each_attempt_has_its_time(server: IpAddr) {
    let lab = Lab::new();
    lab.server.nft(
        "table inet t { chain in { type filter hook input priority 0; tcp dport 80 drop; }; }",
    );
    let capture = lab.server.capture("server0");
    let verdict = verdict(&lab, &[&server.to_string(), "80"]);
    assert_eq!((verdict.ending(), verdict.tries), ((Some("filtered"), 2), Some(3)), "{verdict:?}");
    assert_eq!((&*verdict.reason, verdict.rtt), ("no answer to 3 SYNs in 7.0 s", None));
    assert!(verdict.elapsed >= Duration::from_secs(7), "{verdict:?}");
    verdict.assert_waited_at_most(7.05);

    let segments = capture.segments();
    assert!(segments.iter().all(|segment| segment.flags == "SYN"), "{segments:#?}");
    let ours = first_of_each_port(&segments);
    let [first, second, third] = ours[..] else { panic!("three tries, not {ours:#?}") };
    // At 1 s and 3 s, or later on a busy machine.
    let times = [second, third].map(|syn| syn.after(first).as_millis());
    assert!(times[0] >= 990 && times[1] >= 2990, "{times:?}");
    assert!(segments.len() > 3, "a kernel repeats a SYN after a second: {segments:#?}");
}

#[test]
fn a_lost_syn_costs_a_second_attempt_and_not_the_verdict() {
    let lab = Lab::new();
    for server in [SERVER_V4, SERVER_V6] {
        // All from the first port, also if the kernel repeats its SYN because the machine is busy.
        lab.server.nft(
            "flush ruleset; table inet t {
                 set first { type inet_service; size 1; flags dynamic; }
                 chain in {
                     type filter hook input priority 0;
                     tcp flags & (syn | ack) == syn add @first { tcp sport } drop
                 }
             }",
        );
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        let capture = lab.server.capture("server0");
        let verdict = verdict(&lab, &["-t", "3.5", &server.to_string(), "80"]);
        assert_eq!((verdict.ending(), verdict.tries), ((Some("open"), 0), Some(2)), "{verdict:?}");
        let segments = capture.segments();
        let [first, second] = first_of_each_port(&segments)[..] else { panic!("{segments:#?}") };
        let since_first = second.after(first).as_secs_f64();
        assert!(verdict.rtt.expect("an answer has a time") < since_first, "{verdict:?}");
        let of_second = segments.iter().filter(|segment| {
            [segment.source_port, segment.destination_port].contains(&second.source_port)
        });
        let flags: Vec<_> = of_second.map(|segment| &*segment.flags).collect();
        assert_eq!(flags, ["SYN", "SYN+ACK", "RST+ACK"]);
    }
}

/// The first SYN from each port is lost, and the kernel's retransmission gets through.
#[test]
fn an_answer_to_a_syn_that_the_kernel_repeated_counts_for_its_attempt() {
    let lab = Lab::new();
    lab.server.nft(
        "table inet t {
             set seen { type inet_service; flags dynamic; timeout 1m; }
             chain in {
                 type filter hook input priority 0;
                 tcp flags & (syn | ack) == syn tcp sport != @seen add @seen { tcp sport } drop
             }
         }",
    );
    for server in [SERVER_V4, SERVER_V6] {
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        let verdict = verdict(&lab, &[&server.to_string(), "80"]);
        assert_eq!(verdict.ending(), (Some("open"), 0), "{verdict:?}");
        assert!(verdict.elapsed >= Duration::from_millis(990), "{verdict:?}");
        assert_eq!(verdict.rtt, None, "it is unknown which of two SYNs was answered");
    }
}

/// A kernel that is configured to repeat a SYN once gives up long before the check does.
#[test]
fn attempts_outlast_the_kernels_retransmissions() {
    let lab = Lab::new();
    lab.client.sysctl("net.ipv4.tcp_syn_retries", "1");
    lab.server.nft(
        "table inet t { chain in { type filter hook input priority 0; tcp dport 80 drop; }; }",
    );
    let verdict = verdict(&lab, &["198.19.0.2", "80"]);
    assert_eq!((verdict.ending(), verdict.tries), ((Some("filtered"), 2), Some(3)), "{verdict:?}");
    assert_eq!(verdict.reason, "no answer to 3 SYNs in 7.0 s");
}

/// Neither at the verdict nor after it.
#[test]
fn pending_attempts_are_given_up_without_a_packet() {
    let lab = Lab::new();
    lab.server.nft(
        "table inet t { chain in { type filter hook input priority 0; tcp dport 80 drop; }; }",
    );
    let capture = lab.server.capture("server0");
    let verdict = verdict(&lab, &["-t", "500ms", "--retries", "0", "198.19.0.2", "80"]);
    assert_eq!((verdict.ending(), verdict.tries), ((Some("filtered"), 2), Some(1)), "{verdict:?}");
    let segments = capture.segments();
    assert!(segments.iter().all(|segment| segment.flags == "SYN"), "{segments:#?}");
    assert_eq!(first_of_each_port(&segments).len(), 1, "{segments:#?}");
}

fn first_of_each_port(segments: &[Captured]) -> Vec<&Captured> {
    let mut first: Vec<&Captured> = Vec::new();
    for syn in segments.iter().filter(|segment| segment.flags == "SYN") {
        if first.iter().all(|earlier| earlier.source_port != syn.source_port) {
            first.push(syn);
        }
    }
    first
}
