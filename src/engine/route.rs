//! Which way a connection to a target would take, and how a raw socket sends a SYN the same way.

use std::net::{IpAddr, SocketAddr};

use nix::errno::Errno;
use nix::libc;
use socket2::Socket;

use super::Egress;
use super::netlink::{Flow, Netlink, Route, Traits};
use super::sockets::{self, port_less};
use crate::fault::{Fault, NoRoute, Refusal};

/// Asks the kernel for ways.
///
/// A `connect()` looks its route up with ports, and without a source address where there is none yet; a raw socket that is
/// told its source address, with that address and without ports. Where rules name ports, or there are several next hops, the
/// two may differ; a router that drops foreign source addresses then swallows the SYN. So both are asked for.
pub(super) struct Router {
    netlink: Netlink,
    source: Option<IpAddr>,
    /// True where the operator has chosen the interface.
    keeps_to_interface: bool,
}

/// How a raw socket sends to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    /// The source address, without port.
    pub(super) local: SocketAddr,
    pub(super) aim: Aim,
}

/// What a raw socket is told of the way that a segment takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Aim {
    /// Whether it is told the source address; else the kernel chooses the same.
    pub(super) source: bool,
    /// Index of the interface; 0 where it is not told.
    pub(super) device: u32,
}

impl Aim {
    /// What is told unless it leads astray: the source address is the one in the checksum whatever routing says meanwhile.
    pub(super) const USUAL: Self = Self { source: true, device: 0 };
}

impl Router {
    /// Opens the socket that the kernel is asked by.
    pub(super) fn open(egress: &Egress) -> Result<Self, Fault> {
        Ok(Self {
            netlink: Netlink::open()?,
            source: egress.source,
            keeps_to_interface: egress.interface.is_some(),
        })
    }

    /// The kernel itself.
    pub(super) fn netlink(&self) -> &Netlink {
        &self.netlink
    }

    /// The way of each target, all of one family, by the port that its SYN leaves from. `chooser` is a raw socket to ask for
    /// source addresses by, where routes depend on them.
    pub(super) fn ways(
        &self,
        targets: &[(SocketAddr, u16)],
        traits: Traits,
        chooser: Option<&Socket>,
    ) -> Vec<Result<Way, Refusal>> {
        let flows = targets.iter().map(|(to, from_port)| {
            let from = self.told_source(*to, traits);
            Flow { to: *to, from, from_port: *from_port, traits }
        });
        let mut flows: Vec<_> = flows.collect();
        self.ask(&mut flows, chooser)
            .unwrap_or_else(|fault| vec![Err(Refusal::Fault(fault)); targets.len()])
    }

    fn ask(
        &self,
        flows: &mut [Flow],
        chooser: Option<&Socket>,
    ) -> Result<Vec<Result<Way, Refusal>>, Fault> {
        let answers = self.netlink.routes(flows)?;
        let each = flows.iter_mut().zip(answers);
        let mut routes: Vec<_> =
            each.map(|(flow, answer)| self.route(flow, answer, chooser)).collect();
        // An IPv4 connection looks its route up again as soon as it has a source address (`ip_route_connect()`).
        if self.source.is_none() && flows.first().is_some_and(|flow| flow.to.is_ipv4()) {
            let again = self.netlink.routes(flows)?;
            let each = routes.into_iter().zip(flows.iter_mut().zip(again));
            routes = each
                .map(|(route, (flow, again))| route.and_then(|_| self.judge(flow, again)))
                .collect();
        }
        let by_raw: Vec<_> = flows.iter().map(|flow| usual(flow).0).collect();
        let by_raw = self.netlink.routes(&by_raw)?;
        let each = routes.into_iter().zip(flows.iter().zip(by_raw));
        let way = |(route, (flow, by_raw)): (Result<_, _>, (&Flow, _))| {
            route.and_then(|route| self.way(flow, route, by_raw))
        };
        Ok(each.map(way).collect())
    }

    /// The source address that a connection has when it looks its route up, as far as the kernel can be asked so: an IPv6
    /// route by an interface is found only for flows without one (`RT6_LOOKUP_F_IFACE`).
    fn told_source(&self, to: SocketAddr, traits: Traits) -> Option<IpAddr> {
        self.source.filter(|_| to.is_ipv4() || traits.device == 0)
    }

    /// The route that a connection would take at first, and in `flow` the source address that goes with it.
    fn route(
        &self,
        flow: &mut Flow,
        mut answer: Result<Route, Errno>,
        chooser: Option<&Socket>,
    ) -> Result<Route, Refusal> {
        if answer == Err(Errno::ENETUNREACH) && flow.from.is_none() {
            let chosen = || chooser.and_then(|chooser| choose(chooser, flow.to));
            flow.from = self.source.or_else(chosen);
            if flow.from.is_some() {
                answer = self.netlink.route(*flow)?;
            }
        }
        self.judge(flow, answer)
    }

    /// How a raw socket sends `flow` by `route`, if its own choice would be `by_raw`.
    fn way(&self, flow: &Flow, route: Route, by_raw: Result<Route, Errno>) -> Result<Way, Refusal> {
        let local = SocketAddr::new(flow.from.expect("that of the route"), 0);
        let agrees = |source: bool, other: Result<Route, Errno>| {
            other.is_ok_and(|other| {
                other.leads_like(&route) && (source || other.source == flow.from)
            })
        };
        let (plain, aim) = usual(flow);
        if agrees(aim.source || self.source.is_some(), by_raw) {
            return Ok(Way { local, aim });
        }
        for (source, device) in [(false, 0), (false, route.device), (true, route.device)] {
            if !source && self.source.is_some() {
                continue; // the socket is bound to it
            }
            let traits = match device {
                0 => flow.traits,
                device => Traits { device, ..flow.traits },
            };
            let from = flow.from.filter(|_| source);
            if agrees(source, self.netlink.route(Flow { from, traits, ..plain })?) {
                return Ok(Way { local, aim: Aim { source, device } });
            }
        }
        Err(Refusal::Fault(Fault::OtherWay(flow.to)))
    }

    /// Why a connection of `flow` cannot begin: what the routing table says of it, if anything.
    pub(super) fn refusal(&self, mut flow: Flow) -> Option<Refusal> {
        flow.from = self.told_source(flow.to, flow.traits);
        let asked = self.netlink.route(flow).map_err(Refusal::from);
        asked.and_then(|answer| self.route(&mut flow, answer, None)).err()
    }

    /// What the kernel's answer means for `flow`, which gets its source address.
    fn judge(&self, flow: &mut Flow, answer: Result<Route, Errno>) -> Result<Route, Refusal> {
        if let Some(fault) = self.misdirected(flow) {
            return Err(Refusal::Fault(fault));
        }
        let route = match answer {
            Ok(route) => route,
            Err(errno) => return Err(self.no_route(flow, errno)?),
        };
        flow.from = flow.from.or(self.source).or(route.source);
        flow.from = flow.from.filter(|source| !source.is_unspecified());
        match (route.kind, flow.from) {
            (libc::RTN_BROADCAST, _) => Err(Refusal::Fault(Fault::Broadcast(flow.to.ip()))),
            (_, None) => Err(Refusal::NoRoute(NoRoute::NoSource)),
            (kind, Some(source)) if source.is_loopback() && kind != libc::RTN_LOCAL => {
                Err(Refusal::Fault(Fault::LoopbackSource(source)))
            }
            _ => Ok(route),
        }
    }

    /// Why the address of a target is no place to send to.
    fn misdirected(&self, flow: &Flow) -> Option<Fault> {
        let SocketAddr::V6(to) = flow.to else { return None };
        let (address, scope, device) = (*to.ip(), to.scope_id(), flow.traits.device);
        if !address.is_unicast_link_local() {
            None
        } else if scope == 0 && device == 0 {
            Some(Fault::NoScope(address))
        } else if scope != 0 && scope != device && self.keeps_to_interface {
            Some(Fault::OtherScope(address))
        } else {
            None
        }
    }

    /// What it means that the kernel refuses `flow` a route.
    fn no_route(&self, flow: &Flow, errno: Errno) -> Result<Refusal, Fault> {
        if let Some(source) = self.source {
            sockets::own(source)?; // it may be gone
            let free = self.netlink.route(Flow { from: None, ..*flow })?;
            if source.is_loopback() && free.is_ok_and(|route| !route.is_local()) {
                return Ok(Refusal::Fault(Fault::LoopbackSource(source)));
            }
        }
        let fault = Fault::Send { to: flow.to, errno };
        Ok(NoRoute::from_errno(errno).map_or(Refusal::Fault(fault), Refusal::NoRoute))
    }
}

/// What a raw socket sends of `flow`, and what it is told, unless that leads astray.
fn usual(flow: &Flow) -> (Flow, Aim) {
    let source = flow.to.is_ipv4() || flow.traits.device == 0;
    let from = flow.from.filter(|_| source);
    (Flow { from, ..flow.without_ports() }, Aim { source, ..Aim::USUAL })
}

/// The source address of connections to `to`, whose route depends on it: IPv6 then takes that of any interface
/// (`ip6_dst_lookup_tail()`).
fn choose(chooser: &Socket, to: SocketAddr) -> Option<IpAddr> {
    chooser.connect(&port_less(to).into()).ok()?;
    let local = chooser.local_addr().ok()?.as_socket();
    // Or the address would be kept for the next target.
    sockets::disconnect(chooser, None).ok()?;
    local.map(|local| local.ip())
}
