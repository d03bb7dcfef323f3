//! A server that does not answer, or not at once: the schedule of the SYNs and the verdict at its
//! end.

use std::net::SocketAddr;
use std::time::Duration;

use lab::{Captured, Lab, SERVER_V4, SERVER_V6};

#[test]
fn a_port_that_drops_every_syn_is_filtered() {
    let lab = Lab::new();
    lab.server.nft(
        "table inet t { chain in { type filter hook input priority 0; tcp dport 80 drop; }; }",
    );
    for server in [SERVER_V4, SERVER_V6] {
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        let verdict = lab.verdict(&["-t", "1.4", &server.to_string(), "80"]);
        assert_eq!(
            (verdict.ending(), verdict.tries, verdict.rtt),
            ((Some("filtered"), 2), Some(3), None),
            "{verdict:?}"
        );
        assert!(verdict.reason.starts_with("no answer to 3 SYNs in "), "{}", verdict.reason);
    }
}

#[test]
fn every_second_syn_is_a_retransmission_and_each_wait_doubles() {
    let lab = Lab::new();
    lab.server.nft(
        "table inet t { chain in { type filter hook input priority 0; tcp dport 80 drop; }; }",
    );
    for server in [SERVER_V4, SERVER_V6] {
        let capture = lab.server.capture("server0");
        let verdict = lab.verdict(&["-t", "3.5", "--retries", "2", &server.to_string(), "80"]);
        assert_eq!(verdict.ending(), (Some("filtered"), 2), "{verdict:?}");
        assert!(verdict.elapsed >= Duration::from_millis(3490), "{verdict:?}");
        verdict.assert_waited_at_most(3.55);

        let syns = capture.segments();
        assert!(syns.iter().all(|segment| segment.flags == "SYN"), "{syns:#?}");
        let [first, second, third] = &syns[..] else { panic!("three SYNs, not {syns:#?}") };
        let ends = |syn: &Captured| (syn.source_port, syn.seq);
        assert_eq!(ends(first), ends(second), "a true retransmission");
        assert_ne!(first.source_port, third.source_port, "a fresh port");
        assert_ne!(first.seq, third.seq, "and a fresh sequence number");
        // 0.5 s and 1 s, or more on a busy machine; with the last wait they make 3.5 s.
        let (short, long) = (second.after(first).as_millis(), third.after(second).as_millis());
        assert!(short >= 490 && long >= 990, "{short}, {long} ms");
    }
}

/// Of two targets whose first SYNs leave a tenth of a second apart, the second has less time. The
/// capture and the program's clock tell how long each was waited for.
#[test]
fn the_waits_that_the_details_print_are_those_that_were_used() {
    let lab = Lab::new();
    lab.server.nft(
        "table inet t { chain in { type filter hook input priority 0; tcp dport 80-81 drop; }; }",
    );
    let capture = lab.server.capture("server0");
    let outcome = lab.check(&["-t", "4", "--rate", "10", "-vv", "198.19.0.2", "80-81"]);
    assert_eq!(outcome.code, 2, "{outcome:#?}");
    let waits = outcome.stdout.lines().find_map(|line| Some(line.split_once("waits: ")?.1));
    let (first, last) = waits.and_then(|waits| waits.split_once(", of the last target ")).unwrap();
    let (first, last) = (milliseconds(first), milliseconds(last));
    assert_eq!(first, [571, 1142, 2285]);

    let segments = capture.segments();
    let [second_syn, third_syn] = [1, 2].map(|index| {
        let mut syns = segments.iter().filter(|syn| syn.destination_port == 80);
        let first_syn = syns.next().expect("a first SYN");
        syns.nth(index - 1).expect("three SYNs").after(first_syn).as_millis()
    });
    // Or more on a busy machine; the first SYN may be late by less than this.
    let bounds = [first[0] - 10, first[0] + first[1] - 10];
    assert!(second_syn >= bounds[0] && third_syn >= bounds[1], "{segments:#?}");
    let end = Duration::from_millis((100 + last.iter().sum::<u128>()).try_into().unwrap());
    let waited = outcome.times.expect("a program with a clock of its own").waited;
    assert!((end..end + Duration::from_millis(50)).contains(&waited), "{end:?}: {outcome:#?}");
}

/// Reads `571ms 1.142s`.
fn milliseconds(waits: &str) -> Vec<u128> {
    let one = |wait: &str| match wait.strip_suffix("ms") {
        Some(milliseconds) => milliseconds.parse().expect(wait),
        None => {
            Duration::from_secs_f64(wait.trim_end_matches('s').parse().expect(wait)).as_millis()
        }
    };
    waits.split(' ').map(one).collect()
}

#[test]
fn without_retries_there_is_one_syn() {
    let lab = Lab::new();
    lab.server.nft(
        "table inet t { chain in { type filter hook input priority 0; tcp dport 80 drop; }; }",
    );
    let capture = lab.server.capture("server0");
    let verdict = lab.verdict(&["-t", "500ms", "--retries", "0", "198.19.0.2", "80"]);
    assert_eq!((verdict.ending(), verdict.tries), ((Some("filtered"), 2), Some(1)), "{verdict:?}");
    assert!(verdict.reason.starts_with("no answer to 1 SYN in "), "{}", verdict.reason);
    assert_eq!(capture.segments().len(), 1);
}

#[test]
fn a_lost_syn_costs_a_second_attempt_and_not_the_verdict() {
    let lab = Lab::new();
    lab.server.nft("table inet t { chain in { type filter hook input priority 0; tcp dport 80 tcp flags syn numgen inc mod 2 0 drop; }; }");
    for server in [SERVER_V4, SERVER_V6] {
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        let capture = lab.server.capture("server0");
        let verdict = lab.verdict(&["-t", "7", &server.to_string(), "80"]);
        assert_eq!((verdict.ending(), verdict.tries), ((Some("open"), 0), Some(2)), "{verdict:?}");
        assert_eq!(verdict.rtt, None, "it is unknown which of two SYNs was answered");
        let seen: Vec<_> =
            capture.segments().into_iter().map(|Captured { flags, .. }| flags).collect();
        assert_eq!(seen, ["SYN", "SYN", "SYN+ACK", "RST"]);
    }
}

#[test]
fn a_lost_answer_costs_a_second_attempt_and_leaves_nothing_on_the_server() {
    let lab = Lab::new();
    // The SYN+ACK is lost once; the server repeats it after a second, when the second attempt has
    // long been answered.
    lab.server.nft("table inet t { chain out { type filter hook output priority 0; tcp sport 80 tcp flags & (syn | ack) == syn | ack numgen inc mod 2 0 drop; }; }");
    for server in [SERVER_V4, SERVER_V6] {
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        let verdict = lab.verdict(&["-t", "3.5", &server.to_string(), "80"]);
        assert_eq!((verdict.ending(), verdict.tries), ((Some("open"), 0), Some(2)), "{verdict:?}");
    }
}

/// The line shows how long a client would have waited, whatever the retransmission took.
#[test]
fn a_lost_syn_shows_on_the_line_and_in_the_performance_data() {
    let lab = Lab::new();
    lab.server.nft("table inet t { chain in { type filter hook input priority 0; tcp dport 80 tcp flags syn numgen inc mod 2 0 drop; }; }");
    for server in [SERVER_V4, SERVER_V6] {
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        let outcome = lab.check(&["-t", "3.5", "-c", "0.4", &server.to_string(), "80"]);
        let line = outcome.stdout.lines().next().expect("a line");
        assert!(line.contains(" SYNs; over 0.4 s)|time="), "{line}");
        assert_eq!(outcome.code, 2, "{line}");
        let data = line.split("|time=").nth(1).and_then(|data| data.split('s').next());
        let seconds: f64 = data.expect("a time").parse().expect("a number");
        // The wait of 0.5 s counts from when the SYN was due: it leaves a moment later.
        assert!(seconds > 0.4, "since the first SYN: {line}");
    }
}

/// Linux repeats a SYN+ACK to a repeated SYN, at most twice per second (`tcp_oow_rate_limited()`).
/// Whichever of them is lost on its way back, the server is found.
#[test]
fn a_server_whose_answers_are_lost_is_found_by_whatever_syn_is_left() {
    let lab = Lab::new();
    for (server, source) in
        [(SERVER_V4, "ip saddr 198.19.0.2"), (SERVER_V6, "ip6 saddr 2001:db8::2")]
    {
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        for lost in [1, 2] {
            // The third SYN of so short a check might not leave in time on a busy machine.
            for timeout in ["0.2", "1", "2", "10"].into_iter().skip(lost - 1) {
                lab.client.nft(&format!("table inet t {{ chain in {{ type filter hook prerouting priority 0; {source} tcp sport 80 tcp flags & (syn | ack) == syn | ack numgen inc mod 1000 < {lost} drop; }}; }}"));
                let verdict = lab.verdict(&["-t", timeout, &server.to_string(), "80"]);
                assert_eq!(
                    verdict.ending(),
                    (Some("open"), 0),
                    "{lost} lost, -t {timeout}: {verdict:?}"
                );
                lab.client.nft("delete table inet t");
            }
        }
    }
}
