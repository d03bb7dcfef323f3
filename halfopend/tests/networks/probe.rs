//! Checks on demand. The judges are the kernel, captures, and what pools find meanwhile.

mod places;

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use lab::{Capture, Captured, Lab, Namespace};
use serde_json::Value;

use crate::daemon::{Daemon, Files, SERVERS, pool, wait_until};
use crate::http::{HERE, curl};
use crate::name_service::{Answer, NameService};

/// What is allowed, and a pool that needs a target.
pub(crate) const CONFIGURATION: &str = r#"
[probe]
allow = ["198.18.0.0/16:8025-8030", "[2001:db8:1::]:8025", "[2001:db8:1::2]:8025", "127.0.0.1:8025"]
[module.tcp_connect]
timeout = "700ms"
[module.ip4]
timeout = "700ms"
preferred_ip_protocol = "ip4"
[pool.web]
targets = ["198.18.9.9:99"]
"#;

/// A client's metrics: the status, and what was answered.
pub(crate) fn probe(host: &Namespace, query: &str, words: &[&str]) -> (String, String) {
    let url = format!("http://{HERE}/probe?{query}");
    curl(host, &[&["--globoff"], words, &[&*url]].concat())
}

/// Returns the value of a line of the exposition.
pub(crate) fn value(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.split(' ').next() == Some(name))?;
    line.split(' ').nth(1)?.parse().ok()
}

pub(crate) fn start(lab: &Lab, files: &Files) -> Daemon {
    let mut command = crate::name_service::command(files);
    command.args(["--listen", HERE]);
    let daemon = Daemon::of(&lab.client, command);
    wait_until("it listens", || lab.client.enter(|| TcpStream::connect(HERE).is_ok()));
    daemon
}

#[test]
fn a_target_is_checked_when_a_client_asks() {
    let lab = Lab::new();
    let _listener = lab.server.listen("[::]:8025".parse().unwrap());
    lab.server.nft(
        "table inet filtered { chain in { type filter hook input priority 0; \
         tcp dport 8027 drop; tcp dport 8028 reject with icmpx admin-prohibited; }; }",
    );
    let files = Files::new(CONFIGURATION);
    let _daemon = start(&lab, &files);
    for (target, state, protocol, syns) in [
        ("198.18.0.1:8025", "open", 4.0, 1.0),
        ("[2001:db8:1::2]:8025", "open", 6.0, 1.0),
        ("198.18.0.1:8026", "closed", 4.0, 1.0),
        ("198.18.0.1:8027", "filtered", 4.0, 3.0),
        ("198.18.0.1:8028", "filtered", 4.0, 1.0),
        ("127.0.0.1:8025", "closed", 4.0, 1.0),
    ] {
        let (status, text) =
            probe(&lab.client, &format!("module=tcp_connect&target={target}"), &[]);
        assert_eq!(status, "200", "{target}: {text}");
        for other in ["open", "closed", "filtered", "unreachable", "stale"] {
            let name = format!("probe_tcp_state{{state=\"{other}\"}}");
            let expected = f64::from(u8::from(other == state));
            assert_eq!(value(&text, &name), Some(expected), "{target}: {text}");
        }
        let success = f64::from(u8::from(state == "open"));
        assert_eq!(value(&text, "probe_success"), Some(success), "{target}: {text}");
        assert_eq!(value(&text, "probe_ip_protocol"), Some(protocol), "{target}: {text}");
        assert_eq!(value(&text, "probe_tcp_syns"), Some(syns), "{target}: {text}");
        let has_answered = value(&text, "probe_tcp_round_trip_seconds").is_some();
        assert_eq!(has_answered, syns < 2.0, "{target}: {text}");
        assert_eq!(value(&text, "probe_timeout_seconds"), Some(0.7));
    }
}

/// Asserts that SYNs have left only for allowed targets and for the pool.
fn assert_sent_only_to_allowed(captures: &[Capture]) {
    let segments = captures.iter().flat_map(Capture::segments);
    let daemon =
        |segment: &Captured| [segment.source_port, segment.destination_port].contains(&10115);
    let sent = segments.filter(|segment| segment.flags == "SYN" && !daemon(segment));
    let sent: BTreeSet<_> = sent.map(|syn| (syn.destination, syn.destination_port)).collect();
    let (open, pool) = (("198.18.0.1", 8025), ("198.18.9.9", 99));
    let expected = [open, pool].map(|(address, port)| (address.parse().unwrap(), port));
    assert!(sent.is_subset(&expected.into()) && sent.contains(&expected[0]), "{sent:?}");
}

/// Targets that are not allowed, and names that lead to such ones.
const REFUSED: [&str; 16] = [
    "198.19.0.2:8025",
    "198.18.0.1:8026",
    "[2001:db8:1::2]:8025",
    "127.0.0.1:8025",
    "[::ffff:127.0.0.1]:8025",
    "[::1]:8025",
    "[fe80::1%25client0]:8025",
    "[fe80::1]:8025",
    "224.0.0.1:8025",
    "255.255.255.255:8025",
    "198.19.0.255:8030",
    "0.0.0.0:8025",
    "here.test:8025",
    "mapped.test:8025",
    "zero.test:8025",
    "link.test:8025",
];

#[test]
fn what_is_not_allowed_is_refused_before_any_packet() {
    let lab = Lab::new();
    let _listener = lab.server.listen("[::]:8025".parse().unwrap());
    let names = NameService::start(
        &lab,
        &[
            ("turns.test", Answer::InTurn(vec![[198, 18, 0, 1], [198, 19, 0, 2]])),
            ("here.test", Answer::All(vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()])),
            ("mapped.test", Answer::All(vec!["::ffff:127.0.0.1".parse().unwrap()])),
            ("zero.test", Answer::Addresses(vec![[0, 0, 0, 0]])),
            ("link.test", Answer::All(vec!["fe80::1".parse().unwrap()])),
        ],
    );
    let files = Files::new(
        "explain = false\n[probe]\nallow = [\"198.18.0.0/16:8025\", \"64.0.0.0/2:8025\", \"198.19.0.0/24:8030\"]\n\
         [pool.web]\ntargets = [\"198.18.9.9:99\"]\n",
    );
    let _daemon = start(&lab, &files);
    let captures = [lab.client.capture("client0"), lab.client.capture("lo")];
    for target in REFUSED {
        let (status, text) = probe(&lab.client, &format!("target={target}"), &[]);
        assert_eq!(status, "403", "{target}: {text}");
        let (status, _) = probe(&lab.client, &format!("target={target}&debug=true"), &[]);
        assert_eq!(status, "403", "{target}");
    }
    // Each look-up gets another address. The one that is compared is the one that is checked.
    let mut statuses: Vec<_> =
        (0..6).map(|_| probe(&lab.client, "target=turns.test:8025", &[]).0).collect();
    statuses.sort();
    assert_eq!(statuses, ["200", "200", "200", "403", "403", "403"]);
    assert_sent_only_to_allowed(&captures);
    // No name is looked up for a port that is not allowed.
    assert_eq!(probe(&lab.client, "target=a.test:8026", &[]).0, "403");
    assert_eq!((names.questions("a.test"), names.questions("here.test")), (0, 2));
}

#[test]
fn a_fault_of_this_machine_is_no_result() {
    let lab = Lab::new();
    let names = NameService::start(&lab, &[("silent.test", Answer::Silence)]);
    let files = Files::new(
        "[probe]\nallow = [\"198.18.0.0/16:8025\", \"203.0.113.0/24:8025\"]\n\
         [pool.web]\ntargets = [\"198.18.9.9:99\"]\n",
    );
    let _daemon = start(&lab, &files);
    let ask = |query: &str, words: &[&str]| probe(&lab.client, query, words);
    let header = ["--header", "X-Prometheus-Scrape-Timeout-Seconds: 1"];
    for target in ["203.0.113.1:8025", "silent.test:8025"] {
        let (status, text) = ask(&format!("target={target}"), &header);
        assert_eq!((&*status, text.contains("probe_success")), ("503", false), "{target}: {text}");
    }
    drop(names);
    let (status, text) = ask("target=dead.test:8025", &header);
    assert_eq!((&*status, text.contains("probe_success")), ("503", false), "{text}");
    lab.client.nft(
        "table inet local { chain out { type filter hook output priority 0; \
         tcp dport 8025 drop; }; }",
    );
    let (status, text) = ask("target=198.18.0.1:8025", &header);
    assert_eq!((&*status, text.contains("local firewall")), ("503", true), "{text}");
}

#[test]
fn checks_of_clients_change_no_state_and_those_of_pools_answer_them() {
    let lab = Lab::new();
    let _listeners = SERVERS.map(|server| lab.server.listen(server.parse().unwrap()));
    let files = Files::new(&format!("[probe]\nallow = [\"198.18.0.0/16:8025\"]\n{}", pool()));
    let mut daemon = start(&lab, &files);
    let seen = daemon.until(0, "up", SERVERS[0]);
    let capture = lab.client.capture("client0");
    let query = format!("target={}", SERVERS[0]);
    for _ in 0..5 {
        let (status, text) = probe(&lab.client, &query, &[]);
        assert_eq!((&*status, value(&text, "probe_success")), ("200", Some(1.0)), "{text}");
        // The timeout is that of the client, but the pool's check came first.
        assert_eq!(value(&text, "probe_timeout_seconds"), Some(1.5));
    }
    let server: SocketAddr = SERVERS[0].parse().unwrap();
    let segments = capture.segments();
    let to_server =
        |segment: &&Captured| segment.flags == "SYN" && segment.destination == server.ip();
    let syns: Vec<_> = segments.iter().filter(to_server).collect();
    for pair in syns.windows(2) {
        assert!(pair[1].after(pair[0]) >= Duration::from_millis(490), "they overlap: {syns:#?}");
    }
    let events = daemon.events();
    let changes = ["up", "down", "held", "unknown"];
    let is_change = |event: &&Value| changes.iter().any(|change| event["event"] == *change);
    let of_server = |event: &&Value| event["target"] == SERVERS[0];
    let changes: Vec<_> = events.iter().skip(seen).filter(is_change).filter(of_server).collect();
    assert!(changes.is_empty(), "{changes:#?}");
}

#[test]
fn a_reload_changes_what_is_allowed() {
    let lab = Lab::new();
    let _listener = lab.server.listen("[::]:8025".parse().unwrap());
    let files = Files::new(CONFIGURATION);
    let _daemon = start(&lab, &files);
    let ask = |target: &str, module: &str| {
        probe(&lab.client, &format!("module={module}&target={target}"), &[]).0
    };
    let reload = || curl(&lab.client, &["--request", "POST", &format!("http://{HERE}/-/reload")]);
    assert_eq!(ask("198.18.0.1:8025", "tcp_connect"), "200");
    assert_eq!(ask("198.18.0.1:8025", "new"), "400");
    let other = CONFIGURATION.replace("198.18.0.0/16", "198.18.1.0/24").replace("ip4]", "new]");
    files.write("halfopend.toml", &other);
    assert_eq!(reload().0, "200");
    assert_eq!(ask("198.18.0.1:8025", "tcp_connect"), "403");
    assert_eq!(ask("198.18.1.1:8025", "new"), "200");
    assert_eq!(ask("198.18.1.1:8025", "ip4"), "400");
    files.write("halfopend.toml", &other.replace("700ms\"\np", "700ms\"\nretries = 9\np"));
    let (status, text) = reload();
    assert_eq!((&*status, text.contains("module.new.retries")), ("500", true), "{text}");
    files.write("halfopend.toml", "[pool.web]\ntargets = [\"198.18.9.9:99\"]\n");
    assert_eq!(reload().0, "200");
    assert_eq!(probe(&lab.client, "target=198.18.1.1:8025", &[]).0, "403");
}
