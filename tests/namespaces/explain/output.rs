//! How every format shows the cause, and what an ordinary user is told.

use std::net::SocketAddr;

use super::explained::Explained;
use super::hosts::filter;
use super::peer::run_against_peer;
use crate::support::caller::Caller;
use crate::support::tun::Family;
use crate::tun_peer::answer::Answer;
use crate::tun_peer::sent::Sent;
use lab::{Lab, SERVER_V4, halfopen};

fn lab() -> Lab {
    let lab = Lab::new();
    filter(&lab.server, "input", "tcp dport 82 drop;");
    lab
}

fn lines(lab: &Lab, words: &[&str]) -> (Vec<String>, i32) {
    let outcome = lab.client.outcome(halfopen(&[&["--explain"], words].concat()));
    (outcome.stdout.lines().map(str::to_owned).collect(), outcome.code)
}

#[test]
fn a_monitor_gets_the_cause_in_the_first_line_and_the_evidence_in_the_next() {
    let lab = lab();
    let (said, code) = lines(&lab, &["-t", "2", "198.19.0.2", "82"]);
    assert_eq!(code, 2);
    let first = "TCP HALF-OPEN CRITICAL - 198.19.0.2:82 filtered (no answer to 3 SYNs in 2.0 s): a firewall drops this port, or what is behind a firewall or load balancer is silent";
    assert_eq!(said[0], first);
    assert_eq!(said.len(), 2, "{said:#?}");
    assert!(said[1].starts_with("(evidence: 6 ACKs to port 82: no answer"), "{said:#?}");
    assert!(said[1].ends_with(')'), "{said:#?}");
}

/// Only open ports have performance data, and that something is in front of one is said with `-v`.
#[test]
fn a_monitor_gets_the_cause_before_the_performance_data() {
    let proxy = |sent: &Sent| {
        if sent.is_syn() {
            vec![Answer { window: 0, ..sent.syn_ack() }.packet()]
        } else {
            Vec::new()
        }
    };
    let (said, code) = run_against_peer(Family::V4, &["-v"], Some(64), proxy);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(code, 0, "{lines:#?}");
    let (text, data) = lines[0].split_once('|').expect("the time of the answer");
    assert!(text.contains(": a proxy or firewall in front answers"), "{lines:#?}");
    assert!(data.starts_with("time="), "{lines:#?}");
    assert!(lines[1].starts_with("(evidence: the SYN+ACK has window 0"), "{lines:#?}");
    assert!(!lines[1].contains('|'), "{lines:#?}");
}

#[test]
fn without_a_cause_there_is_one_line() {
    let lab = lab();
    let _listener = lab.server.listen(SocketAddr::new(SERVER_V4, 80));
    let (said, code) = lines(&lab, &["198.19.0.2", "80"]);
    assert_eq!((code, said.len()), (0, 1), "{said:#?}");
    let without = lab.check(&["-t", "2", "198.19.0.2", "82"]);
    assert_eq!(without.stdout.lines().count(), 1, "{without:#?}");
}

#[test]
fn a_pool_for_a_monitor_says_the_cause_of_each() {
    let lab = lab();
    let _listener = lab.server.listen(SocketAddr::new(SERVER_V4, 80));
    let (said, code) = lines(&lab, &["-t", "2", "198.19.0.2:80,82,83"]);
    assert_eq!(code, 2);
    let after = |target: &str, cause: &str| {
        let place = said.iter().skip(1).position(|line| line.contains(target));
        let place = place.unwrap_or_else(|| panic!("no {target}: {said:#?}")) + 1;
        assert!(said[place].contains(cause), "{said:#?}");
        assert!(said[place + 1].starts_with("(evidence: "), "{said:#?}");
    };
    after(
        "198.19.0.2:82",
        "a firewall drops this port, or what is behind a firewall or load balancer is silent",
    );
    after("198.19.0.2:83", "the host refuses");
    assert_eq!(said.len(), 5, "{said:#?}");
}

#[test]
fn a_pool_in_text_aligns_the_causes() {
    let lab = lab();
    let _listener = lab.server.listen(SocketAddr::new(SERVER_V4, 80));
    for targets in ["198.19.0.2:80,82,83", "198.19.0.2:80,82-83"] {
        let (said, code) = lines(&lab, &["-o", "text", "-t", "2", targets]);
        assert_eq!(code, 2);
        let column = |words: &str| {
            let mut columns = said.iter().filter_map(|line| line.find(words));
            columns.next().unwrap_or_else(|| panic!("no {words}: {said:#?}"))
        };
        let causes = ["a firewall drops", "the host refuses", "- 6 ACKs to port 82: no answer"];
        let [first, second, third] = causes.map(column);
        assert_eq!((first, first), (second, third), "{said:#?}");
        assert_eq!(column("no answer to"), first, "below the reason: {said:#?}");
    }
}

#[test]
fn a_pool_in_json_has_a_cause_and_evidence_for_each_that_is_not_open() {
    let lab = lab();
    let _listener = lab.server.listen(SocketAddr::new(SERVER_V4, 80));
    let words = ["--explain", "-o", "json", "-t", "2", "198.19.0.2:80,82,83"];
    let outcome = lab.client.outcome(halfopen(&words));
    let mut all = Explained::all(&outcome);
    all.sort_by(|one, other| one.target.cmp(&other.target));
    let causes: Vec<_> = all.iter().map(|one| one.cause.as_deref()).collect();
    assert_eq!(causes, [None, Some("firewall-drop"), Some("nobody-listens")]);
    assert!(all[1..].iter().all(|one| !one.evidence.is_empty()), "{all:#?}");
    assert_eq!(outcome.stdout.lines().count(), 4, "and a summary: {outcome:#?}");
}

/// Nobody may open raw sockets, and no group may ping.
#[test]
fn an_ordinary_user_is_told_what_could_not_be_asked() {
    let lab = lab();
    // A new network has no group that may ping: ping_group_range is "1 0".
    let nobody = Caller::user_with(&lab, &["--no-new-privs", "--inh-caps=-all"]);
    for target in ["198.19.0.2", "2001:db8::2"] {
        let words = ["--explain", "-o", "json", "-t", "2", target, "82"];
        let explained = Explained::all(&nobody.check(&lab, &words)).remove(0);
        explained.assert_cause("filtered", "unknown");
        explained.assert_evidence(&["ACKs could not be sent"]);
        explained.assert_evidence(&["pings could not be sent"]);
    }
    let group = nobody.id.to_string();
    lab.client.sysctl("net.ipv4.ping_group_range", &format!("{group} {group}"));
    for target in ["198.19.0.2", "2001:db8::2"] {
        let words = ["--explain", "-o", "json", "-t", "2", target, "82"];
        let explained = Explained::all(&nobody.check(&lab, &words)).remove(0);
        explained.assert_cause("filtered", "unknown");
        explained.assert_evidence(&[target, "answers ping"]);
    }
}
