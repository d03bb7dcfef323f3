//! Compared with nmap's SYN scan: the same state for each of the same ports.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use lab::{Lab, SERVER_V4, SERVER_V6};

/// What the server does with a SYN, what nmap reports (`--reason`), and what halfopen must report.
///
/// nmap knows three states. Its `filtered` covers what halfopen distinguishes: silence and
/// prohibition are filtered here too, but ICMP port unreachable is a closed port, and the other
/// unreachables say nothing about the port.
struct Port {
    number: u16,
    server: Server,
    nmap: (&'static str, &'static str),
    halfopen: &'static str,
}

enum Server {
    Listens,
    HasNoListener,
    Drops,
    /// With the words that follow `reject with` in nftables.
    Rejects(&'static str),
}

use Server::{Drops, HasNoListener, Listens, Rejects};

const fn port(
    number: u16,
    server: Server,
    nmap: (&'static str, &'static str),
    halfopen: &'static str,
) -> Port {
    Port { number, server, nmap, halfopen }
}

const V4: [Port; 11] = [
    port(401, Listens, ("open", "syn-ack"), "open"),
    port(402, HasNoListener, ("closed", "reset"), "closed"),
    port(403, Drops, ("filtered", "no-response"), "filtered"),
    port(404, Rejects("tcp reset"), ("closed", "reset"), "closed"),
    port(405, Rejects("icmp port-unreachable"), ("filtered", "port-unreach"), "closed"),
    port(406, Rejects("icmp net-unreachable"), ("filtered", "net-unreach"), "unreachable"),
    port(407, Rejects("icmp host-unreachable"), ("filtered", "host-unreach"), "unreachable"),
    port(408, Rejects("icmp prot-unreachable"), ("filtered", "proto-unreach"), "unreachable"),
    port(409, Rejects("icmp net-prohibited"), ("filtered", "net-prohibited"), "filtered"),
    port(410, Rejects("icmp host-prohibited"), ("filtered", "host-prohibited"), "filtered"),
    port(411, Rejects("icmp admin-prohibited"), ("filtered", "admin-prohibited"), "filtered"),
];

const V6: [Port; 10] = [
    port(601, Listens, ("open", "syn-ack"), "open"),
    port(602, HasNoListener, ("closed", "reset"), "closed"),
    port(603, Drops, ("filtered", "no-response"), "filtered"),
    port(604, Rejects("tcp reset"), ("closed", "reset"), "closed"),
    port(605, Rejects("icmpv6 port-unreachable"), ("filtered", "port-unreach"), "closed"),
    port(606, Rejects("icmpv6 no-route"), ("filtered", "no-route"), "unreachable"),
    port(607, Rejects("icmpv6 addr-unreachable"), ("filtered", "host-unreach"), "unreachable"),
    port(608, Rejects("icmpv6 admin-prohibited"), ("filtered", "admin-prohibited"), "filtered"),
    port(609, Rejects("icmpv6 policy-fail"), ("filtered", "admin-prohibited"), "filtered"),
    port(610, Rejects("icmpv6 reject-route"), ("filtered", "reject-route"), "filtered"),
];

#[test]
fn every_ipv4_state_is_the_one_that_nmap_sees() {
    assert_same_states(SERVER_V4, &V4);
}

#[test]
fn every_ipv6_state_is_the_one_that_nmap_sees() {
    assert_same_states(SERVER_V6, &V6);
}

fn assert_same_states(server: IpAddr, ports: &[Port]) {
    let lab = Lab::new();
    // The kernel limits the ICMP errors per second to one host, and more are needed here.
    lab.server.sysctl("net.ipv4.icmp_ratelimit", "0");
    lab.server.sysctl("net.ipv6.icmp.ratelimit", "0");
    let _listeners: Vec<_> = ports
        .iter()
        .filter(|port| matches!(port.server, Listens))
        .map(|port| lab.server.listen(SocketAddr::new(server, port.number)))
        .collect();
    lab.server.nft(&firewall(ports));

    let scanned = nmap(&lab, server, ports);
    let expected: BTreeMap<_, _> = ports
        .iter()
        .map(|port| (port.number, (port.nmap.0.to_owned(), port.nmap.1.to_owned())))
        .collect();
    assert_eq!(scanned, expected, "what nmap itself says");
    for port in ports {
        // Short timeouts, because the server is in the next namespace.
        let verdict = lab.verdict(&["-t", "0.7", &server.to_string(), &port.number.to_string()]);
        assert_eq!(
            verdict.state.as_deref(),
            Some(port.halfopen),
            "port {}, {:?} to nmap: {verdict:?}",
            port.number,
            port.nmap
        );
    }
}

fn firewall(ports: &[Port]) -> String {
    let rules: Vec<_> = ports
        .iter()
        .filter_map(|port| match port.server {
            Drops => Some(format!("tcp dport {} drop;", port.number)),
            Rejects(with) => Some(format!("tcp dport {} reject with {with};", port.number)),
            Listens | HasNoListener => None,
        })
        .collect();
    let chain = format!("type filter hook input priority 0; {}", rules.join(" "));
    format!("table inet states {{ chain incoming {{ {chain} }}; }}")
}

/// Returns state and reason of every port, as nmap's raw SYN scan sees them.
fn nmap(lab: &Lab, server: IpAddr, ports: &[Port]) -> BTreeMap<u16, (String, String)> {
    let numbers: Vec<_> = ports.iter().map(|port| port.number.to_string()).collect();
    let (list, address) = (numbers.join(","), server.to_string());
    let family: &[&str] = if server.is_ipv6() { &["-6"] } else { &[] };
    let report = lab.client.run(
        "nmap",
        &[family, &["-n", "-Pn", "-sS", "--reason", "-oX", "-", "-p", &list, &address]].concat(),
    );

    // <port protocol="tcp" portid="4001"><state state="open" reason="syn-ack" reason_ttl="64"/>…
    report
        .split("<port ")
        .skip(1)
        .map(|port| {
            (
                attribute(port, "portid").parse().expect("a port number"),
                (attribute(port, "state"), attribute(port, "reason")),
            )
        })
        .collect()
}

/// The value of the first attribute of that name.
fn attribute(xml: &str, name: &str) -> String {
    let (_, rest) = xml
        .split_once(&format!(" {name}=\""))
        .unwrap_or_else(|| panic!("no {name} in nmap's {xml}"));
    rest.split('"').next().unwrap_or_default().to_owned()
}
