//! The lab with the backends of a caller's configuration, in known states.

use std::net::{IpAddr, SocketAddr, TcpListener};

use lab::Lab;

const OPEN: [&str; 2] = ["198.18.0.7", "2001:db8:1::7"];
const DROPPED: [&str; 2] = ["198.18.0.9", "2001:db8:1::9"];

/// Port 25 is open on .7, closed on .8, and dropped by a firewall on .9, over IPv4 and IPv6.
pub(crate) struct Pool {
    pub(crate) lab: Lab,
    _listeners: Vec<TcpListener>,
}

impl Pool {
    pub(crate) fn new() -> Self {
        let lab = Lab::new();
        let [v4, v6] = DROPPED;
        lab.server.nft(&format!(
            "table inet dropped {{ chain in {{ type filter hook input priority 0; ip daddr {v4} drop; ip6 daddr {v6} drop; }}; }}"
        ));
        let listeners =
            OPEN.map(|address| lab.server.listen(SocketAddr::new(ip(address), 25))).into();
        Self { lab, _listeners: listeners }
    }

    /// Drops all SYNs to the backends from now on.
    pub(crate) fn break_backends(&self) {
        self.lab.server.nft(
            "table inet broken { chain in { type filter hook input priority 0; tcp dport 25 drop; }; }",
        );
    }

    pub(crate) fn mend_backends(&self) {
        self.lab.server.nft("delete table inet broken");
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}
