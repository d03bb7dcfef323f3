//! Finds the route that a connection to a target would take, and how a raw socket sends a SYN along
//! the same route.

mod by_range;
mod origin;
mod surroundings;

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use nix::errno::Errno;
use nix::libc;
use socket2::{Domain, Socket};

use super::Egress;
use super::netlink::{self, Flow, Netlink, Route, RouteList, SocketOptions};
use super::sockets::{self, port_less};
use crate::local_error::{LocalError, NoRoute, SendError};

/// From this number of targets on, it pays off to ask whether routes depend on ports or sources,
/// instead of asking about each target twice.
const MANY: usize = 8;

/// Asks the kernel for routes.
///
/// `connect()` looks up its route with ports, and without a source address if the socket has none
/// yet. A raw socket that is given a source address looks it up with that address and without
/// ports. If rules name ports, or there are several next hops, the two may differ, and a router
/// that drops foreign source addresses would drop the SYN. So the kernel is asked for both.
pub(super) struct Router {
    netlink: Netlink,
    route_list: RouteList,
    source: Option<IpAddr>,
    /// True if the operator has chosen the interface.
    has_interface: bool,
}

/// How a raw socket sends to a target along the route of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RawRoute {
    /// The source address, with port 0.
    pub(super) local: SocketAddr,
    pub(super) info: PacketInfo,
}

/// What a raw socket is told about the route of a segment (`IP_PKTINFO`, `IPV6_PKTINFO`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PacketInfo {
    /// True if it is told the source address. If not, the kernel chooses the same one.
    pub(super) source: bool,
    /// The index of the interface, or 0 to leave the choice to the kernel.
    pub(super) device: u32,
}

impl Router {
    /// Opens a socket to ask the kernel through.
    pub(super) fn open(egress: &Egress) -> Result<Self, LocalError> {
        Ok(Self {
            netlink: Netlink::open()?,
            route_list: RouteList::default(),
            source: egress.source,
            has_interface: egress.interface.is_some(),
        })
    }

    /// Prepares for many IPv4 targets.
    pub(super) fn open_list(&mut self) {
        self.route_list.open();
    }

    /// Returns how to send to each target from the source port beside it. All are of one address
    /// family. `chooser` is a raw socket that finds source addresses if routes depend on them.
    pub(super) fn raw_routes(
        &self,
        targets: &[(SocketAddr, u16)],
        options: SocketOptions,
        chooser: Option<&Socket>,
    ) -> Vec<Result<RawRoute, SendError>> {
        let flows = targets.iter().map(|(to, from_port)| {
            let from = self.lookup_source(*to, options);
            Flow { to: *to, from, from_port: *from_port, options }
        });
        let mut flows: Vec<_> = flows.collect();
        self.ask(&mut flows, chooser)
            .unwrap_or_else(|error| vec![Err(SendError::LocalError(error)); targets.len()])
    }

    fn ask(
        &self,
        flows: &mut [Flow],
        chooser: Option<&Socket>,
    ) -> Result<Vec<Result<RawRoute, SendError>>, LocalError> {
        let Some(first) = flows.first() else { return Ok(Vec::new()) };
        let domain = Domain::for_address(first.to);
        let info = self.default_info(domain);
        let named_by_rules = if flows.len() >= MANY {
            self.netlink.named_by_rules(domain).unwrap_or_default()
        } else {
            None
        };
        let one_answer_is_enough = named_by_rules.is_some();
        let answers = self.routes(flows, named_by_rules)?;
        let each = flows.iter_mut().zip(answers);
        let mut routes: Vec<_> =
            each.map(|(flow, answer)| self.route(flow, answer, chooser)).collect();
        if one_answer_is_enough {
            let each = routes.into_iter().zip(flows.iter());
            return Ok(each
                .map(|(route, flow)| {
                    route.map(|route| RawRoute { local: local(flow, &route), info })
                })
                .collect());
        }
        // An IPv4 connection looks its route up again as soon as it has a source address
        // (`ip_route_connect()`).
        if self.source.is_none() && domain == Domain::IPV4 {
            let again = self.netlink.routes(flows)?;
            let each = routes.into_iter().zip(flows.iter_mut().zip(again));
            routes = each
                .map(|(route, (flow, again))| route.and_then(|_| self.check(flow, again)))
                .collect();
        }
        let by_default: Vec<_> = flows.iter().map(|flow| self.as_sent(flow, info)).collect();
        let by_default = self.netlink.routes(&by_default)?;
        let each = routes.into_iter().zip(flows.iter().zip(by_default));
        let raw_route = |(route, (flow, by_default)): (Result<_, _>, (&Flow, _))| {
            route.and_then(|route| self.raw_route(flow, route, by_default))
        };
        Ok(each.map(raw_route).collect())
    }

    /// Returns the source address with which a connection looks up its route, as far as a request
    /// can have one: the kernel finds an IPv6 route by an interface only for flows without a source
    /// (`RT6_LOOKUP_F_IFACE`).
    fn lookup_source(&self, to: SocketAddr, options: SocketOptions) -> Option<IpAddr> {
        self.source.filter(|_| to.is_ipv4() || options.device == 0)
    }

    /// Returns what a raw socket is told unless that leads to another next hop. It is told the
    /// source address, so that the checksum is right even if routes change; but an IPv6 connection
    /// looks up its route before it has one (`ip6_dst_lookup_tail()`).
    pub(super) fn default_info(&self, domain: Domain) -> PacketInfo {
        PacketInfo { source: domain == Domain::IPV4 || self.source.is_some(), device: 0 }
    }

    /// Returns `flow` as a raw socket sends it that is told `info`.
    fn as_sent(&self, flow: &Flow, info: PacketInfo) -> Flow {
        let told = if self.source.is_some() {
            self.lookup_source(flow.to, flow.options)
        } else {
            flow.from.filter(|_| info.source)
        };
        let device = if info.device == 0 { flow.options.device } else { info.device };
        let options = SocketOptions { device, ..flow.options };
        Flow { from: told, options, ..flow.without_ports() }
    }

    /// Returns the route that a connection would take at first, and puts the source address of that
    /// route in `flow`.
    fn route(
        &self,
        flow: &mut Flow,
        mut answer: Result<Route, Errno>,
        chooser: Option<&Socket>,
    ) -> Result<Route, SendError> {
        // In a VRF the kernel does not tell the source address of a route. An IPv6 connection that
        // finds no route looks again with a source address (`ip6_dst_lookup_tail()`).
        let untold = answer == Err(Errno::ENETUNREACH)
            || answer.is_err() && flow.to.is_ipv6()
            || flow.options.device != 0;
        if untold && flow.from.is_none() {
            let chosen = || chooser.and_then(|chooser| choose(chooser, flow.to));
            flow.from = self.source.or_else(chosen);
            if answer.is_err() && flow.from.is_some() {
                answer = self.netlink.route(*flow)?;
            }
        }
        self.check(flow, answer)
    }

    /// Returns how a raw socket sends `flow` along `route`, given that `by_default` is the route
    /// that it would take by default.
    fn raw_route(
        &self,
        flow: &Flow,
        route: Route,
        by_default: Result<Route, Errno>,
    ) -> Result<RawRoute, SendError> {
        let local = local(flow, &route);
        let agrees = |source: bool, other: Result<Route, Errno>| {
            other.is_ok_and(|other| {
                other.has_next_hop_of(&route) && (source || other.source == flow.from)
            })
        };
        let usual = self.default_info(Domain::for_address(flow.to));
        if agrees(usual.source, by_default) {
            return Ok(RawRoute { local, info: usual });
        }
        for (source, device) in [(true, 0), (false, 0), (false, route.device), (true, route.device)]
        {
            let info = PacketInfo { source, device };
            // A socket that is bound to a source address uses it anyway.
            if info == usual || !source && self.source.is_some() {
                continue;
            }
            if agrees(source, self.netlink.route(self.as_sent(flow, info))?) {
                return Ok(RawRoute { local, info });
            }
        }
        Err(SendError::LocalError(LocalError::OtherRoute(flow.to)))
    }

    /// Checks that the routing table allows a connection of `flow`.
    pub(super) fn check_connection(&self, mut flow: Flow) -> Result<(), SendError> {
        flow.from = self.lookup_source(flow.to, flow.options);
        let answer = self.netlink.route(flow)?;
        self.route(&mut flow, answer, None)?;
        // An IPv4 connection looks its route up again with the source address that it got.
        if flow.to.is_ipv4() {
            let again = self.netlink.route(flow)?;
            self.check(&mut flow, again)?;
        }
        Ok(())
    }

    /// Checks the kernel's answer about `flow`, and puts the source address of the route in it.
    fn check(&self, flow: &mut Flow, answer: Result<Route, Errno>) -> Result<Route, SendError> {
        if let Some(error) = self.scope_error(flow) {
            return Err(SendError::LocalError(error));
        }
        let route = match answer {
            Ok(route) => route,
            Err(errno) => return Err(self.no_route(flow, errno)?),
        };
        flow.from = flow.from.or(self.source).or(route.source);
        flow.from = flow.from.filter(|source| !source.is_unspecified());
        match (route.kind, flow.from) {
            (libc::RTN_BROADCAST, _) => {
                Err(SendError::LocalError(LocalError::Broadcast(flow.to.ip())))
            }
            (_, None) => Err(SendError::NoRoute(NoRoute::NoSource)),
            (kind, Some(source)) if source.is_loopback() && kind != libc::RTN_LOCAL => {
                Err(SendError::LocalError(LocalError::LoopbackSource(source)))
            }
            _ => Ok(route),
        }
    }

    /// Returns what is wrong with the scope of a link-local target.
    fn scope_error(&self, flow: &Flow) -> Option<LocalError> {
        let SocketAddr::V6(to) = flow.to else { return None };
        let (address, scope, device) = (*to.ip(), to.scope_id(), flow.options.device);
        if !address.is_unicast_link_local() {
            None
        } else if scope == 0 && device == 0 {
            Some(LocalError::NoScope(address))
        } else if scope != 0 && scope != device && self.has_interface {
            Some(LocalError::OtherScope(address))
        } else {
            None
        }
    }

    /// Returns the meaning of the kernel's error about `flow`.
    fn no_route(&self, flow: &Flow, errno: Errno) -> Result<SendError, LocalError> {
        if let Some(source) = self.source {
            sockets::check_own_address(source)?; // it may have been removed
            let free = self.netlink.route(Flow { from: None, ..*flow })?;
            if source.is_loopback() && free.is_ok_and(|route| !route.is_local()) {
                return Ok(SendError::LocalError(LocalError::LoopbackSource(source)));
            }
        }
        let error = LocalError::Send { to: flow.to, errno };
        Ok(NoRoute::from_errno(errno).map_or(SendError::LocalError(error), SendError::NoRoute))
    }
}

/// Returns the source address of `flow` along `route`. A link-local one has the index of its
/// interface as scope, as in segments that arrive.
fn local(flow: &Flow, route: &Route) -> SocketAddr {
    let device = match netlink::scope(flow.to) {
        0 => route.device,
        scope => scope,
    };
    match flow.from.expect("that of the route") {
        IpAddr::V6(from) if from.is_unicast_link_local() => {
            SocketAddrV6::new(from, 0, 0, device).into()
        }
        from => SocketAddr::new(from, 0),
    }
}

/// Returns the source address of connections to `to` if the route depends on it: IPv6 then takes
/// one of any interface (`ip6_dst_lookup_tail()`).
fn choose(chooser: &Socket, to: SocketAddr) -> Option<IpAddr> {
    chooser.connect(&port_less(to).into()).ok()?;
    let local = chooser.local_addr().ok()?.as_socket();
    // Otherwise the socket keeps the address for the next target.
    sockets::disconnect(chooser, None).ok()?;
    local.map(|local| local.ip())
}
