//! The source ports of SYNs: as targets on this machine, and if there are few of them or none.

use std::net::{IpAddr, SocketAddr, TcpStream};

use crate::support::crowd::Findings;
use crate::support::old_connections::narrow_source_ports;
use lab::{CLIENT_V4, CLIENT_V6, Lab, SERVER_V4, SERVER_V6};

/// Only the check itself listens on them, and it accepts no connections.
#[test]
fn ports_that_the_check_itself_leaves_from_are_closed() {
    let lab = Lab::new();
    // A secondary address, and one that routing makes this machine's.
    lab.client.address("client0", &["198.19.0.7/24"]);
    lab.client.configure(&["route add local 198.18.7.0/24 dev lo"]);
    narrow_source_ports(&lab, 40_000, 40_003);
    let here = ["127.0.0.1", "127.0.0.2", "198.19.0.1", "198.19.0.7", "198.18.7.7", "[::1]"];
    let here = here.into_iter().chain(["[2001:db8::1]"]);
    let targets: Vec<_> = here.map(|address| format!("{address}:40000-40003")).collect();
    let targets: Vec<_> = targets.iter().map(String::as_str).collect();
    for engine in ["raw", "connect"] {
        // With a TTL of 255, segments pass the minimum TTL of the reserved port.
        for options in [&[][..], &["--ttl", "255"]] {
            let words =
                [&["--engine", engine, "-o", "json", "-t", "2"], options, &targets].concat();
            let findings = Findings::of(&lab.check(&words));
            assert_eq!(findings.all.len(), 7 * 4, "{findings:#?}");
            for finding in &findings.all {
                assert_eq!(finding.state.as_deref(), Some("closed"), "{engine}: {finding:?}");
            }
            let own = findings.all.iter().filter(|found| found.reason.contains("own source port"));
            let own = own.inspect(|found| assert_eq!(found.tries, Some(0), "no SYN for {found:?}"));
            assert_eq!(own.count(), if engine == "raw" { 7 * 3 } else { 0 }, "{findings:#?}");
        }
    }
}

/// The same port numbers on another machine are ordinary ports.
#[test]
fn ports_of_other_machines_are_probed_even_if_the_check_uses_the_same_numbers() {
    let lab = Lab::new();
    narrow_source_ports(&lab, 40_000, 40_003);
    for server in [SERVER_V4, SERVER_V6] {
        let ports = 40_000..=40_003;
        let _listeners: Vec<_> =
            ports.map(|port| lab.server.listen(SocketAddr::new(server, port))).collect();
        for engine in ["raw", "connect"] {
            let targets = ["-H", &server.to_string(), "-p", "40000-40003"].map(str::to_owned);
            let words: Vec<_> = targets.iter().map(String::as_str).collect();
            let options = ["--engine", engine, "-o", "json", "-t", "2"];
            let findings = Findings::of(&lab.check(&[&options[..], &words].concat()));
            assert_eq!(findings.all.len(), 4);
            for finding in &findings.all {
                assert_eq!(finding.state.as_deref(), Some("open"), "{engine}: {finding:?}");
            }
        }
    }
}

#[test]
fn two_free_ports_are_enough() {
    let lab = Lab::new();
    narrow_source_ports(&lab, 40_000, 40_001);
    lab.server.nft(
        "table inet t { chain in { type filter hook input priority 0; tcp dport 81 drop; }; }",
    );
    for server in [SERVER_V4, SERVER_V6] {
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        // Instead of a third SYN, the kernel retransmits those of its handshakes.
        for (engine, silence) in
            [("raw", "no answer to 3 SYNs in "), ("connect", "no answer to 2 SYNs in ")]
        {
            let check =
                |port| lab.verdict(&["--engine", engine, "-t", "3", &server.to_string(), port]);
            assert_eq!(check("80").ending(), (Some("open"), 0));
            let silent = check("81");
            assert_eq!(silent.ending(), (Some("filtered"), 2), "{silent:?}");
            assert!(silent.reason.starts_with(silence), "{silent:?}");
        }
    }
}

/// The third SYN of three has no port of its own.
#[test]
fn a_server_that_receives_only_the_third_syn_is_found_from_two_ports() {
    let lab = Lab::new();
    narrow_source_ports(&lab, 40_000, 40_001);
    for server in [SERVER_V4, SERVER_V6] {
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        lab.server.nft("table inet t { chain in { type filter hook input priority 0; tcp dport 80 tcp flags syn numgen inc mod 1000 < 2 drop; }; }");
        let verdict = lab.verdict(&["--engine", "raw", "-t", "3", &server.to_string(), "80"]);
        assert_eq!((verdict.ending(), verdict.tries), ((Some("open"), 0), Some(3)), "{verdict:?}");
        lab.server.nft("delete table inet t");
    }
}

/// `bind()` finds no port then, but `connect()` does.
#[test]
fn if_every_port_has_a_connection_the_kernel_shares_one() {
    let lab = Lab::new();
    narrow_source_ports(&lab, 40_000, 40_003);
    for (client, server) in [(CLIENT_V4, SERVER_V4), (CLIENT_V6, SERVER_V6)] {
        let elsewhere = lab.server.listen(SocketAddr::new(server, 8080));
        let connections = connections(&lab, server, 4);
        let _accepted: Vec<_> =
            connections.iter().map(|_| elsewhere.accept().expect("a connection")).collect();
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        let (source, server) = (client.to_string(), server.to_string());
        let raw = lab.verdict(&["--engine", "raw", "-t", "2", &server, "80"]);
        assert_eq!(raw.ending(), (None, 3), "{raw:?}");
        assert!(raw.reason.starts_with("cannot reserve a source port ("), "{raw:?}");
        for words in [&["--engine", "connect"][..], &[], &["--source", &source]] {
            let words = [&["-o", "json", "-t", "2"], words, &[&server, "80"]].concat();
            let outcome = lab.check(&words);
            assert_eq!(outcome.verdict().ending(), (Some("open"), 0), "{words:?}: {outcome:?}");
            assert_eq!(outcome.json()["engine"], "connect");
        }
        let closed = lab.verdict(&["-t", "2", &server, "81"]);
        assert_eq!(closed.ending(), (Some("closed"), 2), "{closed:?}");
    }
}

fn connections(lab: &Lab, server: IpAddr, count: usize) -> Vec<TcpStream> {
    let connect = |_| TcpStream::connect((server, 8080)).expect("the server listens");
    lab.client.enter(|| (0..count).map(connect).collect())
}
