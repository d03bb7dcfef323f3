//! Names with several addresses: one target, open as soon as one of them is.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::process::Command;

use crate::support::crowd::{Crowd, Findings};
use crate::support::names::Names;
use crate::support::process::wait_until;
use lab::{Lab, Outcome, ROUTED_V4, ROUTED_V6, SERVER_V4, SERVER_V6, halfopen, halfopen_path};

const ENGINES: [&str; 2] = ["raw", "connect"];

/// The client's hosts file. The resolver chooses the order of a name's addresses.
const HOSTS: &str = "127.0.0.1 localhost
198.19.0.2 both.test pair.test four.test
198.18.0.7 pair.test triple.test
2001:db8::2 both.test six.test
2001:db8:1::7 triple.test
198.18.0.8 triple.test
198.19.0.2 away.test
2001:db8:77::1 away.test
198.19.0.2 scopeless.test
fe80::1 scopeless.test
";

/// On the server, port 82 is silent, and all others are closed unless a test listens.
struct Stage {
    lab: Lab,
    names: Names,
}

impl Stage {
    fn new() -> Self {
        let lab = Lab::new();
        lab.server.nft(
            "table inet t { chain in { type filter hook input priority 0; tcp dport 82 drop; }; }",
        );
        Self { lab, names: Names::with_hosts(HOSTS) }
    }

    fn listen(&self, address: IpAddr, port: u16) -> TcpListener {
        self.lab.server.listen(SocketAddr::new(address, port))
    }

    fn check(&self, arguments: &[&str]) -> Outcome {
        self.lab.client.outcome(self.names.shown_to(&halfopen(arguments)))
    }

    /// State, exit code and address.
    fn ending(&self, arguments: &[&str]) -> (Option<String>, i32, Option<IpAddr>) {
        let verdict = self.check(&[&["-o", "json"], arguments].concat()).verdict();
        println!("{arguments:?}: {verdict:?}");
        (verdict.state, verdict.code, verdict.address)
    }
}

fn open(address: IpAddr) -> (Option<String>, i32, Option<IpAddr>) {
    (Some("open".to_owned()), 0, Some(address))
}

/// The other addresses are closed, silent, or have no route.
#[test]
fn a_name_is_open_as_soon_as_one_of_its_addresses_is() {
    let stage = Stage::new();
    for engine in ENGINES {
        for (name, addresses) in [
            ("both.test", &[SERVER_V4, SERVER_V6][..]),
            ("pair.test", &[SERVER_V4, ROUTED_V4]),
            ("triple.test", &[ROUTED_V4, ROUTED_V6]),
            ("away.test", &[SERVER_V4]),
        ] {
            for address in addresses {
                let listeners = [80, 83].map(|port| stage.listen(*address, port));
                let family = if address.is_ipv4() { "ip" } else { "ip6" };
                stage.lab.server.nft(&format!(
                    "table inet one {{ chain in {{ type filter hook input priority 0; {family} daddr {address} accept; tcp dport 83 drop; }}; }}"
                ));
                for port in ["80", "83"] {
                    assert_eq!(stage.ending(&["--engine", engine, name, port]), open(*address));
                }
                stage.lab.server.run("nft", &["delete", "table", "inet", "one"]);
                drop(listeners);
                // A program that another test is starting has a copy of the listeners for a moment.
                wait_until(|| !stage.lab.server.run("ss", &["-Htln"]).contains(":83 "));
            }
        }
    }
}

#[test]
fn a_name_that_is_nowhere_open_has_the_most_telling_state_of_its_addresses() {
    let stage = Stage::new();
    stage.lab.server.nft("table inet some { chain in { type filter hook input priority 0; ip daddr 198.19.0.2 tcp dport 84 drop; ip6 daddr 2001:db8::2 tcp dport 85 drop; }; }");
    for engine in ENGINES {
        for (name, port, state, address) in [
            ("both.test", "80", "closed", None),
            ("both.test", "82", "filtered", None),
            ("both.test", "84", "closed", Some(SERVER_V6)),
            ("both.test", "85", "closed", Some(SERVER_V4)),
            ("away.test", "80", "closed", Some(SERVER_V4)),
            ("away.test", "82", "filtered", Some(SERVER_V4)),
            ("scopeless.test", "80", "closed", Some(SERVER_V4)),
            ("scopeless.test", "82", "filtered", Some(SERVER_V4)),
        ] {
            let (found, code, at) = stage.ending(&["--engine", engine, "-t", "2", name, port]);
            assert_eq!((found.as_deref(), code), (Some(state), 2), "{name} {port}");
            assert!(address.is_none() || address == at, "{name} {port}: {at:?}");
        }
    }
}

/// With these options, silence takes a minute.
#[test]
fn a_name_without_a_route_is_reported_once() {
    let lab = Lab::new();
    let mut hosts = String::new();
    for last in 1..=40 {
        writeln!(hosts, "198.19.200.{last} far.test\n2001:db8:77::{last} far.test")
            .expect("memory");
    }
    let names = Names::with_hosts(&hosts);
    for engine in ENGINES {
        for family in [["-4"].as_slice(), &["-6"], &[]] {
            let words = [&["-o", "json", "--engine", engine, "far.test", "80"], family].concat();
            let outcome = lab.client.outcome(names.shown_to(&halfopen(&words)));
            assert_eq!(outcome.stdout.lines().count(), 1, "{outcome:#?}");
            let verdict = outcome.verdict();
            assert_eq!(verdict.ending(), (Some("unreachable"), 2), "{verdict:?}");
        }
    }
}

#[test]
fn an_address_without_a_route_is_not_waited_for_when_the_others_have_answered() {
    let stage = Stage::new();
    for engine in ENGINES {
        let arguments = ["-v", "--engine", engine, "-t", "60", "--retries", "5", "away.test", "80"];
        let outcome = stage.check(&arguments);
        outcome.assert_waited_at_most(30.0);
        let lines: Vec<_> = outcome.stdout.lines().collect();
        let [first, second, third] = lines[..] else { panic!("{outcome:#?}") };
        let begin = "TCP HALF-OPEN CRITICAL - away.test:80 at 198.19.0.2 closed (RST+ACK in ";
        assert!(first.starts_with(begin), "{first}");
        assert!(second.starts_with("away.test:80 at 198.19.0.2: closed, RST+ACK, "), "{second}");
        let begin = "away.test:80 at 2001:db8:77::1 too: unreachable, no route to ";
        assert!(third.starts_with(begin), "{third}");
    }
}

/// That address might be the open one.
#[test]
fn an_address_that_could_not_be_asked_leaves_a_name_unknown_unless_another_is_open() {
    let stage = Stage::new();
    let _listener = stage.listen(SERVER_V4, 86);
    stage.lab.client.nft("table inet own { chain out { type filter hook output priority 0; ip6 daddr 2001:db8::2 tcp dport { 80, 86 } drop; }; }");
    // The kernel does not say why it refused connect().
    let raw = ["--engine", "raw", "-t", "1", "both.test"];
    assert_eq!(stage.ending(&[&raw[..], &["80"]].concat()), (None, 3, Some(SERVER_V6)));
    assert_eq!(stage.ending(&[&raw[..], &["86"]].concat()), open(SERVER_V4));
}

#[test]
fn every_address_with_a_route_must_be_in_the_expected_state() {
    let stage = Stage::new();
    let _listener = stage.listen(SERVER_V6, 87);
    stage.lab.server.nft("table inet some { chain in { type filter hook input priority 0; ip daddr 198.19.0.2 tcp dport 84 drop; }; }");
    for engine in ENGINES {
        for (expected, name, port, state, code) in [
            ("closed", "both.test", "80", "closed", 0),
            ("closed", "away.test", "80", "closed", 0),
            ("closed", "both.test", "84", "filtered", 2),
            ("closed", "both.test", "87", "open", 2),
            ("filtered", "both.test", "82", "filtered", 0),
            ("filtered", "both.test", "84", "closed", 2),
            ("filtered", "away.test", "82", "filtered", 0),
        ] {
            let arguments = ["--engine", engine, "-t", "1", "--expect", expected, name, port];
            let (found, found_code, _) = stage.ending(&arguments);
            assert_eq!((found.as_deref(), found_code), (Some(state), code), "{arguments:?}");
        }
    }
}

#[test]
fn family_source_and_interface_select_among_the_addresses_of_a_name() {
    let stage = Stage::new();
    let _listener = stage.listen(SERVER_V4, 80);
    let _other = stage.listen(SERVER_V6, 81);
    for engine in ENGINES {
        let capture = stage.lab.server.capture("server0");
        for option in [&["-4"][..], &["-S", "198.19.0.1"], &["-S", "::ffff:198.19.0.1"]] {
            let of = |port| {
                stage.ending(&[&["--engine", engine], option, &["both.test", port]].concat())
            };
            assert_eq!(of("80"), open(SERVER_V4));
            assert_eq!(of("81"), (Some("closed".to_owned()), 2, Some(SERVER_V4)));
        }
        assert!(capture.segments().iter().all(|segment| segment.destination.is_ipv4()));
        for option in [&["-6"][..], &["-S", "2001:db8::1"], &["-S", "2001:db8::1", "-6"]] {
            let of = |port| {
                stage.ending(&[&["--engine", engine], option, &["both.test", port]].concat())
            };
            assert_eq!(of("81"), open(SERVER_V6));
            assert_eq!(of("80"), (Some("closed".to_owned()), 2, Some(SERVER_V6)));
        }
        for (source, name, address) in
            [("198.19.0.1", "six.test", "2001:db8::2"), ("2001:db8::1", "four.test", "198.19.0.2")]
        {
            let outcome = stage.check(&["--engine", engine, "-S", source, name, "80"]);
            assert_eq!(outcome.code, 3, "{outcome:?}");
            assert!(
                outcome.stdout.contains(source) && outcome.stdout.contains(address),
                "{outcome:?}"
            );
        }
    }
    stage.lab.client.run("ip", &["-6", "address", "flush", "dev", "client0"]);
    for engine in ENGINES {
        let of = |port| stage.ending(&["--engine", engine, "-I", "client0", "both.test", port]);
        assert_eq!(of("80"), open(SERVER_V4));
        assert_eq!(of("81"), (Some("closed".to_owned()), 2, Some(SERVER_V4)));
    }
}

#[test]
fn a_pool_counts_a_name_once_and_probes_an_address_once() {
    let crowd = Crowd::new();
    let names = Names::with_hosts(HOSTS);
    for engine in ENGINES {
        let capture = crowd.lab.server.capture("server0");
        let pool = [
            "both.test:80",
            "both.test:80-81",
            "198.19.0.2:80",
            "pair.test:80",
            "triple.test:80,82",
            "198.18.0.0/29:80",
            "198.18.0.8:81",
            "triple.test:81",
        ];
        let options = ["--engine", engine, "-t", "2", "--min-open", "13"];
        let findings =
            Findings::of(&crowd.lab.client.outcome(names.command(&[&options[..], &pool].concat())));
        let summary = &findings.summary;
        assert_eq!((findings.all.len(), summary.targets), (17, 17), "{findings:#?}");
        assert_eq!(
            (summary.open, summary.closed, summary.filtered, findings.code),
            (13, 3, 1, 0),
            "{findings:#?}"
        );
        let mut syns: Vec<_> =
            capture.segments().into_iter().filter(|s| s.flags == "SYN").collect();
        syns.retain(|syn| syn.destination_port != 82); // silent, so retransmitted
        let mut endpoints: Vec<_> =
            syns.iter().map(|syn| (syn.destination, syn.destination_port)).collect();
        endpoints.sort_unstable();
        let before = endpoints.len();
        endpoints.dedup();
        assert_eq!(endpoints.len(), before, "{syns:#?}");
        crowd.assert_nothing_is_left();
    }
}

#[test]
fn every_address_of_a_name_can_be_a_target_of_its_own() {
    let crowd = Crowd::new();
    let names = Names::with_hosts(HOSTS);
    for engine in ENGINES {
        let check = |words: &[&str]| {
            let options = ["--every-address", "--engine", engine, "-t", "2"];
            let command = names.command(&[&options[..], words].concat());
            Findings::of(&crowd.lab.client.outcome(command))
        };
        let findings = check(&["triple.test", "80,82"]);
        let mut found: Vec<_> = findings
            .all
            .iter()
            .map(|finding| (finding.port, finding.address.expect("an address"), &*finding.target))
            .collect();
        found.sort_unstable();
        let third = IpAddr::from([198, 18, 0, 8]);
        let on =
            |port, target| [ROUTED_V4, third, ROUTED_V6].map(|address| (port, address, target));
        assert_eq!(found, [on(80, "triple.test:80"), on(82, "triple.test:82")].concat());
        let summary = &findings.summary;
        assert_eq!((summary.targets, summary.open, summary.filtered), (6, 3, 3));

        for (wanted, code) in [("3", 0), ("50%", 0), ("4", 2), ("51%", 2)] {
            let words = ["--min-open", wanted, "triple.test", "80-81"];
            assert_eq!(check(&words).code, code, "{wanted}");
        }
        let findings = check(&["four.test", "80"]);
        assert_eq!((findings.summary.targets, findings.code), (1, 0));
    }
    let command =
        names.shown_to(Command::new(halfopen_path()).args(["--every-address", "both.test", "81"]));
    let outcome = crowd.lab.client.outcome(command);
    let first = outcome.stdout.lines().next().expect("a line");
    assert!(first.starts_with("TCP HALF-OPEN CRITICAL - 0 of 2 open: both.test:81 at "), "{first}");
    for address in [SERVER_V4, SERVER_V6] {
        let line = format!("both.test:81 at {address} closed (RST+ACK in ");
        assert!(outcome.stdout.contains(&line), "{outcome:#?}");
    }
}

/// The name server decides how many addresses there are.
#[test]
fn a_name_with_hundreds_of_addresses_is_open_or_unknown() {
    let stage = Stage::new();
    let mut hosts = String::new();
    for number in 0..300 {
        writeln!(hosts, "198.18.{}.{} many.test", 1 + number / 250, 1 + number % 250)
            .expect("memory");
    }
    let names = Names::with_hosts(&hosts);
    let check = |words: &[&str]| stage.lab.client.outcome(names.command(words));
    let verdict = check(&["many.test", "80"]).verdict();
    assert_eq!(verdict.ending(), (None, 3), "{verdict:?}");
    assert!(verdict.reason.contains("300 addresses"), "{}", verdict.reason);

    let findings = Findings::of(&check(&["--every-address", "many.test", "80"]));
    let summary = &findings.summary;
    assert_eq!((summary.targets, summary.closed, summary.unknown), (257, 256, 1), "{summary:?}");

    let _listener = stage.listen([0, 0, 0, 0].into(), 80);
    assert_eq!(check(&["many.test", "80"]).verdict().ending(), (Some("open"), 0));
}
