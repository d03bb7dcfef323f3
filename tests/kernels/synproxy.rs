//! A firewall that answers SYNs itself, and connects to the server only when the client has proven
//! that it exists (SYNPROXY of netfilter).

use std::collections::HashSet;
use std::io::{ErrorKind, Read};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};

use crate::support::ENGINES;
use lab::{Captured, Lab, Namespace};

const V4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 19, 5, 2));
const V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 5, 0, 0, 0, 0, 2));

/// The client of the lab, whose server is the firewall here, and a server behind that. The firewall
/// answers for ports 80 (open on the server) and 81 (closed).
struct Guarded {
    lab: Lab,
    server: Namespace,
    listeners: Vec<TcpListener>,
}

impl Guarded {
    fn new() -> Self {
        let (lab, server) = (Lab::new(), Namespace::new());
        let firewall = &lab.server;
        firewall.cable("inside0", &server, "guarded0");
        firewall.address("inside0", &["198.19.5.1/24", "2001:db8:5::1/64"]);
        server.address("guarded0", &["198.19.5.2/24", "2001:db8:5::2/64"]);
        server.configure(&["route add default via 198.19.5.1", "route add ::/0 via 2001:db8:5::1"]);
        lab.client.configure(&[
            "route add 198.19.5.0/24 via 198.19.0.2",
            "route add 2001:db8:5::/64 via 2001:db8::2",
        ]);
        firewall.sysctl("net.ipv4.ip_forward", "1");
        firewall.sysctl("net.ipv6.conf.all.forwarding", "1");
        firewall.nft(
            "table inet proxy {
               chain early { type filter hook prerouting priority raw; iifname server0 tcp dport 80-81 tcp flags syn notrack; }
               chain forward { type filter hook forward priority filter;
                 tcp dport 80-81 ct state invalid,untracked synproxy mss 1460 wscale 7 timestamp sack-perm;
                 ct state invalid drop; }
             }",
        );
        // A segment that belongs to no known connection does not begin one.
        firewall.sysctl("net.netfilter.nf_conntrack_tcp_loose", "0");
        let listeners = [V4, V6].map(|address| server.listen(SocketAddr::new(address, 80))).into();
        Self { lab, server, listeners }
    }

    fn state(&self, engine: &str, address: IpAddr, port: &str) -> Option<String> {
        self.lab.verdict(&["--engine", engine, "-t", "2", &address.to_string(), port]).state
    }

    /// Whether nmap, whose SYNs have a complete checksum too, finds port 80 open. Some kernels drop
    /// such SYNs over IPv6: docs/kernels.md.
    fn open_to_nmap(&self, address: IpAddr) -> bool {
        let family: &[&str] = if address.is_ipv6() { &["-6"] } else { &[] };
        let address = address.to_string();
        let scan = ["-n", "-Pn", "-sS", "-p", "80", "-oG", "-", &address];
        let told = self.lab.client.run("nmap", &[family, &scan].concat());
        assert!(told.contains("Ports: 80/"), "{told}");
        told.contains("80/open/")
    }
}

/// The SYN+ACK is the firewall's, so it says nothing about the server: docs/verdicts.md.
#[test]
#[ignore = "for scripts/kernels"]
fn a_syn_proxy_answers_for_live_and_dead_servers_alike() {
    let guarded = Guarded::new();
    for address in [V4, V6] {
        // A client learns the truth when the connection is there.
        let read = |port| {
            let connect = || TcpStream::connect((address, port))?.read(&mut [0]);
            guarded.lab.client.enter(connect)
        };
        let accepting = &guarded.listeners[usize::from(address.is_ipv6())];
        std::thread::scope(|scope| {
            scope.spawn(|| drop(accepting.accept()));
            assert_eq!(read(80).expect("the server closes the connection"), 0);
        });
        let error = read(81).expect_err("the firewall resets the connection");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);

        let open_to_nmap = guarded.open_to_nmap(address);
        assert!(open_to_nmap || address.is_ipv6() && lab::kernel() < (7, 2), "{address}");
        for engine in ENGINES {
            let before = guarded.lab.client.capture("client0");
            let behind = guarded.server.capture("guarded0");
            let dropped = engine == "raw" && !open_to_nmap;
            let expected = if dropped { "filtered" } else { "open" };
            for port in ["80", "81"] {
                let state = guarded.state(engine, address, port);
                assert_eq!(state.as_deref(), Some(expected), "{engine}, {address}, {port}");
            }
            assert_eq!(guarded.state(engine, address, "82").as_deref(), Some("closed"), "{engine}");
            let mut answers = before.segments();
            // The first of each: the server's own may follow, if it repeats it to a slow firewall.
            let mut answered = HashSet::new();
            answers.retain(|segment| {
                segment.flags == "SYN+ACK" && answered.insert(segment.destination_port)
            });
            assert!(answers.iter().all(|answer| answer.window == 0), "{answers:?}");
            let answers =
                |segment: &Captured| (&*segment.flags, segment.source_port) == ("SYN+ACK", 80);
            let answered = behind.segments().iter().any(answers);
            // A bare RST ends the handshake with the firewall. The kernel's RST+ACK completes it:
            // docs/engines.md.
            assert_eq!(answered, engine == "connect", "{engine}, {address}");
        }
    }
}
