//! Asks for routes to many IPv4 targets with few questions.

use std::collections::BTreeMap;
use std::net::IpAddr;

use nix::errno::Errno;
use nix::libc;

use super::Router;
use crate::engine::netlink::{Flow, Prefix, Route};
use crate::local_error::LocalError;

/// The kernel's answer about a flow.
type Answer = Result<Route, Errno>;

impl Router {
    /// Returns the kernel's answer about each flow. All have one source and the same options.
    ///
    /// If rules depend neither on ports nor on source addresses, but at most on the destinations
    /// that are `named_by_rules`, the answer about an IPv4 target is that about all others of its
    /// range, as far as a unicast route is concerned: it has the source address of the route. Local
    /// destinations are their own source addresses.
    pub(super) fn routes(
        &self,
        flows: &[Flow],
        named_by_rules: Option<Vec<Prefix>>,
    ) -> Result<Vec<Answer>, LocalError> {
        let is_ipv4 = flows.iter().all(|flow| flow.to.is_ipv4());
        let named = named_by_rules.filter(|_| is_ipv4);
        let ranges = named.and_then(|named| self.route_list.ranges(named).ok().flatten());
        let Some(ranges) = ranges else { return self.netlink.routes(flows) };
        let range_of = |flow: &Flow| match flow.to.ip() {
            IpAddr::V4(to) => Some(ranges.of(to)),
            IpAddr::V6(_) => None,
        };
        let first_of: BTreeMap<_, _> =
            flows.iter().rev().filter_map(|flow| Some((range_of(flow)?, *flow))).collect();
        let firsts: Vec<_> = first_of.values().copied().collect();
        let answers = first_of.keys().zip(self.netlink.routes(&firsts)?);
        let shared: BTreeMap<_, _> = answers
            .filter(|(_, answer)| answer.is_ok_and(|route| route.kind == libc::RTN_UNICAST))
            .collect();
        let shared_with = |flow: &Flow| shared.get(&range_of(flow)?).copied();
        let left: Vec<_> =
            flows.iter().filter(|flow| shared_with(flow).is_none()).copied().collect();
        let mut own = self.netlink.routes(&left)?.into_iter();
        let answer =
            |flow: &Flow| shared_with(flow).or_else(|| own.next()).expect("one for each flow");
        Ok(flows.iter().map(answer).collect())
    }
}
