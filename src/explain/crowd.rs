//! Which of many targets are explained.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// This many targets are explained whatever their addresses. After that, one per network is.
const FIRST: usize = 100;

/// The targets that were to be explained so far.
#[derive(Default)]
pub(super) struct Crowd {
    count: usize,
    networks: HashSet<IpAddr>,
}

impl Crowd {
    /// Returns true if a target with this address is to be explained, and counts it.
    pub(super) fn admits(&mut self, address: IpAddr) -> bool {
        self.count += 1;
        let is_new = self.networks.insert(network(address));
        self.count <= FIRST || is_new
    }
}

/// Returns the /24 or /64 that an address is in.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            Ipv4Addr::new(a, b, c, 0).into()
        }
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}
