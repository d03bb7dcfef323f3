//! What the routing table and the neighbour tables know about the way to a target.

use std::net::{IpAddr, SocketAddr};

use nix::errno::Errno;
use nix::libc;

use super::Router;
use crate::engine::netlink::{Flow, Route, SocketOptions};
use crate::engine::surroundings::interface_setting;
use crate::local_error::LocalError;
use crate::surroundings::{AnswerDrop, NeighbourState, Surroundings};

/// What a segment that arrives brings along: no mark, and usually no traffic class.
const ARRIVING: SocketOptions = SocketOptions { device: 0, mark: 0, class: 0 };

impl Router {
    /// Returns what routing knows about the way of `flow`. `may_drop` is false if `rp_filter` has
    /// dropped nothing. Whatever cannot be asked is not known.
    pub(in crate::engine) fn surroundings(&self, mut flow: Flow, may_drop: bool) -> Surroundings {
        let has_source = flow.to.is_ipv4() || flow.options.device == 0;
        flow.from = flow.from.or(self.source).filter(|_| has_source); // see `lookup_source()`
        match self.netlink.route(flow) {
            Ok(Ok(route)) if route.is_local() => {
                Surroundings { is_here: true, ..Surroundings::default() }
            }
            Ok(Ok(route)) => Surroundings {
                on_link: self.is_on_link(&route).unwrap_or_default(),
                neighbour: self.neighbour_state(flow).ok().flatten(),
                drops_answers: self.answer_drop(flow, &route, may_drop).ok().flatten(),
                ..Surroundings::default()
            },
            Ok(Err(_)) => Surroundings {
                route_with_mark: self.route_with_mark(flow).ok().flatten(),
                ..Surroundings::default()
            },
            Err(_) => Surroundings::default(),
        }
    }

    /// Returns true if `route` leads to a neighbour without a gateway. On a link without neighbours
    /// that says nothing: a tunnel has none.
    fn is_on_link(&self, route: &Route) -> Result<bool, LocalError> {
        Ok(route.kind == libc::RTN_UNICAST
            && route.gateway.is_none()
            && self.netlink.interface(route.device)?.is_ok_and(|link| link.has_neighbours))
    }

    /// Returns what is known about the next hop of `flow`.
    fn neighbour_state(&self, flow: Flow) -> Result<Option<NeighbourState>, LocalError> {
        let Some(Ok(neighbour)) = self.next_hop(flow)? else { return Ok(None) };
        let is = |states| neighbour.state & states != 0;
        Ok(if is(libc::NUD_INCOMPLETE | libc::NUD_FAILED) {
            Some(NeighbourState::Unanswered)
        } else if is(libc::NUD_REACHABLE) {
            Some(NeighbourState::Confirmed)
        } else if is(libc::NUD_STALE | libc::NUD_DELAY | libc::NUD_PROBE) {
            Some(NeighbourState::Stale)
        } else {
            is(libc::NUD_PERMANENT).then_some(NeighbourState::Static)
        })
    }

    /// Returns a mark from the rules with which `flow` has a route.
    fn route_with_mark(&self, flow: Flow) -> Result<Option<u32>, LocalError> {
        let marks = self.netlink.rules(flow.to.ip())?.marks;
        let marked = |mark: &u32| {
            let options = SocketOptions { mark: *mark, ..flow.options };
            Flow { options, ..flow }
        };
        let marked: Vec<_> = marks.iter().map(marked).collect();
        let routes = self.netlink.routes(&marked)?;
        let leads = |route: &Result<Route, Errno>| {
            route.is_ok_and(|route| matches!(route.kind, libc::RTN_UNICAST | libc::RTN_LOCAL))
        };
        let found = marks.iter().zip(&routes).find(|(_, route)| leads(route));
        Ok(found.map(|(mark, _)| *mark))
    }

    /// Returns why this machine would drop an answer to `flow`, which leaves by `route`.
    ///
    /// The kernel is asked how it would receive the answer (`fib_validate_source()`). IPv6 has no
    /// such check. A VRF receives on another interface than the one that the segment arrives on,
    /// so nothing is said if there is one, nor if rules may see a mark that a firewall gives to
    /// segments that arrive.
    fn answer_drop(
        &self,
        flow: Flow,
        route: &Route,
        may_drop: bool,
    ) -> Result<Option<AnswerDrop>, LocalError> {
        let from = flow.from.or(route.source).filter(|from| from.is_ipv4() && flow.to.is_ipv4());
        let Some(from) = from else { return Ok(None) };
        let local = SocketAddr::new(from, flow.from_port);
        if self.netlink.rules(from)?.has_vrfs || !self.is_here(local, ARRIVING)? {
            return Ok(None);
        }
        let Some((device, name)) = self.arrival(from, route.device)? else { return Ok(None) };
        let remote = flow.to;
        let answer = Flow {
            to: local,
            from: Some(remote.ip()),
            from_port: remote.port(),
            options: ARRIVING,
        };
        let Err(errno) = self.netlink.input_route(answer, device)? else { return Ok(None) };
        // It looks up the way back like this.
        let back = self.netlink.route(Flow { from: Some(from), options: ARRIVING, ..flow })?;
        let is = |setting| interface_setting(&name, setting).map(|value| value > 0);
        if is("src_valid_mark") != Some(false) {
            return Ok(None);
        }
        Ok(match refusal(errno, back, device) {
            Some(Refusal::Local) if is("accept_local") == Some(false) => {
                Some(AnswerDrop::OwnAddress(name))
            }
            Some(Refusal::Filter) if may_drop && is("rp_filter") == Some(true) => {
                Some(AnswerDrop::ReversePath(name))
            }
            _ => None,
        })
    }

    /// Returns the index and name of the interface where segments to `local` arrive: the one that
    /// segments leave by if it has this address, or if none has it that has neighbours; else the
    /// one that has it. `None` if there are several.
    fn arrival(&self, local: IpAddr, leaving: u32) -> Result<Option<(u32, String)>, LocalError> {
        let Ok(link) = self.netlink.interface(leaving)? else { return Ok(None) };
        let devices = self.netlink.interfaces_with(local)?;
        if devices.contains(&leaving) {
            return Ok(Some((leaving, link.name)));
        }
        let mut others = Vec::new();
        for device in devices {
            let link = self.netlink.interface(device)?.ok().filter(|link| link.has_neighbours);
            others.extend(link.map(|link| (device, link.name)));
        }
        Ok(match others.len() {
            0 => Some((leaving, link.name)),
            1 => others.pop(),
            _ => None,
        })
    }
}

/// Why the kernel refuses a segment that arrives.
enum Refusal {
    /// Its source is an address of this machine.
    Local,
    /// The way back leads elsewhere.
    Filter,
}

/// Returns why the kernel refuses, with `errno`, to receive a segment on the interface with the
/// index `device`, given the way back to its source. From Linux 6.14 on it returns EINVAL for every
/// reason (`inet_rtm_getroute()`), so if several are possible, none is known.
fn refusal(errno: Errno, back: Result<Route, Errno>, device: u32) -> Option<Refusal> {
    match (errno, back) {
        (Errno::EXDEV, _) | (Errno::EINVAL, Err(_)) => Some(Refusal::Filter),
        (Errno::EINVAL, Ok(back)) if back.is_local() => Some(Refusal::Local),
        (Errno::EINVAL, Ok(back)) => {
            (back.kind == libc::RTN_UNICAST && back.device != device).then_some(Refusal::Filter)
        }
        _ => None,
    }
}
