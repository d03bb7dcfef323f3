//! Which way a connection to a target would take, and how a raw socket sends a SYN the same way.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use nix::errno::Errno;
use nix::libc;
use socket2::{Domain, Socket};

use super::Egress;
use super::netlink::{self, Flow, Netlink, Route, Traits};
use super::sockets::{self, port_less};
use crate::local_error::{LocalError, NoRoute, SendError};
use crate::wire::IcmpError;

/// From so many targets on it is worth asking what routing looks at before each is asked for twice.
const MANY: usize = 8;

/// Asks the kernel for ways.
///
/// A `connect()` looks its route up with ports, and without a source address where there is none
/// yet; a raw socket that is told its source address, with that address and without ports. Where
/// rules name ports, or there are several next hops, the two may differ; a router that drops
/// foreign source addresses then swallows the SYN. So both are asked for.
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

impl Router {
    /// Opens the socket that the kernel is asked by.
    pub(super) fn open(egress: &Egress) -> Result<Self, LocalError> {
        Ok(Self {
            netlink: Netlink::open()?,
            source: egress.source,
            keeps_to_interface: egress.interface.is_some(),
        })
    }

    /// The way of each target, all of one family, by the port that its SYN leaves from. `chooser`
    /// is a raw socket to ask for source addresses by, where routes depend on them.
    pub(super) fn ways(
        &self,
        targets: &[(SocketAddr, u16)],
        traits: Traits,
        chooser: Option<&Socket>,
    ) -> Vec<Result<Way, SendError>> {
        let flows = targets.iter().map(|(to, from_port)| {
            let from = self.told_source(*to, traits);
            Flow { to: *to, from, from_port: *from_port, traits }
        });
        let mut flows: Vec<_> = flows.collect();
        self.ask(&mut flows, chooser)
            .unwrap_or_else(|error| vec![Err(SendError::LocalError(error)); targets.len()])
    }

    fn ask(
        &self,
        flows: &mut [Flow],
        chooser: Option<&Socket>,
    ) -> Result<Vec<Result<Way, SendError>>, LocalError> {
        let answers = self.netlink.routes(flows)?;
        let each = flows.iter_mut().zip(answers);
        let mut routes: Vec<_> =
            each.map(|(flow, answer)| self.route(flow, answer, chooser)).collect();
        let Some(first) = flows.first() else { return Ok(Vec::new()) };
        let domain = Domain::for_address(first.to);
        let aim = self.usual_aim(domain);
        if flows.len() >= MANY && !self.netlink.ports_or_sources_count(domain).unwrap_or(true) {
            let each = routes.into_iter().zip(flows.iter());
            return Ok(each
                .map(|(route, flow)| route.map(|route| Way { local: local(flow, &route), aim }))
                .collect());
        }
        // An IPv4 connection looks its route up again as soon as it has a source address
        // (`ip_route_connect()`).
        if self.source.is_none() && domain == Domain::IPV4 {
            let again = self.netlink.routes(flows)?;
            let each = routes.into_iter().zip(flows.iter_mut().zip(again));
            routes = each
                .map(|(route, (flow, again))| route.and_then(|_| self.judge(flow, again)))
                .collect();
        }
        let by_raw: Vec<_> = flows.iter().map(|flow| self.by_raw(flow, aim)).collect();
        let by_raw = self.netlink.routes(&by_raw)?;
        let each = routes.into_iter().zip(flows.iter().zip(by_raw));
        let way = |(route, (flow, by_raw)): (Result<_, _>, (&Flow, _))| {
            route.and_then(|route| self.way(flow, route, by_raw))
        };
        Ok(each.map(way).collect())
    }

    /// The source address that a connection has when it looks its route up, as far as the kernel
    /// can be asked so: an IPv6 route by an interface is found only for flows without one
    /// (`RT6_LOOKUP_F_IFACE`).
    fn told_source(&self, to: SocketAddr, traits: Traits) -> Option<IpAddr> {
        self.source.filter(|_| to.is_ipv4() || traits.device == 0)
    }

    /// What a raw socket is told unless that leads astray. The source address, so that it is the
    /// one in the checksum whatever routing says meanwhile; but an IPv6 connection has looked its
    /// route up before it had one (`ip6_dst_lookup_tail()`).
    pub(super) fn usual_aim(&self, domain: Domain) -> Aim {
        Aim { source: domain == Domain::IPV4 || self.source.is_some(), device: 0 }
    }

    /// What a raw socket that is told `aim` sends of `flow`.
    fn by_raw(&self, flow: &Flow, aim: Aim) -> Flow {
        let told = if self.source.is_some() {
            self.told_source(flow.to, flow.traits)
        } else {
            flow.from.filter(|_| aim.source)
        };
        let device = if aim.device == 0 { flow.traits.device } else { aim.device };
        let traits = Traits { device, ..flow.traits };
        Flow { from: told, traits, ..flow.without_ports() }
    }

    /// The route that a connection would take at first, and in `flow` the source address that goes
    /// with it.
    fn route(
        &self,
        flow: &mut Flow,
        mut answer: Result<Route, Errno>,
        chooser: Option<&Socket>,
    ) -> Result<Route, SendError> {
        // Of a virtual router (VRF) the kernel does not tell the source address that goes with a
        // route.
        let untold = answer == Err(Errno::ENETUNREACH) || flow.traits.device != 0;
        if untold && flow.from.is_none() {
            let chosen = || chooser.and_then(|chooser| choose(chooser, flow.to));
            flow.from = self.source.or_else(chosen);
            if answer.is_err() && flow.from.is_some() {
                answer = self.netlink.route(*flow)?;
            }
        }
        self.judge(flow, answer)
    }

    /// How a raw socket sends `flow` by `route`, if its own choice would be `by_raw`.
    fn way(
        &self,
        flow: &Flow,
        route: Route,
        by_raw: Result<Route, Errno>,
    ) -> Result<Way, SendError> {
        let local = local(flow, &route);
        let agrees = |source: bool, other: Result<Route, Errno>| {
            other.is_ok_and(|other| {
                other.leads_like(&route) && (source || other.source == flow.from)
            })
        };
        let usual = self.usual_aim(Domain::for_address(flow.to));
        if agrees(usual.source, by_raw) {
            return Ok(Way { local, aim: usual });
        }
        for (source, device) in [(true, 0), (false, 0), (false, route.device), (true, route.device)]
        {
            let aim = Aim { source, device };
            // A socket that is bound to its source address needs not be told.
            if aim == usual || !source && self.source.is_some() {
                continue;
            }
            if agrees(source, self.netlink.route(self.by_raw(flow, aim))?) {
                return Ok(Way { local, aim });
            }
        }
        Err(SendError::LocalError(LocalError::OtherWay(flow.to)))
    }

    /// Why a connection of `flow` cannot begin: what the routing table says of it, if anything.
    pub(super) fn send_error(&self, mut flow: Flow) -> Option<SendError> {
        flow.from = self.told_source(flow.to, flow.traits);
        let asked = self.netlink.route(flow).map_err(SendError::from);
        asked.and_then(|answer| self.route(&mut flow, answer, None)).err()
    }

    /// What the kernel's answer means for `flow`, which gets its source address.
    fn judge(&self, flow: &mut Flow, answer: Result<Route, Errno>) -> Result<Route, SendError> {
        if let Some(error) = self.misdirected(flow) {
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

    /// True where `address` is one of this machine's, to those with the traits of `flow`.
    pub(super) fn is_here(&self, address: SocketAddr, traits: Traits) -> Result<bool, LocalError> {
        // Another device than that of a virtual router (VRF) would hide addresses.
        for device in [0, traits.device] {
            let traits = Traits { device, ..traits };
            let flow = Flow { to: address, from: None, from_port: 0, traits };
            if self.netlink.route(flow)?.is_ok_and(|route| route.is_local()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How often this machine's neighbour tables have been too full to send something.
    pub(super) fn neighbour_overflows(&self) -> Result<u64, LocalError> {
        self.netlink.neighbour_overflows()
    }

    /// True where `error`, about a segment to `remote`, comes from this machine, and `remote` is
    /// another one.
    pub(super) fn is_from_here(
        &self,
        error: &IcmpError,
        remote: SocketAddr,
        traits: Traits,
    ) -> Result<bool, LocalError> {
        let offender = match error.offender {
            IpAddr::V4(v4) => SocketAddr::from((v4, 0)),
            IpAddr::V6(v6) => SocketAddrV6::new(v6, 0, 0, error.scope).into(),
        };
        Ok(error.offender != remote.ip()
            && self.is_here(offender, traits)?
            && !self.is_here(port_less(remote), traits)?)
    }

    /// True where the next hop of `flow` has not answered ARP or neighbour discovery.
    pub(super) fn awaits_neighbour(&self, flow: Flow) -> Result<bool, LocalError> {
        let Ok(route) = self.netlink.route(flow)? else { return Ok(false) };
        let hop = route.gateway.unwrap_or(flow.to.ip());
        Ok(match self.netlink.neighbour(hop, route.device)? {
            Ok(state) => state & (libc::NUD_INCOMPLETE | libc::NUD_FAILED) != 0,
            Err(Errno::ENOENT) => false,
            Err(_) => true, // before Linux 5.0 the kernel tells of all or none
        })
    }

    /// Why the address of a target is no place to send to.
    fn misdirected(&self, flow: &Flow) -> Option<LocalError> {
        let SocketAddr::V6(to) = flow.to else { return None };
        let (address, scope, device) = (*to.ip(), to.scope_id(), flow.traits.device);
        if !address.is_unicast_link_local() {
            None
        } else if scope == 0 && device == 0 {
            Some(LocalError::NoScope(address))
        } else if scope != 0 && scope != device && self.keeps_to_interface {
            Some(LocalError::OtherScope(address))
        } else {
            None
        }
    }

    /// What it means that the kernel refuses `flow` a route.
    fn no_route(&self, flow: &Flow, errno: Errno) -> Result<SendError, LocalError> {
        if let Some(source) = self.source {
            sockets::own(source)?; // it may be gone
            let free = self.netlink.route(Flow { from: None, ..*flow })?;
            if source.is_loopback() && free.is_ok_and(|route| !route.is_local()) {
                return Ok(SendError::LocalError(LocalError::LoopbackSource(source)));
            }
        }
        let error = LocalError::Send { to: flow.to, errno };
        Ok(NoRoute::from_errno(errno).map_or(SendError::LocalError(error), SendError::NoRoute))
    }
}

/// Where `flow` comes from by `route`. A link-local address means something only together with its
/// interface, as it has it in what arrives.
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

/// The source address of connections to `to`, whose route depends on it: IPv6 then takes that of
/// any interface (`ip6_dst_lookup_tail()`).
fn choose(chooser: &Socket, to: SocketAddr) -> Option<IpAddr> {
    chooser.connect(&port_less(to).into()).ok()?;
    let local = chooser.local_addr().ok()?.as_socket();
    // Or the address would be kept for the next target.
    sockets::disconnect(chooser, None).ok()?;
    local.map(|local| local.ip())
}
