//! A target's endpoint in few bytes.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// What is stored as the scope of an IPv4 endpoint. No interface has that index.
const IPV4: u32 = u32::MAX;

/// A socket address without flow label: 22 bytes instead of 32.
#[repr(Rust, packed(2))]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Endpoint {
    /// An IPv4 address is mapped to IPv6 (RFC 4291 §2.5.5.2).
    address: [u8; 16],
    /// The interface of a link-local address.
    scope: u32,
    port: u16,
}

impl From<SocketAddr> for Endpoint {
    fn from(endpoint: SocketAddr) -> Self {
        let (address, scope) = match endpoint {
            SocketAddr::V4(endpoint) => (endpoint.ip().to_ipv6_mapped(), IPV4),
            SocketAddr::V6(endpoint) => (*endpoint.ip(), endpoint.scope_id()),
        };
        Self { address: address.octets(), scope, port: endpoint.port() }
    }
}

impl From<Endpoint> for SocketAddr {
    fn from(Endpoint { address, scope, port }: Endpoint) -> Self {
        let address = Ipv6Addr::from(address);
        match IpAddr::from(address).to_canonical() {
            IpAddr::V4(address) if scope == IPV4 => (address, port).into(),
            _ => SocketAddrV6::new(address, port, 0, scope).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_comes_back_as_it_was() {
        for endpoint in
            ["192.0.2.7:80", "[2001:db8::7]:65535", "[::ffff:192.0.2.7]:80", "[fe80::7%3]:1"]
        {
            let endpoint: SocketAddr = endpoint.parse().unwrap();
            assert_eq!(SocketAddr::from(Endpoint::from(endpoint)), endpoint);
        }
        assert_eq!(size_of::<Endpoint>(), 22);
    }
}
