//! The engines agree: what a check finds by raw sockets, it also finds by the kernel's handshake,
//! except for the differences that are listed here. (Old connections are another difference. They
//! need labs of their own: `stale`, `connect::stale`.)

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, ScopedJoinHandle};

use socket2::{Domain, Socket, Type};

use crate::support::crowd::Findings;
use crate::support::rejections::{
    REJECTIONS_V4, REJECTIONS_V6, Rejection, host_behind_the_server, send_every_icmp_error,
};
use lab::{Lab, Namespace, SERVER_V4, SERVER_V6, Verdict};

/// How checks end: the state, `None` without a verdict, and how the reason begins.
type Ending = (Option<&'static str>, &'static str);

const OPEN: Ending = (Some("open"), "SYN+ACK");
const CLOSED: Ending = (Some("closed"), "RST+ACK");
const SILENT: Ending = (Some("filtered"), "no answer to 3 SYNs in ");
const NO_ROUTE: Ending = (Some("unreachable"), "no route to network on this machine");
const FORBIDDEN_HERE: Ending = (None, "local firewall refused the SYN to ");

/// The words of checks, and how they end by either engine.
const ALIKE: &[(&[&str], Ending)] = &[
    // On the link, behind a route, behind a router and SYN cookies, on this machine.
    (&["198.19.0.2:80", "198.18.0.7:80", "198.19.2.2:80"], OPEN),
    (&["[2001:db8::2]:80", "[2001:db8:1::7]:80", "[2001:db8:3::2]:80"], OPEN),
    (&["127.0.0.1:7777", "198.19.0.1:7777", "[::1]:7777", "[2001:db8::1]:7777"], OPEN),
    (&["198.19.0.2:81", "198.18.0.7:81", "198.19.2.2:81"], CLOSED),
    (&["[2001:db8::2]:81", "[2001:db8:1::7]:81", "[2001:db8:3::2]:81"], CLOSED),
    (&["127.0.0.1:7778", "198.19.0.1:7778", "[::1]:7778", "[2001:db8::1]:7778"], CLOSED),
    // The server's firewall drops the SYN, or resets it; the accept queue is full; a firewall drops
    // the SYN+ACK, there or here.
    (&["198.19.0.2:82", "[2001:db8::2]:82"], SILENT),
    (&["198.19.0.2:83", "[2001:db8::2]:83"], CLOSED),
    (&["198.19.0.2:84", "[2001:db8::2]:84"], SILENT),
    (&["198.19.0.2:85", "[2001:db8::2]:85", "198.19.0.2:86", "[2001:db8::2]:86"], SILENT),
    // A dead neighbour; a dead neighbour of the router, no route from there, no hop left.
    (&["198.19.0.99:80"], (Some("unreachable"), "no answer to ARP")),
    (&["[2001:db8::99]:80"], (Some("unreachable"), "no answer to neighbour discovery")),
    (&["198.19.2.99:80"], (Some("unreachable"), "ICMP host unreachable from 198.19.0.2")),
    (&["[2001:db8:3::99]:80"], (Some("unreachable"), "ICMP address unreachable from 2001:db8::2")),
    (&["[2001:db8:4::1]:80"], (Some("unreachable"), "ICMP no route from 2001:db8::2")),
    (&["--ttl 1 198.19.2.2:80"], (Some("filtered"), "ICMP TTL exceeded from 198.19.0.2")),
    (
        &["--ttl 1 [2001:db8:3::2]:80"],
        (Some("filtered"), "ICMP hop limit exceeded from 2001:db8::2"),
    ),
    // No way out of this machine.
    (
        &["198.19.77.1:80", "[2001:db8:77::1]:80", "198.18.204.1:80", "[2001:db8:1:0:204::1]:80"],
        NO_ROUTE,
    ),
    (
        &["198.18.201.1:80", "[2001:db8:1:0:201::1]:80"],
        (Some("unreachable"), "blackhole route on this machine"),
    ),
    (
        &["198.18.202.1:80", "[2001:db8:1:0:202::1]:80"],
        (Some("unreachable"), "no route to host on this machine"),
    ),
    (
        &["198.18.203.1:80", "[2001:db8:1:0:203::1]:80"],
        (Some("unreachable"), "prohibited by a route of this machine"),
    ),
    (&["--interface client1 198.19.1.2:80", "--interface client1 [2001:db8:2::2]:80"], NO_ROUTE),
    // Cases without a verdict.
    (&["198.19.0.255:80"], (None, "198.19.0.255 is a broadcast address")),
    (&["--source 198.19.0.77 198.19.0.2:80"], (None, "cannot send from 198.19.0.77 ")),
    (&["--source 2001:db8::77 [2001:db8::2]:80"], (None, "cannot send from 2001:db8::77 ")),
    (&["--source 2001:db8::1 198.19.0.2:80"], (None, "the source address 2001:db8::1 is not of ")),
    (&["--interface nowhere0 198.19.0.2:80"], (None, "cannot set interface nowhere0 ")),
    // This machine's own firewall rejects by ICMP, from the address that the SYN would have left
    // from.
    (&["198.19.0.2:92", "[2001:db8::2]:92", "198.19.0.2:93", "[2001:db8::2]:93"], FORBIDDEN_HERE),
    (&["198.19.0.2:94", "[2001:db8::2]:94"], FORBIDDEN_HERE),
];

/// Cases in which the kernel's handshake shows less: the ending by raw sockets, and by the kernel's
/// handshake.
const DIFFERENT: &[(&[&str], Ending, Ending)] = &[
    // The kernel does not report that its own firewall dropped the SYN.
    (&["198.19.0.2:90", "[2001:db8::2]:90"], FORBIDDEN_HERE, SILENT),
    // Or that its own firewall sent the answer.
    (&["198.19.0.2:91", "[2001:db8::2]:91"], FORBIDDEN_HERE, CLOSED),
];

/// The first of the server's ports that its firewall rejects, each in another way.
const REJECTED: u16 = 9000;

#[test]
fn the_engines_agree() {
    let world = World::new();
    let [raw, connect] = ["raw", "connect"].map(|engine| world.check_each(engine));
    for (words, by_raw, by_connect) in cases() {
        assert_ending(&words, &raw[&words], by_raw);
        assert_ending(&words, &connect[&words], by_connect);
        if by_raw == by_connect {
            let cause = |verdict: &Verdict| verdict.reason.split(" in ").next().map(str::to_owned);
            assert_eq!(cause(&raw[&words]), cause(&connect[&words]), "{words}");
        }
    }
}

/// Each target of a pool gets the verdict that it gets alone.
#[test]
fn a_pool_by_the_kernels_handshake_agrees_too() {
    let world = World::new();
    let targets: Vec<_> = cases().filter(|(words, ..)| !words.starts_with("--")).collect();
    let words: Vec<_> = targets.iter().map(|(words, ..)| words.as_str()).collect();
    let options = ["-o", "json", "-t", "7", "--engine", "connect"];
    let pool = Findings::of(&world.lab.check(&[&options[..], &words].concat()));
    for (words, _, (state, reason)) in &targets {
        let finding = pool.of_target(words);
        assert_eq!(finding.state.as_deref(), *state, "{finding:?}");
        assert!(finding.reason.starts_with(reason), "{finding:?}");
    }
    assert_eq!((pool.code, pool.all.len()), (2, targets.len()));
}

/// A kernel tells an IPv4 host at most five times that it has no route, and not at all while it
/// rejects other packets of that host without a limit (`ip_error()`). So this test has a lab of its
/// own.
#[test]
fn they_agree_on_a_router_without_a_route() {
    for engine in ["raw", "connect"] {
        let lab = Lab::new();
        let _far = host_behind_the_server(&lab);
        lab.client.configure(&["route add 198.19.3.0/24 via 198.19.0.2"]);
        let verdict = lab.verdict(&["--engine", engine, "-t", "3.5", "198.19.3.1", "80"]);
        let ending = (Some("unreachable"), "ICMP net unreachable from 198.19.0.2");
        assert_ending(engine, &verdict, ending);
    }
}

#[test]
fn they_agree_on_a_machine_without_an_address() {
    for engine in ["raw", "connect"] {
        let lab = Lab::new();
        for device in ["lo", "client0"] {
            lab.client.configure(&[&format!("link set {device} down")]);
            lab.client.run("ip", &["address", "flush", "dev", device]);
        }
        let check = |server| lab.verdict(&["--engine", engine, "-t", "3.5", server, "80"]);
        assert_ending(engine, &check("198.19.0.2"), NO_ROUTE);
        assert_ending(engine, &check("2001:db8::2"), NO_ROUTE);
    }
}

/// The words of each check, and its ending by raw sockets and by the kernel's handshake.
fn cases() -> impl Iterator<Item = (String, Ending, Ending)> {
    let alike = ALIKE.iter().map(|(words, ending)| (words, *ending, *ending));
    let different = DIFFERENT.iter().map(|(words, raw, connect)| (words, *raw, *connect));
    let listed = alike.chain(different).flat_map(|(words, by_raw, by_connect)| {
        words.iter().map(move |words| ((*words).to_owned(), by_raw, by_connect))
    });
    listed.chain(rejections().map(|(address, (_, _, state))| {
        let ending = (Some(state), "ICMP ");
        (address.to_string(), ending, ending)
    }))
}

/// Ports that the server's firewall rejects, and how.
fn rejections() -> impl Iterator<Item = (SocketAddr, Rejection)> {
    let of = |server, table: &'static [Rejection]| {
        (REJECTED..).zip(table).map(move |(port, kind)| (SocketAddr::new(server, port), *kind))
    };
    of(SERVER_V4, &REJECTIONS_V4).chain(of(SERVER_V6, &REJECTIONS_V6))
}

#[track_caller]
fn assert_ending(words: &str, verdict: &Verdict, (state, reason): (Option<&str>, &str)) {
    let code = match state {
        Some("open") => 0,
        Some(_) => 2,
        None => 3,
    };
    assert_eq!(verdict.ending(), (state, code), "{words}: {verdict:?}");
    assert!(verdict.reason.starts_with(reason), "{words}: {verdict:?}");
}

/// Everything that the targets need.
struct World {
    lab: Lab,
    _far: Namespace,
    _listeners: Vec<TcpListener>,
    _waiting: [TcpStream; 2],
}

impl World {
    fn new() -> Self {
        let lab = Lab::new();
        lab.second_cable();
        let far = host_behind_the_server(&lab);
        far.sysctl("net.ipv4.tcp_syncookies", "2");
        send_every_icmp_error(&lab.server);
        raise_firewalls(&lab);
        lay_routes(&lab);
        let mut listeners = Vec::new();
        for (host, port) in [
            (&lab.server, 80),
            (&lab.server, 85),
            (&lab.server, 86),
            (&far, 80),
            (&lab.client, 7777),
        ] {
            let any = ["0.0.0.0", "::"].map(|any| any.parse().expect("an address"));
            listeners.extend(any.map(|any| listen(host, SocketAddr::new(any, port), 128)));
        }
        let waiting = [SERVER_V4, SERVER_V6].map(|server| {
            listeners.push(listen(&lab.server, SocketAddr::new(server, 84), 0));
            lab.client.enter(|| TcpStream::connect((server, 84)).expect("there is room for one"))
        });
        Self { lab, _far: far, _listeners: listeners, _waiting: waiting }
    }

    /// Runs a program for each of the words, side by side, and returns how each check ended.
    fn check_each(&self, engine: &str) -> BTreeMap<String, Verdict> {
        let check = |words: &str| {
            let options = ["--engine", engine, "-t", "7"];
            self.lab.verdict(&options.into_iter().chain(words.split(' ')).collect::<Vec<_>>())
        };
        thread::scope(|scope| {
            let begin =
                |(words, ..): (String, _, _)| (words.clone(), scope.spawn(move || check(&words)));
            let checks: Vec<_> = cases().map(begin).collect();
            let end = |(words, check): (_, ScopedJoinHandle<_>)| {
                (words, check.join().expect("a verdict"))
            };
            checks.into_iter().map(end).collect()
        })
    }
}

fn raise_firewalls(lab: &Lab) {
    let reject = |(address, (name, ..)): (SocketAddr, Rejection)| {
        let (version, messages) =
            if address.is_ipv4() { ("ipv4", "icmp") } else { ("ipv6", "icmpv6") };
        let port = address.port();
        format!("meta nfproto {version} tcp dport {port} reject with {messages} type {name};")
    };
    lab.server.nft(&format!(
        "table inet t {{
             chain in {{
                 type filter hook input priority 0;
                 tcp dport 82 drop; tcp dport 83 reject with tcp reset;
                 {}
             }}
             chain out {{ type filter hook output priority 0; tcp sport 85 drop; }}
         }}",
        rejections().map(reject).collect::<String>()
    ));
    lab.client.nft(
        "table inet t {
             chain in { type filter hook input priority 0; tcp sport 86 drop; }
             chain out {
                 type filter hook output priority 0;
                 tcp dport 90 drop;
                 tcp dport 91 reject with tcp reset;
                 tcp dport 92 reject with icmpx type port-unreachable;
                 tcp dport 93 reject with icmpx type admin-prohibited;
                 tcp dport 94 reject with icmpx type host-unreachable;
             }
         }",
    );
}

/// Routes that lead nowhere, and neighbours that are given up soon.
fn lay_routes(lab: &Lab) {
    lab.client.configure(&["route add 2001:db8:4::/64 via 2001:db8::2", "link set client1 down"]);
    for (number, kind) in
        [(201, "blackhole"), (202, "unreachable"), (203, "prohibit"), (204, "throw")]
    {
        lab.client.configure(&[
            &format!("route add {kind} 198.18.{number}.0/24"),
            &format!("route add {kind} 2001:db8:1:0:{number}::/80"),
        ]);
    }
    for family in ["ipv4", "ipv6"] {
        lab.client.sysctl(&format!("net.{family}.neigh.client0.retrans_time_ms"), "100");
        lab.server.sysctl(&format!("net.{family}.neigh.server2.retrans_time_ms"), "100");
    }
}

fn listen(host: &Namespace, address: SocketAddr, backlog: i32) -> TcpListener {
    host.enter(|| {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::STREAM, None).expect("a TCP socket");
        if address.is_ipv6() {
            socket.set_only_v6(true).expect("an IPv6 socket");
        }
        socket.bind(&address.into()).expect("a free port");
        socket.listen(backlog).expect("listens");
        socket.into()
    })
}
