//! Firewalls and routers that answer with ICMP errors.

use lab::{Lab, Namespace};

/// A firewall's way to reject, the ICMP type and code that it sends, and the state and exit code
/// that they mean.
pub(crate) type Rejection = (&'static str, &'static str, &'static str);

pub(crate) const REJECTIONS_V4: [Rejection; 7] = [
    ("net-unreachable", "ICMP 3/0", "unreachable"),
    ("host-unreachable", "ICMP 3/1", "unreachable"),
    ("prot-unreachable", "ICMP 3/2", "unreachable"),
    ("port-unreachable", "ICMP 3/3", "closed"),
    ("net-prohibited", "ICMP 3/9", "filtered"),
    ("host-prohibited", "ICMP 3/10", "filtered"),
    ("admin-prohibited", "ICMP 3/13", "filtered"),
];

pub(crate) const REJECTIONS_V6: [Rejection; 6] = [
    ("no-route", "ICMP 1/0", "unreachable"),
    ("admin-prohibited", "ICMP 1/1", "filtered"),
    ("addr-unreachable", "ICMP 1/3", "unreachable"),
    ("port-unreachable", "ICMP 1/4", "closed"),
    ("policy-fail", "ICMP 1/5", "filtered"),
    ("reject-route", "ICMP 1/6", "filtered"),
];

/// A host, 198.19.2.2 and `2001:db8:3::2`, for which the server is the router.
pub(crate) fn host_behind_the_server(lab: &Lab) -> Namespace {
    let far = Namespace::new();
    lab.server.cable("server2", &far, "far0");
    lab.server.sysctl("net.ipv4.ip_forward", "1");
    lab.server.sysctl("net.ipv6.conf.all.forwarding", "1");
    lab.server.address("server2", &["198.19.2.1/24", "2001:db8:3::1/64"]);
    far.address("far0", &["198.19.2.2/24", "2001:db8:3::2/64"]);
    far.configure(&["route add default via 198.19.2.1", "route add default via 2001:db8:3::1"]);
    lab.client.configure(&[
        "route add 198.19.2.0/24 via 198.19.0.2",
        "route add 2001:db8:3::/64 via 2001:db8::2",
    ]);
    far
}

/// By default, a kernel sends one host six errors at once and then one per second.
pub(crate) fn send_every_icmp_error(host: &Namespace) {
    host.sysctl("net.ipv4.icmp_ratelimit", "0");
    host.sysctl("net.ipv6.icmp.ratelimit", "0");
}
