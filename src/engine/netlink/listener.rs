//! Listening sockets of this machine (`sock_diag(7)`).

use std::net::{IpAddr, Ipv6Addr};

use nix::libc;

use super::Netlink;
use super::message::{address, attributes, u32_at};
use crate::local_error::LocalError;

// Of `linux/sock_diag.h`, `linux/inet_diag.h` and `net/tcp_states.h`.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const INET_DIAG_SKV6ONLY: u16 = 11;
const TCP_LISTEN: u32 = 10;

/// The length of `struct inet_diag_req_v2` and that of `struct inet_diag_msg` in bytes.
const REQUEST: usize = 56;
const MESSAGE: usize = 72;

/// A listening TCP socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine) struct Listener {
    /// The address that it is bound to, in its own form if it is an IPv4 address.
    pub(in crate::engine) address: IpAddr,
    /// The index of the interface that it is bound to, or 0.
    pub(in crate::engine) device: u32,
    /// True if it has no IPv4 connections.
    pub(in crate::engine) only_v6: bool,
    /// How many connections wait to be accepted.
    pub(in crate::engine) queued: u32,
    pub(in crate::engine) backlog: u32,
}

impl Netlink {
    /// Opens a socket that asks about sockets, not about routes. It cannot be opened later, in a
    /// confined process.
    pub(in crate::engine) fn open_for_sockets() -> Result<Self, LocalError> {
        Self::open_protocol(libc::NETLINK_SOCK_DIAG)
    }

    /// Returns the TCP sockets that listen on `port` at any address.
    pub(in crate::engine) fn listeners(&self, port: u16) -> Result<Vec<Listener>, LocalError> {
        let mut listeners = Vec::new();
        for family in [libc::AF_INET, libc::AF_INET6] {
            let mut request = [0; REQUEST];
            request[0] = family.to_le_bytes()[0];
            request[1] = libc::IPPROTO_TCP.to_le_bytes()[0];
            request[4..8].copy_from_slice(&(1_u32 << TCP_LISTEN).to_ne_bytes());
            request[8..10].copy_from_slice(&port.to_be_bytes());
            self.list(SOCK_DIAG_BY_FAMILY, &request, usize::MAX, |message| {
                listeners.extend(Listener::read(message, port));
            })?;
        }
        Ok(listeners)
    }
}

impl Listener {
    /// Reads a `struct inet_diag_msg` and its attributes.
    fn read(message: &[u8], port: u16) -> Option<Self> {
        let (head, rest) = message.split_at_checked(MESSAGE)?;
        let is_v4 = i32::from(head[0]) == libc::AF_INET;
        let local = address(if is_v4 { &head[8..12] } else { &head[8..24] })?;
        let only_v6 = attributes(rest).any(|(kind, value)| {
            kind == INET_DIAG_SKV6ONLY && value.first().is_some_and(|set| *set != 0)
        });
        (head[4..6] == port.to_be_bytes()).then(|| Self {
            address: local.to_canonical(),
            device: u32_at(head, 40 + 4),
            only_v6,
            queued: u32_at(head, 56),
            backlog: u32_at(head, 60),
        })
    }

    /// Returns true if it may get a connection to `address` in case no listener is bound to that
    /// very address.
    pub(in crate::engine) fn is_for_all(&self, address: IpAddr) -> bool {
        match self.address {
            IpAddr::V4(own) => own.is_unspecified() && address.is_ipv4(),
            IpAddr::V6(own) => own == Ipv6Addr::UNSPECIFIED && (address.is_ipv6() || !self.only_v6),
        }
    }

    /// Returns true if the kernel drops a SYN to it, as its queue is full (`sk_acceptq_is_full()`).
    pub(in crate::engine) fn is_full(&self) -> bool {
        self.queued > self.backlog
    }
}
