//! Targets of every kind in one pool: each gets the verdict that it gets alone.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::thread;

use crate::support::crowd::{Crowd, Finding, Findings, lines};
use crate::support::names::{Names, answer, denial, name_service};
use crate::support::rejections::{REJECTIONS_V4, REJECTIONS_V6, Rejection, send_every_icmp_error};
use lab::{Lab, SERVER_V4, SERVER_V6};

/// The first of the server's ports that its firewall rejects, each in another way.
const REJECTED: u16 = 9000;

/// A port to which this machine's own firewall lets nothing leave.
const FORBIDDEN: u16 = 84;

const HOSTS: &str = "198.19.0.2 four.test\n2001:db8::2 six.test\n";

/// The states of targets that are known beforehand; `None` if there can be no verdict.
const CERTAIN: [(&str, Option<&str>); 24] = [
    ("198.19.0.2:80", Some("open")),
    ("198.19.0.2:81", Some("closed")),
    ("198.19.0.2:82", Some("filtered")),
    ("[2001:db8::2]:80", Some("open")),
    ("[2001:db8::2]:81", Some("closed")),
    ("[2001:db8::2]:82", Some("filtered")),
    ("198.18.7.7:80", Some("open")),
    ("[2001:db8:1::7]:80", Some("open")),
    ("198.19.0.2:84", None),
    ("[2001:db8::2]:84", None),
    ("127.0.0.1:7777", Some("open")),
    ("127.0.0.1:7778", Some("closed")),
    ("[::1]:7777", Some("open")),
    ("198.19.0.1:7777", Some("open")),
    ("198.19.77.1:80", Some("unreachable")),
    ("[2001:db8:77::1]:80", Some("unreachable")),
    ("198.18.200.1:80", Some("unreachable")),
    ("[2001:db8:1:0:200::1]:80", Some("unreachable")),
    ("198.19.0.99:80", Some("unreachable")),
    ("[2001:db8::99]:80", Some("unreachable")),
    ("four.test:80", Some("open")),
    ("six.test:80", Some("open")),
    ("no-such-name.test:80", Some("unreachable")),
    ("four.test:82", Some("filtered")),
];

#[test]
fn every_target_of_a_mixed_pool_gets_the_verdict_that_it_gets_alone() {
    let crowd = Crowd::new();
    let names = Names::with_hosts(HOSTS);
    let _listeners = furnish(&crowd.lab);
    let rejected = targets(SERVER_V4, &REJECTIONS_V4).chain(targets(SERVER_V6, &REJECTIONS_V6));
    let certain = CERTAIN.map(|(target, state)| (target.to_owned(), state));
    let targets: Vec<_> = certain.into_iter().chain(rejected).collect();

    let alone: Vec<_> = thread::scope(|scope| {
        let check = |target: &str| crowd.lab.client.outcome(check(&names, &[target])).stdout;
        let checks: Vec<_> =
            targets.iter().map(|(target, _)| scope.spawn(move || check(target))).collect();
        checks.into_iter().map(|check| check.join().expect("a check")).collect()
    });
    let words: Vec<_> = targets.iter().map(|(target, _)| target.as_str()).collect();
    let pool = Findings::of(&crowd.lab.client.outcome(check(&names, &words)));

    assert_eq!(pool.all.len(), targets.len());
    for ((target, state), alone) in targets.iter().zip(alone) {
        let [alone] = &lines(&alone)[..] else { panic!("one line of {target}: {alone}") };
        assert_eq!(alone.state.as_deref(), *state, "{alone:?}");
        assert_eq!(timeless(pool.of_target(target)), timeless(alone));
    }
    assert_eq!((pool.code, &*pool.summary.status), (2, "CRITICAL"), "the worst of them");
}

fn check(names: &Names, targets: &[&str]) -> Command {
    names.command(&[&["-t", "2.1"], targets].concat())
}

/// The report of a target, without times.
fn timeless(finding: &Finding) -> Finding {
    let mut finding = finding.clone();
    assert_eq!(
        finding.rtt.is_some(),
        finding.reason == "SYN+ACK" || finding.reason == "RST+ACK" || decisive(&finding),
        "{finding:?}"
    );
    finding.rtt = None;
    if let Some((cause, time)) = finding.reason.rsplit_once(" in ")
        && time.ends_with('s')
    {
        finding.reason = cause.to_owned();
    }
    finding
}

/// An ICMP error that is final at once.
fn decisive(finding: &Finding) -> bool {
    finding.reason.starts_with("ICMP ") && finding.state.as_deref() != Some("unreachable")
}

/// The targets that are rejected, and their states.
fn targets(
    server: IpAddr,
    rejections: &'static [Rejection],
) -> impl Iterator<Item = (String, Option<&'static str>)> {
    (REJECTED..)
        .zip(rejections)
        .map(move |(port, (_, _, state))| (SocketAddr::new(server, port).to_string(), Some(*state)))
}

/// What the targets need: firewalls, routes, neighbours that are soon given up, a name service.
fn furnish(lab: &Lab) -> Vec<std::net::TcpListener> {
    send_every_icmp_error(&lab.server);
    let rules = |family: &str, protocol: &str, rejections: &[Rejection]| -> String {
        let rule = |(port, (name, _, _)): (u16, &Rejection)| {
            format!("meta nfproto {protocol} tcp dport {port} reject with {family} type {name};")
        };
        (REJECTED..).zip(rejections).map(rule).collect()
    };
    let (v4, v6) = (rules("icmp", "ipv4", &REJECTIONS_V4), rules("icmpv6", "ipv6", &REJECTIONS_V6));
    lab.server.nft(&format!(
        "table inet t {{ chain in {{ type filter hook input priority 0; {v4} {v6} }}; }}"
    ));
    lab.client.nft(&format!(
        "table inet t {{ chain out {{ type filter hook output priority 0; tcp dport {FORBIDDEN} drop; }}; }}"
    ));
    lab.client.configure(&[
        "route add blackhole 198.18.200.0/24",
        "route add prohibit 2001:db8:1:0:200::/80",
    ]);
    for family in ["ipv4", "ipv6"] {
        lab.client.sysctl(&format!("net.{family}.neigh.client0.retrans_time_ms"), "100");
    }
    answer(name_service(lab), denial);
    ["0.0.0.0:7777", "[::1]:7777"]
        .map(|address| lab.client.listen(address.parse().expect("an endpoint")))
        .into()
}
