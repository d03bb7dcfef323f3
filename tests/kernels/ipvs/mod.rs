//! IPVS, the kernel's load balancer: checks of it, and checks that steer it.

mod daemons;
mod hook;
mod methods;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use crate::support::modules::load;
use crate::support::process::wait_until;
use lab::{Lab, Namespace};

const VIRTUAL_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 1));
const VIRTUAL_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1));
const REAL_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 7));
const REAL_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 7));

/// How a director passes packets on to real servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Nat,
    DirectRouting,
    Tunnel,
}

impl Method {
    const ALL: [Self; 3] = [Self::Nat, Self::DirectRouting, Self::Tunnel];

    /// Returns its names for ipvsadm, keepalived and ldirectord.
    fn names(self) -> [&'static str; 3] {
        match self {
            Self::Nat => ["--masquerading", "NAT", "masq"],
            Self::DirectRouting => ["--gatewaying", "DR", "gate"],
            Self::Tunnel => ["--ipip", "TUN", "ipip"],
        }
    }
}

/// A client, a director, and a host with the real servers.
///
/// ```text
///   client --front-- director --(the cable of the lab)-- servers
///      +---------------------back--------------------------+
/// ```
///
/// The servers have every address of the lab's blocks, the virtual ones included. Their answers go
/// through the director with NAT, and by the cable at the back otherwise.
struct Cluster {
    client: Namespace,
    director: Namespace,
    servers: Namespace,
    application: Option<TcpListener>,
}

impl Cluster {
    fn new(method: Method) -> Self {
        load(&["ip_vs", "ip_vs_rr", "ip_vs_wlc", "ipip", "ip6_tunnel"]);
        let (client, Lab { client: director, server: servers }) = (Namespace::new(), Lab::new());
        client.cable("front0", &director, "front1");
        client.address("front0", &["198.19.2.1/24", "2001:db8:3::1/64"]);
        director.address("front1", &["198.19.2.2/24", "2001:db8:3::2/64"]);
        client.cable("back0", &servers, "back1");
        client.address("back0", &["198.19.3.1/24", "2001:db8:4::1/64"]);
        servers.address("back1", &["198.19.3.2/24", "2001:db8:4::2/64"]);
        client.configure(&[
            "route add 198.18.0.0/16 via 198.19.2.2",
            "route add 2001:db8:1::/64 via 2001:db8:3::2",
        ]);
        director.configure(&[
            "address add 198.18.0.1/32 dev lo",
            "address add 2001:db8:1::1/128 dev lo",
        ]);
        // It says that there is no server as often as it is asked.
        director.sysctl("net.ipv4.icmp_ratelimit", "0");
        director.sysctl("net.ipv6.icmp.ratelimit", "0");
        director.sysctl("net.ipv4.ip_forward", "1");
        director.sysctl("net.ipv6.conf.all.forwarding", "1");
        let [v4, v6] = if method == Method::Nat {
            ["198.19.0.1", "2001:db8::1"]
        } else {
            ["198.19.3.1", "2001:db8:4::1"]
        };
        servers.configure(&[
            &format!("route add 198.19.2.0/24 via {v4}"),
            &format!("route add 2001:db8:3::/64 via {v6}"),
        ]);
        if method == Method::Tunnel {
            servers.configure(&[
                "link set tunl0 up",
                "link set ip6tnl0 up",
                // ip6_tunnel takes packets to addresses of interfaces only.
                "address add 2001:db8:1::7/128 dev lo",
            ]);
        }
        let mut cluster = Self { client, director, servers, application: None };
        cluster.start_application();
        cluster
    }

    /// Opens port 25 of every server, for both families.
    fn start_application(&mut self) {
        let any = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 25);
        self.application = Some(self.servers.listen(any));
    }

    /// Closes it, and waits until no process that another test starts has a copy of the listener.
    fn stop_application(&mut self) {
        self.application = None;
        wait_until(|| self.servers.run("ss", &["-Hltn"]).is_empty());
    }

    /// Drops what arrives for it.
    fn cut_off(&self) {
        self.servers.nft(
            "table inet broken { chain in { type filter hook input priority 0; tcp dport 25 drop; }; }",
        );
    }

    fn reconnect(&self) {
        self.servers.nft("delete table inet broken");
    }

    /// Returns the real servers in the kernel's table that get connections, in order. The kernel's
    /// order depends on where its memory is.
    fn table(&self) -> Vec<SocketAddr> {
        let shown = self
            .director
            .enter(|| fs::read_to_string("/proc/thread-self/net/ip_vs"))
            .expect("ip_vs is loaded");
        let server = |line: &str| {
            let mut words = line.strip_prefix("  -> ")?.split_whitespace();
            let (server, _, weight) = (words.next()?, words.next()?, words.next()?);
            parsed(server).filter(|_| weight != "0")
        };
        let mut servers: Vec<_> = shown.lines().filter_map(server).collect();
        servers.sort();
        servers
    }
}

/// Reads `C6120007:0019` or `[2001:0db8:0001:0000:0000:0000:0000:0007]:0019`.
fn parsed(server: &str) -> Option<SocketAddr> {
    let (address, port) = server.rsplit_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let address = match address.strip_prefix('[') {
        Some(v6) => IpAddr::V6(v6.strip_suffix(']')?.parse().ok()?),
        None => IpAddr::V4(u32::from_str_radix(address, 16).ok()?.into()),
    };
    Some(SocketAddr::new(address, port))
}
