//! The laboratory: a client and a server host on one machine, and what tests do with them.
//!
//! ```text
//!   client namespace                                   server namespace
//!   client0  198.19.0.1/24   ──────── cable ────────   server0  198.19.0.2/24
//!            2001:db8::1/64                                     2001:db8::2/64
//!                                                      local:   198.18.0.0/16, 2001:db8:1::/64
//! ```
//!
//! The server has every address of the two local blocks, so one listener on 0.0.0.0 is 65,536
//! targets. The client reaches them through the server as its gateway.

mod capture;
mod clock;
mod kernel;
mod namespace;
mod program;
mod seeds;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;

pub use capture::{Capture, Captured, Direction};
pub use clock::{Times, own_clock, with_own_clock};
pub use kernel::kernel;
pub use namespace::Namespace;
pub use program::{Outcome, Running, Verdict, contained, halfopen, halfopen_path, patience, pause};
pub use seeds::try_seeds;

pub const CLIENT_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 19, 0, 1));
pub const SERVER_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 19, 0, 2));
pub const CLIENT_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
pub const SERVER_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2));
/// Addresses of the server that the client reaches by a route, not on the link.
pub const ROUTED_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 7));
pub const ROUTED_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 7));

/// Options of `setpriv` that leave root only `CAP_NET_RAW`.
pub const NET_RAW_ALONE: [&str; 2] = ["--bounding-set=-all,+net_raw", "--inh-caps=-all"];

/// Two hosts and the cable between them. They exist until the value is dropped.
pub struct Lab {
    pub client: Namespace,
    pub server: Namespace,
}

impl Lab {
    pub fn new() -> Self {
        let (client, server) = (Namespace::new(), Namespace::new());
        client.cable("client0", &server, "server0");
        client.address("client0", &["198.19.0.1/24", "2001:db8::1/64"]);
        server.address("server0", &["198.19.0.2/24", "2001:db8::2/64"]);
        client.configure(&[
            "route add 198.18.0.0/16 via 198.19.0.2",
            "route add 2001:db8:1::/64 via 2001:db8::2",
        ]);
        server.configure(&[
            "route add local 198.18.0.0/16 dev lo",
            "route add local 2001:db8:1::/64 dev lo",
        ]);
        // IPv6 lets a socket bind to an address of a local block only if configured to; IPv4 does
        // by itself.
        server.sysctl("net.ipv6.ip_nonlocal_bind", "1");
        Self { client, server }
    }

    /// Adds a second cable: from client1, 198.19.1.1 and `2001:db8:2::1`, to server1, .2 and `::2`.
    pub fn second_cable(&self) {
        self.client.cable("client1", &self.server, "server1");
        self.client.address("client1", &["198.19.1.1/24", "2001:db8:2::1/64"]);
        self.server.address("server1", &["198.19.1.2/24", "2001:db8:2::2/64"]);
    }

    /// Runs the program in the client's namespace, with a clock that load does not change.
    pub fn check(&self, arguments: &[&str]) -> Outcome {
        self.client.outcome(halfopen(arguments))
    }

    /// Runs the program as root with `CAP_NET_RAW` as its only capability.
    pub fn check_with_net_raw_alone(&self, arguments: &[&str]) -> Outcome {
        let mut command = Command::new("setpriv");
        command.args(NET_RAW_ALONE).arg(halfopen_path()).args(arguments);
        self.client.outcome(command)
    }

    /// Runs the program with `-o json`, and returns its verdict.
    pub fn verdict(&self, arguments: &[&str]) -> Verdict {
        self.check(&[&["-o", "json"], arguments].concat()).verdict()
    }
}
