//! What routing looks at, and the route that it chooses.

use std::io;
use std::net::{IpAddr, SocketAddr};

use nix::libc;
use socket2::{Domain, Socket};

use super::message::{BODY, address, attributes, family, push, push_address, u32_at};
use crate::engine::sockets::{self, errno, port_less};
use crate::local_error::LocalError;

// Attributes of `linux/rtnetlink.h` that libc lacks for some targets.
pub(super) const RTA_VIA: u16 = 18;
const RTA_IP_PROTO: u16 = 27;
const RTA_SPORT: u16 = 28;
const RTA_DPORT: u16 = 29;

/// What routing looks at in a TCP segment that is about to leave.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Flow {
    /// With port 0, as a raw socket sends it: routing does not see ports then.
    pub(in crate::engine) to: SocketAddr,
    pub(in crate::engine) from: Option<IpAddr>,
    pub(in crate::engine) from_port: u16,
    pub(in crate::engine) options: SocketOptions,
}

/// The options of a socket that routing looks at. (It also looks at the owner of the socket, which
/// in a request is the process that asks.)
#[derive(Clone, Copy)]
pub(in crate::engine) struct SocketOptions {
    /// The index of the interface that the socket is bound to, or 0.
    pub(in crate::engine) device: u32,
    pub(in crate::engine) mark: u32,
    /// The type of service or traffic class.
    pub(in crate::engine) class: u8,
}

/// The route of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) struct Route {
    /// `RTN_UNICAST` or one of the others.
    pub(in crate::engine) kind: u8,
    /// The index of the interface.
    pub(in crate::engine) device: u32,
    pub(in crate::engine) gateway: Option<IpAddr>,
    /// The source address that the kernel chose if the flow had none.
    pub(in crate::engine) source: Option<IpAddr>,
}

impl SocketOptions {
    /// Reads the options of `socket`, which a preloaded hook may have set.
    pub(in crate::engine) fn of(socket: &Socket) -> Result<Self, LocalError> {
        let domain = socket.local_addr().map_err(setup)?.domain();
        let class = match domain {
            Domain::IPV4 => socket.tos_v4(),
            _ => socket.tclass_v6(),
        };
        Ok(Self {
            device: sockets::device(socket)?,
            mark: socket.mark().map_err(setup)?,
            class: class.map_err(setup)?.to_le_bytes()[0],
        })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn setup(error: io::Error) -> LocalError {
    LocalError::SocketSetup(errno(&error))
}

impl Flow {
    /// Returns the flow as a raw socket sends it.
    pub(in crate::engine) fn without_ports(&self) -> Self {
        Self { to: port_less(self.to), ..*self }
    }

    /// Returns the request for its route: `struct rtmsg` and attributes.
    pub(super) fn request(&self) -> Vec<u8> {
        let SocketOptions { device, mark, class } = self.options;
        let length = if self.to.is_ipv4() { 32 } else { 128 };
        let mut body = [0; BODY];
        body[0] = family(self.to.ip());
        body[1] = length;
        body[2] = if self.from.is_some() { length } else { 0 };
        body[3] = class;
        let mut request = Vec::with_capacity(96);
        request.extend(body);
        push_address(&mut request, libc::RTA_DST, self.to.ip());
        if let Some(from) = self.from {
            push_address(&mut request, libc::RTA_SRC, from);
        }
        let device = if device == 0 { scope(self.to) } else { device };
        if device != 0 {
            push(&mut request, libc::RTA_OIF, &device.to_ne_bytes());
        }
        if mark != 0 {
            push(&mut request, libc::RTA_MARK, &mark.to_ne_bytes());
        }
        push(&mut request, RTA_IP_PROTO, &[libc::IPPROTO_TCP.to_le_bytes()[0]]);
        if self.to.port() != 0 {
            push(&mut request, RTA_SPORT, &self.from_port.to_be_bytes());
            push(&mut request, RTA_DPORT, &self.to.port().to_be_bytes());
        }
        request
    }
}

impl Route {
    /// Returns true if the destination is this machine.
    pub(in crate::engine) fn is_local(&self) -> bool {
        self.kind == libc::RTN_LOCAL
    }

    /// Returns true if both lead to the same next hop.
    pub(in crate::engine) fn has_next_hop_of(&self, other: &Self) -> bool {
        (self.kind, self.device, self.gateway) == (other.kind, other.device, other.gateway)
    }

    /// Reads an answer: `struct rtmsg` and attributes.
    pub(super) fn read(body: &[u8]) -> Self {
        let mut route = Self { kind: body[7], device: 0, gateway: None, source: None };
        for (kind, value) in attributes(&body[BODY..]) {
            match kind {
                libc::RTA_OIF if value.len() == 4 => route.device = u32_at(value, 0),
                libc::RTA_GATEWAY => route.gateway = address(value),
                RTA_VIA => route.gateway = value.get(2..).and_then(address), // behind its family
                libc::RTA_PREFSRC => route.source = address(value),
                _ => {}
            }
        }
        route
    }
}

/// Returns the index of the interface whose link `to` is on, or 0: the scope has a meaning only for
/// link-local addresses.
pub(in crate::engine) fn scope(to: SocketAddr) -> u32 {
    match to {
        SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() => v6.scope_id(),
        _ => 0,
    }
}
