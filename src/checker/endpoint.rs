//! A target's endpoint in few bytes.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

/// A socket address without flow label: 24 bytes instead of 32.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Endpoint {
    address: IpAddr,
    port: u16,
    /// The interface of a link-local address.
    scope: u32,
}

impl From<SocketAddr> for Endpoint {
    fn from(endpoint: SocketAddr) -> Self {
        let scope = match endpoint {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(endpoint) => endpoint.scope_id(),
        };
        Self { address: endpoint.ip(), port: endpoint.port(), scope }
    }
}

impl From<Endpoint> for SocketAddr {
    fn from(Endpoint { address, port, scope }: Endpoint) -> Self {
        match address {
            IpAddr::V4(address) => (address, port).into(),
            IpAddr::V6(address) => SocketAddrV6::new(address, port, 0, scope).into(),
        }
    }
}
