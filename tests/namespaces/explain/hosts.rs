//! The client, a host on its link, and one behind that: the first is the router of the second.

use std::fs;
use std::net::{IpAddr, SocketAddr};

use crate::support::rejections::{host_behind_the_server, send_every_icmp_error};
use crate::support::tun::Family;
use lab::{Lab, Namespace, SERVER_V4, SERVER_V6};

/// The client, the router or near host, and the far host.
pub(super) struct Hosts {
    pub(super) lab: Lab,
    pub(super) far: Namespace,
}

impl Hosts {
    pub(super) fn new() -> Self {
        let lab = Lab::new();
        let far = host_behind_the_server(&lab);
        send_every_icmp_error(&lab.server);
        send_every_icmp_error(&far);
        for host in [&lab.client, &lab.server, &far] {
            let_many_icmp_errors_leave(host);
        }
        Self { lab, far }
    }

    /// Returns each host, how far away it is, and its address.
    pub(super) fn each(&self, family: Family) -> [(&Namespace, &'static str, IpAddr); 2] {
        [(&self.lab.server, "near", near(family)), (&self.far, "far", far(family))]
    }
}

/// Raises the limit of errors to all hosts together. Before Linux 6.12 all network namespaces share
/// it, and only the root of the machine can raise it.
fn let_many_icmp_errors_leave(host: &Namespace) {
    for (name, value) in [("icmp_msgs_per_sec", "1000000"), ("icmp_msgs_burst", "100000")] {
        if lab::kernel() >= (6, 12) {
            host.sysctl(&format!("net.ipv4.{name}"), value);
        } else {
            let _ = fs::write(format!("/proc/sys/net/ipv4/{name}"), value);
        }
    }
}

pub(super) fn near(family: Family) -> IpAddr {
    match family {
        Family::V4 => SERVER_V4,
        Family::V6 => SERVER_V6,
    }
}

pub(super) fn far(family: Family) -> IpAddr {
    address(family, "198.19.2.2", "2001:db8:3::2")
}

/// Returns an address behind the router that no host has.
pub(super) fn dead(family: Family) -> IpAddr {
    address(family, "198.19.2.99", "2001:db8:3::99")
}

pub(super) fn address(family: Family, v4: &str, v6: &str) -> IpAddr {
    let text = match family {
        Family::V4 => v4,
        Family::V6 => v6,
    };
    text.parse().expect("an address")
}

/// Adds rules to what a host receives (`input`), or passes on (`forward`).
pub(super) fn filter(host: &Namespace, hook: &str, rules: &str) {
    host.nft(&format!(
        "table inet {hook} {{ chain c {{ type filter hook {hook} priority 0; {rules} }}; }}"
    ));
}

/// Makes the cable between the client and the router lose one packet in ten in each direction.
pub(super) fn lose_one_in_ten(lab: &Lab) {
    for (host, interface) in [(&lab.client, "client0"), (&lab.server, "server0")] {
        host.nft(&format!(
            "table inet loss {{ chain c {{
               type filter hook prerouting priority -400;
               icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept;
               iifname {interface} numgen random mod 100 < 10 drop;
             }}; }}"
        ));
    }
}

pub(super) fn endpoint(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address, port)
}
