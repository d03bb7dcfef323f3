//! Names: which address is taken, and a name service that fails or hangs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::names::{Names, address, answer, denial, name_service};
use lab::{Lab, SERVER_V4, SERVER_V6};

const HOSTS: &str = "127.0.0.1 localhost
198.19.0.2 both.test four.test
2001:db8::2 both.test six.test
";

#[test]
fn a_name_with_both_families_gives_the_one_asked_for() {
    let (lab, names) = (Lab::new(), Names::with_hosts(HOSTS));
    let _listeners =
        [SERVER_V4, SERVER_V6].map(|server| lab.server.listen(SocketAddr::new(server, 80)));
    for (option, address) in
        [("-4", SERVER_V4), ("--use-ipv4", SERVER_V4), ("-6", SERVER_V6), ("--use-ipv6", SERVER_V6)]
    {
        let verdict = names.check(&lab, &[option, "both.test", "80"]).verdict();
        assert_eq!(
            (verdict.ending(), verdict.address),
            ((Some("open"), 0), Some(address)),
            "{option}: {verdict:?}"
        );
    }
    let verdict = names.check(&lab, &["both.test", "80"]).verdict();
    assert_eq!(verdict.ending(), (Some("open"), 0), "{verdict:?}");
    assert!([Some(SERVER_V4), Some(SERVER_V6)].contains(&verdict.address), "{verdict:?}");
}

#[test]
fn a_name_without_the_family_asked_for_is_not_said_to_be_down() {
    let (lab, names) = (Lab::new(), Names::with_hosts(HOSTS));
    answer(name_service(&lab), denial);
    let _listeners =
        [SERVER_V4, SERVER_V6].map(|server| lab.server.listen(SocketAddr::new(server, 80)));
    for (option, name, other) in [("-6", "four.test", SERVER_V4), ("-4", "six.test", SERVER_V6)] {
        let verdict = names.check(&lab, &[option, name, "80"]).verdict();
        assert_eq!((verdict.ending(), verdict.address), ((None, 3), None), "{verdict:?}");
        let begin = format!("{other} is not of the address family asked for");
        assert!(verdict.reason.starts_with(&begin), "{verdict:?}");
    }
    for name in ["four.test", "six.test"] {
        assert_eq!(names.check(&lab, &[name, "80"]).verdict().ending(), (Some("open"), 0));
    }
}

#[test]
fn a_name_that_does_not_exist_is_unreachable() {
    let (lab, names) = (Lab::new(), Names::with_hosts(HOSTS));
    answer(name_service(&lab), denial);
    let verdict = names.check(&lab, &["no-such-name.test", "80"]).verdict();
    assert_eq!(
        (verdict.ending(), &*verdict.status),
        ((Some("unreachable"), 2), "CRITICAL"),
        "{verdict:?}"
    );
    assert_eq!(verdict.reason, "name does not resolve: not found");
}

/// A-labels by IANA's own conversion (RFC 5891 §4.4). Reports show the name as it was written.
#[test]
fn an_international_name_is_looked_up_in_ascii() {
    let lab = Lab::new();
    let hosts = "198.19.0.2 xn--bcher-kva.test xn--fa-hia.test xn--wgv71a119e.test\n";
    let names = Names::with_hosts(hosts);
    let _listener = lab.server.listen(SocketAddr::new(SERVER_V4, 80));
    for name in ["bücher.test", "BÜCHER.TEST", "faß.test", "日本語.test"] {
        let outcome = names.check(&lab, &[name, "80"]);
        let verdict = outcome.verdict();
        assert_eq!((verdict.ending(), verdict.address), ((Some("open"), 0), Some(SERVER_V4)));
        assert_eq!(outcome.json()["target"], format!("{name}:80"));
    }
}

#[test]
fn without_a_name_service_a_name_is_unreachable() {
    let (lab, names) = (Lab::new(), Names::with_hosts(HOSTS));
    let verdict = names.check(&lab, &["-t", "3", "no-such-name.test", "80"]).verdict();
    assert_eq!(
        (verdict.ending(), verdict.address),
        ((Some("unreachable"), 2), None),
        "{verdict:?}"
    );
}

/// By at most 50 ms. The resolver itself would continue for minutes if the program waited for it.
#[test]
fn a_name_service_that_hangs_does_not_outlast_the_deadline() {
    let (lab, names) = (Lab::new(), Names::with_hosts(HOSTS));
    let _dns = name_service(&lab);
    let verdict = names.check(&lab, &["-t", "500ms", "no-such-name.test", "80"]).verdict();
    assert_eq!((verdict.ending(), verdict.address), ((Some("unreachable"), 2), None));
    assert!(verdict.elapsed >= Duration::from_millis(499), "{verdict:?}");
    verdict.assert_waited_at_most(0.55);
    assert!(verdict.elapsed < Duration::from_secs(150), "not to the resolver's end: {verdict:?}");
}

#[test]
fn the_time_for_the_name_is_part_of_the_deadline() {
    let (lab, names) = (Lab::new(), Names::with_hosts(HOSTS));
    answer(name_service(&lab), |question| {
        thread::sleep(Duration::from_millis(1500));
        address(question)
    });
    lab.server.nft(
        "table inet t { chain in { type filter hook input priority 0; tcp dport 81 drop; }; }",
    );
    let _listener = lab.server.listen(SocketAddr::new(SERVER_V4, 80));

    let verdict = names.check(&lab, &["-4", "-t", "6", "slow.test", "80"]).verdict();
    assert_eq!((verdict.ending(), verdict.address), ((Some("open"), 0), Some(SERVER_V4)));

    let verdict = names.check(&lab, &["-4", "-t", "6", "slow.test", "81"]).verdict();
    assert_eq!((verdict.ending(), verdict.tries), ((Some("filtered"), 2), Some(3)), "{verdict:?}");
    assert!(verdict.elapsed >= Duration::from_millis(5990), "{verdict:?}");
    verdict.assert_waited_at_most(6.05);
}

/// The answer to a SYN that leaves in the last quarter of the time counts, the silence after it
/// does not.
#[test]
fn a_name_that_is_found_late_is_open_but_not_filtered() {
    let (lab, names) = (Lab::new(), Names::with_hosts(HOSTS));
    answer(name_service(&lab), |question| {
        thread::sleep(Duration::from_secs(8));
        address(question)
    });
    lab.server.nft(
        "table inet t { chain in { type filter hook input priority 0; tcp dport 81 drop; }; }",
    );
    let _listener = lab.server.listen(SocketAddr::new(SERVER_V4, 80));
    let check = |port| names.check(&lab, &["-4", "-t", "10", "late.test", port]).verdict();
    let (open, silent) = (check("80"), check("81"));
    assert_eq!((open.ending(), open.address), ((Some("open"), 0), Some(SERVER_V4)), "{open:?}");
    assert_eq!(silent.ending(), (None, 3), "{silent:?}");
    assert!(silent.reason.starts_with("the deadline came before the last SYN"), "{silent:?}");
}

/// The last of three targets has to wait for `--rate` until a millisecond before the deadline.
#[test]
fn an_address_whose_turn_comes_late_is_not_filtered() {
    let lab = Lab::new();
    let names = Names::with_hosts("198.18.0.1 a.test\n198.18.0.2 a.test\n198.18.0.3 a.test\n");
    lab.server.nft(
        "table inet t { chain in { type filter hook input priority 0; tcp dport 81 drop; }; }",
    );
    for engine in ["raw", "connect"] {
        let slowly = ["--engine", engine, "--rate", "1", "--retries", "0", "-t", "2"];
        let outcome = names.check(&lab, &[&slowly[..], &["--every-address", "a.test:81"]].concat());
        let last = outcome.stdout.lines().nth(2).expect("a line for each, and a summary");
        assert!(last.contains(r#""state":null"#), "{outcome:?}");
    }
}

#[test]
fn a_name_that_is_listed_many_times_is_looked_up_once() {
    let (lab, names) = (Lab::new(), Names::with_hosts(HOSTS));
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    answer(name_service(&lab), move |question| {
        count.fetch_add(1, Ordering::SeqCst);
        address(question)
    });
    let _listeners = [80, 81].map(|port| lab.server.listen(SocketAddr::new(SERVER_V4, port)));
    let targets = ["same.test:80"; 40].into_iter().chain(["same.test:81"; 40]);
    let arguments: Vec<_> = ["-4"].into_iter().chain(targets).collect();
    let outcome = names.check(&lab, &arguments);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(outcome.stdout.matches(r#""state":"open""#).count(), 80, "{outcome:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}
