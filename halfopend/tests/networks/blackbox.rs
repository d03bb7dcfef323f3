//! `/probe` beside `blackbox_exporter` from Debian: the same questions, on the same network.
//! docs/blackbox.md says what the answers are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::iter;
use std::net::TcpStream;
use std::process::{Command, Stdio};

use lab::{Lab, Running};

use crate::daemon::{Daemon, Files, wait_until};
use crate::http::{HERE, curl};
use crate::name_service::{Answer, NameService, ip, with_names};
use crate::probe::{start, value};

const BLACKBOX: &str = "127.0.0.1:9115";

/// Gauges of `blackbox_exporter` that have no counterpart.
const MISSING: [&str; 1] = ["probe_failed_due_to_regex"];

const CONFIGURATION: &str = r#"
[probe]
allow = [
    "198.18.0.0/16:8025-8029", "198.19.0.0/24:8025-8029", "203.0.113.0/24:8025",
    "[2001:db8:1::/64]:8025-8029",
]
[module.tcp_connect]
timeout = "700ms"
[module.ip4]
timeout = "700ms"
preferred_ip_protocol = "ip4"
[module.only_ip6]
timeout = "700ms"
ip_protocol_fallback = false
[pool.web]
targets = ["198.18.9.9:99"]
"#;

const MODULES: &str = "\
modules:
  tcp_connect: {prober: tcp, timeout: 700ms}
  ip4: {prober: tcp, timeout: 700ms, tcp: {preferred_ip_protocol: ip4}}
  only_ip6: {prober: tcp, timeout: 700ms, tcp: {ip_protocol_fallback: false}}
";

/// Both exporters, on a network with servers and names.
struct Stage {
    lab: Lab,
    _names: NameService,
    _blackbox: Running,
    _daemon: Daemon,
    _files: Files,
    listeners: Vec<std::net::TcpListener>,
}

impl Stage {
    fn new() -> Self {
        let lab = Lab::new();
        let listeners = ["[::]:8025", "198.18.0.1:8035"];
        let listeners = listeners.map(|address| lab.server.listen(address.parse().unwrap()));
        let own = lab.client.listen("127.0.0.1:8025".parse().unwrap());
        lab.server.nft(
            "table inet filtered { chain in { type filter hook input priority 0; \
             tcp dport 8027 drop; tcp dport 8028 reject with icmpx admin-prohibited; }; }",
        );
        lab.client.nft(
            "table inet local { chain out { type filter hook output priority 0; \
             ip daddr 198.18.0.1 tcp dport 8029 drop; }; }",
        );
        let both = ["198.18.0.1", "2001:db8:1::2"].map(|address| address.parse().unwrap());
        let names = NameService::start(
            &lab,
            &[
                ("web.test", Answer::Addresses(vec![ip(1)])),
                ("both.test", Answer::All(both.into())),
                ("inside.test", Answer::Addresses(vec![[127, 0, 0, 1]])),
                ("silent.test", Answer::Silence),
            ],
        );
        let files = Files::new(CONFIGURATION);
        let daemon = start(&lab, &files);
        let blackbox = blackbox(&lab, &files);
        let listeners = listeners.into_iter().chain([own]).collect();
        Self { lab, _names: names, _blackbox: blackbox, _daemon: daemon, _files: files, listeners }
    }

    fn ask(&self, exporter: &str, query: &str, words: &[&str]) -> (String, String) {
        let url = format!("http://{exporter}/probe?{query}");
        curl(&self.lab.client, &[&["--globoff"], words, &[&*url]].concat())
    }
}

/// Starts `blackbox_exporter`.
fn blackbox(lab: &Lab, files: &Files) -> Running {
    let modules = files.write("blackbox.yml", MODULES);
    let words = with_names(files);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).arg("prometheus-blackbox-exporter");
    command.arg(format!("--config.file={}", modules.display()));
    command.arg(format!("--web.listen-address={BLACKBOX}"));
    let blackbox = lab.client.spawn(command);
    wait_until("blackbox_exporter listens", || {
        lab.client.enter(|| TcpStream::connect(BLACKBOX).is_ok())
    });
    blackbox
}

/// Returns the rows of the table of docs/blackbox.md whose head begins with this cell. Code loses
/// its quotes.
fn rows(head: &str) -> Vec<Vec<String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/blackbox.md");
    let text = fs::read_to_string(path).expect("a page");
    let table = text.lines().skip_while(|line| !line.starts_with(&format!("| {head} |")));
    let table = table.skip(2).take_while(|line| line.starts_with('|'));
    let cell = |cell: &str| cell.trim().trim_matches('`').to_owned();
    let cells = |line: &str| line.trim_matches('|').split('|').map(cell).collect::<Vec<_>>();
    let rows: Vec<_> = table.map(cells).collect();
    assert!(rows.len() > 5, "no table {head}");
    rows
}

/// Returns what the table says of an answer.
fn in_words((status, text): &(String, String)) -> String {
    if status != "200" {
        return status.clone();
    }
    value(text, "probe_success").unwrap_or_else(|| panic!("{text}")).to_string()
}

fn gauges(text: &str) -> BTreeMap<&str, f64> {
    let lines = text.lines().filter(|line| line.starts_with("probe_"));
    lines.map(|line| line.split_once(' ').unwrap()).map(|(n, v)| (n, v.parse().unwrap())).collect()
}

/// Asserts that the two measurements are consistent.
fn compare(query: &str, theirs: &str, ours: &str) {
    let (theirs, ours) = (gauges(theirs), gauges(ours));
    for name in ["probe_success", "probe_ip_protocol", "probe_ip_addr_hash"] {
        assert_eq!(theirs.get(name), ours.get(name), "{query}: {name}");
    }
    let missing: BTreeSet<_> = theirs.keys().filter(|name| !ours.contains_key(*name)).collect();
    assert_eq!(missing, MISSING.iter().collect(), "{query}");
    let (duration, lookup) =
        (ours["probe_duration_seconds"], ours["probe_dns_lookup_time_seconds"]);
    assert!(lookup <= duration && duration > 0.0, "{query}: {ours:?}");
    let is_name = query.contains(".test");
    assert_eq!(lookup > 0.0, is_name, "{query}: {ours:?}");
}

#[test]
fn answers_differ_from_those_of_blackbox_exporter_as_documented() {
    let stage = Stage::new();
    for row in rows("what") {
        let [what, query, theirs, ours] = &row[..] else { panic!("{row:?}") };
        let their_answer = stage.ask(BLACKBOX, query, &[]);
        let our_answer = stage.ask(HERE, query, &[]);
        assert_eq!(&in_words(&their_answer), theirs, "{what}: {their_answer:?}");
        assert_eq!(&in_words(&our_answer), ours, "{what}: {our_answer:?}");
        if our_answer.0 == "200" && their_answer.0 == "200" {
            compare(query, &their_answer.1, &our_answer.1);
            promtool_is_content(&our_answer.1);
        }
    }
}

#[test]
fn timeouts_differ_from_those_of_blackbox_exporter_as_documented() {
    let stage = Stage::new();
    let query = "module=tcp_connect&debug=true&target=198.18.0.1:8025";
    for row in rows("X-Prometheus-Scrape-Timeout-Seconds") {
        let [seconds, theirs, ours] = &row[..] else { panic!("{row:?}") };
        let header = format!("X-Prometheus-Scrape-Timeout-Seconds: {seconds}");
        for (exporter, expected) in [(BLACKBOX, theirs), (HERE, ours)] {
            let (status, text) = stage.ask(exporter, query, &["--header", &header]);
            let timeout = text.split_once("timeout_seconds=").map(|(_, rest)| rest);
            let timeout = timeout.and_then(|rest| rest.split_whitespace().next());
            let Some(timeout) = timeout else {
                assert_eq!(&status, expected, "{seconds}: {text}");
                continue;
            };
            let (timeout, expected): (f64, f64) =
                (timeout.parse().unwrap(), expected.parse().expect("a time"));
            assert!((timeout - expected).abs() < 1e-6, "{exporter}, {seconds}: {text}");
        }
    }
}

/// What crosses the wire, and what the server's programs notice.
#[test]
fn a_check_costs_three_packets_and_no_connection() {
    let stage = Stage::new();
    let (capture, server) = (stage.lab.client.capture("client0"), &stage.listeners[0]);
    server.set_nonblocking(true).expect("a socket");
    let accepted = || iter::from_fn(|| server.accept().ok()).count();
    let query = "module=tcp_connect&target=198.18.0.5:8025";
    let [ours, theirs] = [HERE, BLACKBOX].map(|exporter| {
        assert_eq!(in_words(&stage.ask(exporter, query, &[])), "1");
        let segments = capture.segments();
        let of_check =
            segments.into_iter().filter(|it| [it.source_port, it.destination_port].contains(&8025));
        (of_check.map(|segment| segment.flags).collect::<Vec<_>>(), accepted())
    });
    assert_eq!(ours, (["SYN", "SYN+ACK", "RST"].map(str::to_owned).into(), 0));
    assert!(theirs.0.len() > 3 && theirs.1 == 1, "{theirs:?}");
}

/// Asserts that promtool finds nothing wrong with metrics.
fn promtool_is_content(text: &str) {
    let text = match text.split_once("would have been returned:\n") {
        Some((_, rest)) => rest.split("\n\n\n").next().expect("metrics").to_owned() + "\n",
        None => text.to_owned(),
    };
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = command.stdout(Stdio::piped()).spawn().expect("promtool");
    promtool.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
    let output = promtool.wait_with_output().expect("a child");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && words.is_empty(), "{words}\n{text}");
}
