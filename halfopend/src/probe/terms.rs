//! What the configuration allows.

use std::collections::HashMap;
use std::net::SocketAddr;

use halfopen::resolve::interface_index;
use halfopen::target::{Hosts, Target, is_one_host};
use ipnetwork::IpNetwork;

use crate::config::{Config, ModuleConfig};

/// Blocks of addresses that are this machine, its links, or no host of the Internet. Larger blocks
/// of the configuration do not include them.
const SPECIAL: [&str; 7] = [
    "0.0.0.0/8",      // this network (RFC 791 §3.2)
    "127.0.0.0/8",    // loopback (RFC 1122 §3.2.1.3)
    "169.254.0.0/16", // link-local (RFC 3927)
    "224.0.0.0/3",    // multicast, reserved, broadcast
    "::/96",          // unspecified, loopback, IPv4-compatible (RFC 4291 §2.5.5.1)
    "fe80::/10",      // link-local
    "ff00::/8",       // multicast
];

/// What may be checked on demand, and how.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    allow: Vec<Target>,
    special: Vec<IpNetwork>,
    modules: HashMap<Box<str>, ModuleConfig>,
    /// The most checks at the same time.
    pub max_in_flight: usize,
    /// The index of the engine that the segments leave by.
    pub engine: usize,
}

impl Terms {
    /// Returns the terms of a configuration.
    ///
    /// # Panics
    ///
    /// Never: the special blocks are blocks.
    pub fn of(config: &Config) -> Self {
        let (allow, max_in_flight, engine) = match &config.probe {
            Some(probe) => (probe.allow.clone(), probe.max_in_flight, probe.engine),
            None => (Vec::new(), 0, 0),
        };
        let module = |module: &ModuleConfig| (module.name.clone(), module.clone());
        Self {
            allow,
            special: SPECIAL.map(|block| block.parse().expect("a block")).into(),
            modules: config.modules.iter().map(module).collect(),
            max_in_flight: usize::try_from(max_in_flight).unwrap_or(usize::MAX),
            engine,
        }
    }

    /// Returns true if some address may be checked at this port.
    pub fn allow_port(&self, port: u16) -> bool {
        self.allow.iter().any(|target| has_port(target, port))
    }

    /// Returns true if this endpoint may be checked.
    pub fn allow(&self, endpoint: SocketAddr) -> bool {
        let address = endpoint.ip().to_canonical();
        if !is_one_host(address) {
            return false;
        }
        let special = self.special.iter().find(|special| special.contains(address));
        let is_listed = |target: &Target| match &target.hosts {
            Hosts::Block(block) => {
                block.contains(address) && special.is_none_or(|special| is_within(block, special))
            }
            Hosts::LinkLocal(listed, scope) => {
                *listed == address && interface_index(scope).ok() == scope_of(endpoint)
            }
            Hosts::Name(_) => false,
        };
        self.allow.iter().any(|target| has_port(target, endpoint.port()) && is_listed(target))
    }

    /// Returns the module of that name, or the defaults if there is no name.
    pub fn module(&self, name: Option<&str>) -> Option<ModuleConfig> {
        let Some(name) = name else { return Some(ModuleConfig::named("")) };
        self.modules.get(name).cloned()
    }
}

fn has_port(target: &Target, port: u16) -> bool {
    target.ports.ranges().iter().any(|range| range.contains(&port))
}

fn scope_of(endpoint: SocketAddr) -> Option<u32> {
    match endpoint {
        SocketAddr::V6(v6) => Some(v6.scope_id()),
        SocketAddr::V4(_) => None,
    }
}

fn is_within(block: &IpNetwork, other: &IpNetwork) -> bool {
    other.contains(block.ip()) && block.prefix() >= other.prefix()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ProbeConfig;

    fn terms(allow: &[&str]) -> Terms {
        let allow = allow.iter().map(|target| target.parse().unwrap()).collect();
        let probe = Some(ProbeConfig { allow, max_in_flight: 1, engine: 0 });
        Terms::of(&Config { probe, ..Config::of_targets(Vec::new()) })
    }

    fn allowed(terms: &Terms, endpoint: &str) -> bool {
        terms.allow(endpoint.parse().unwrap())
    }

    #[test]
    fn nothing_is_allowed_that_is_not_listed() {
        let none = Terms::of(&Config::of_targets(Vec::new()));
        assert!(!allowed(&none, "192.0.2.1:80"));
        let terms = terms(&["192.0.2.0/24:25,443", "[2001:db8::/64]:443"]);
        for endpoint in ["192.0.2.0:25", "192.0.2.255:443", "[2001:db8::ffff]:443"] {
            assert!(allowed(&terms, endpoint), "{endpoint}");
        }
        // An IPv4-mapped address is the IPv4 address.
        assert!(allowed(&terms, "[::ffff:192.0.2.1]:25"));
        for endpoint in ["192.0.2.1:80", "192.0.3.1:25", "[2001:db8::1]:25", "[2001:db9::1]:443"] {
            assert!(!allowed(&terms, endpoint), "{endpoint}");
        }
        assert!(terms.allow_port(25) && !terms.allow_port(80));
    }

    #[test]
    fn special_addresses_are_allowed_only_if_they_are_listed_as_such() {
        let wide = terms(&["64.0.0.0/2:80", "168.0.0.0/5:80", "1.0.0.0/8:80", "[8000::/2]:80"]);
        assert!(allowed(&wide, "126.0.0.1:80") && allowed(&wide, "169.253.0.1:80"));
        for endpoint in ["127.0.0.1:80", "127.9.9.9:80", "[::ffff:127.0.0.1]:80", "169.254.1.1:80"]
        {
            assert!(!allowed(&wide, endpoint), "{endpoint}");
        }
        let listed = terms(&["127.0.0.0/8:80", "169.254.169.254:80", "[::1]:80"]);
        for endpoint in ["127.0.0.1:80", "[::ffff:127.0.0.1]:80", "169.254.169.254:80", "[::1]:80"]
        {
            assert!(allowed(&listed, endpoint), "{endpoint}");
        }
        assert!(!allowed(&listed, "169.254.169.253:80"));
    }

    #[test]
    fn what_is_no_host_is_never_allowed() {
        // Such blocks cannot be written, but they end in one another's middle.
        let wide = terms(&["192.0.0.0/4:80", "[e000::/4]:80", "240.0.0.0/5:80"]);
        for endpoint in [
            "0.0.0.0:80",
            "224.0.0.1:80",
            "255.255.255.255:80",
            "[::]:80",
            "[::ffff:0.0.0.0]:80",
            "[::ffff:224.0.0.1]:80",
            "[ff02::1]:80",
        ] {
            assert!(!allowed(&wide, endpoint), "{endpoint}");
        }
    }

    #[test]
    fn a_link_local_address_is_allowed_on_its_own_link() {
        let terms = terms(&["[fe80::1%lo]:80"]);
        assert!(allowed(&terms, "[fe80::1%1]:80"));
        for endpoint in ["[fe80::1]:80", "[fe80::1%2]:80", "[fe80::2%1]:80"] {
            assert!(!allowed(&terms, endpoint), "{endpoint}");
        }
    }
}
