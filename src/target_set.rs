//! The endpoints that targets stand for, each of them once.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use ipnetwork::IpNetwork;

use crate::family::Family;
use crate::local_error::LocalError;
use crate::resolve::interface_index;
use crate::target::{Hosts, Target};
use crate::verdict::Outcome;

/// The targets of a pool, each with its index as id, and the endpoints that they stand for.
///
/// [`TargetSet::poll_endpoint`] returns an endpoint once even if several targets stand for it, and
/// [`TargetSet::end`] returns all of them. The endpoints of blocks are not stored, so a block takes
/// no memory. Those of names are known only when the names are resolved, which may be after another
/// target ended with the same endpoint. So outcomes are kept while look-ups are under way.
///
/// Invariant: an endpoint is in `resolved` as long as names want it, it was not polled, and no
/// block contains it.
pub struct TargetSet {
    targets: Vec<Target>,
    blocks: Blocks,
    /// The target whose endpoints come next.
    next: u32,
    /// The endpoints that are left of the one before.
    current: Box<dyn Iterator<Item = SocketAddr>>,
    resolved: VecDeque<SocketAddr>,
    wanted: HashMap<SocketAddr, Wanted>,
    ended: HashMap<SocketAddr, Outcome>,
    unresolved: BTreeSet<u32>,
}

/// What is known of an endpoint that names stand for and that has not ended.
#[derive(Default)]
struct Wanted {
    /// The ids of the names.
    ids: Vec<u32>,
    given_out: bool,
}

impl TargetSet {
    /// Creates a set of `targets`, whose names are yet to be resolved.
    ///
    /// # Errors
    ///
    /// Returns an error if the network interface of a link-local address does not exist.
    pub fn new(targets: Vec<Target>) -> Result<Self, LocalError> {
        let mut target_set = Self {
            blocks: Blocks::of(&targets),
            next: 0,
            current: Box::new(std::iter::empty()),
            resolved: VecDeque::new(),
            wanted: HashMap::new(),
            ended: HashMap::new(),
            unresolved: BTreeSet::new(),
            targets,
        };
        for id in (0..).take(target_set.targets.len()) {
            match &target_set.target(id).hosts {
                Hosts::Block(_) => {}
                Hosts::LinkLocal(address, scope) => {
                    let mut endpoint = SocketAddr::new(*address, 0);
                    if let SocketAddr::V6(v6) = &mut endpoint {
                        v6.set_scope_id(interface_index(scope)?);
                    }
                    target_set.want(id, &[endpoint]);
                }
                Hosts::Name(_) => {
                    target_set.unresolved.insert(id);
                }
            }
        }
        Ok(target_set)
    }

    /// Returns the target `id`.
    pub fn target(&self, id: u32) -> &Target {
        &self.targets[id as usize]
    }

    /// Returns the names to look up, each with the id of its target.
    pub fn names_to_resolve(&self) -> Vec<(u32, Box<str>)> {
        let targets = (0..).zip(&self.targets);
        let name = |(id, target): (u32, &Target)| match &target.hosts {
            Hosts::Name(name) => Some((id, name.clone())),
            Hosts::Block(_) | Hosts::LinkLocal(..) => None,
        };
        targets.filter_map(name).collect()
    }

    /// Returns true if no look-up is under way.
    pub fn is_resolved(&self) -> bool {
        self.unresolved.is_empty()
    }

    /// Removes and returns the targets whose look-up has not ended.
    pub fn take_unresolved(&mut self) -> BTreeSet<u32> {
        std::mem::take(&mut self.unresolved)
    }

    /// Returns whether there are, or may be, IPv4 targets, and the same for IPv6.
    pub fn families(&self, family: Family) -> (bool, bool) {
        let names = !self.unresolved.is_empty();
        let any = |of_family: fn(&IpAddr) -> bool| {
            self.targets.iter().filter_map(|target| target.hosts.address()).any(|a| of_family(&a))
        };
        let v4 = any(IpAddr::is_ipv4) || names && family != Family::V6;
        let v6 = any(IpAddr::is_ipv6) || names && family != Family::V4;
        (v4, v6)
    }

    /// Returns the next endpoint to probe, with a target that stands for it.
    pub fn poll_endpoint(&mut self) -> Option<(u32, SocketAddr)> {
        loop {
            if let Some(endpoint) = self.resolved.pop_front() {
                let wanted = self.wanted.get_mut(&endpoint);
                let Some(wanted) = wanted.filter(|wanted| !wanted.ids.is_empty()) else {
                    self.wanted.remove(&endpoint);
                    continue;
                };
                wanted.given_out = true;
                return Some((wanted.ids[0], endpoint));
            }
            if let Some(endpoint) = self.current.next() {
                let id = self.next - 1;
                if self.blocks.first(endpoint) == Some(id) {
                    return Some((id, endpoint));
                }
                continue;
            }
            let Target { hosts, ports } = self.targets.get(self.next as usize)?;
            self.next += 1;
            if let Hosts::Block(block) = hosts {
                let (block, ports) = (*block, ports.iter());
                let on_ports =
                    move |address| ports.clone().map(move |p| SocketAddr::new(address, p));
                self.current = Box::new(block.iter().flat_map(on_ports));
            }
        }
    }

    /// Ends the look-up for the target `id` with these addresses, whose port is ignored. Returns
    /// the endpoints whose outcome is known already. [`TargetSet::poll_endpoint`] returns the
    /// others, all addresses of a port one after the other.
    pub fn resolve(&mut self, id: u32, addresses: &[SocketAddr]) -> Vec<(SocketAddr, Outcome)> {
        self.unresolved.remove(&id);
        let known = self.want(id, addresses);
        if self.unresolved.is_empty() {
            self.ended = HashMap::new();
        }
        known
    }

    /// Ends an endpoint. Returns all targets that stand for it.
    pub fn end(&mut self, endpoint: SocketAddr, outcome: &Outcome) -> Vec<u32> {
        if !self.unresolved.is_empty() {
            self.ended.insert(endpoint, outcome.clone());
        }
        let names = self.wanted.remove(&endpoint).map(|wanted| wanted.ids);
        self.blocks.all(endpoint).chain(names.into_iter().flatten()).collect()
    }

    /// Returns the names that stand for an endpoint, if it has not ended.
    pub fn waiting_for(&self, endpoint: SocketAddr) -> Vec<u32> {
        self.wanted.get(&endpoint).map(|wanted| wanted.ids.clone()).unwrap_or_default()
    }

    /// Removes the name `id` from those that wait for `endpoint`. Returns true if that was polled
    /// and no target waits for it any more.
    pub fn leave(&mut self, id: u32, endpoint: SocketAddr) -> bool {
        let Some(wanted) = self.wanted.get_mut(&endpoint) else { return false };
        wanted.ids.retain(|other| *other != id);
        let in_block = self.blocks.first(endpoint).is_some();
        let queued = !wanted.given_out && !in_block;
        if !wanted.ids.is_empty() || queued {
            return false;
        }
        self.wanted.remove(&endpoint);
        !in_block
    }

    fn want(&mut self, id: u32, addresses: &[SocketAddr]) -> Vec<(SocketAddr, Outcome)> {
        let mut known = Vec::new();
        let ports = self.targets[id as usize].ports.iter();
        for (port, address) in ports.flat_map(|port| addresses.iter().map(move |a| (port, *a))) {
            let mut endpoint = address;
            endpoint.set_port(port);
            if let Some(outcome) = self.ended.get(&endpoint) {
                known.push((endpoint, outcome.clone()));
                continue;
            }
            let in_block = self.blocks.first(endpoint).is_some();
            let wanted = self.wanted.entry(endpoint).or_insert_with(|| {
                if !in_block {
                    self.resolved.push_back(endpoint);
                }
                Wanted::default()
            });
            wanted.ids.push(id);
        }
        known
    }
}

/// The blocks among the targets. A search for those that contain an endpoint takes one step per
/// prefix length that occurs.
struct Blocks {
    /// Single ports, sorted.
    single: Vec<(IpNetwork, u16, u32)>,
    /// Ranges of ports, sorted by block and id.
    ranges: Vec<(IpNetwork, u32, RangeInclusive<u16>)>,
    prefixes: BTreeSet<u8>,
}

impl Blocks {
    fn of(targets: &[Target]) -> Self {
        let (mut single, mut ranges, mut prefixes) = (Vec::new(), Vec::new(), BTreeSet::new());
        for (id, target) in (0..).zip(targets) {
            let Hosts::Block(block) = target.hosts else { continue };
            prefixes.insert(block.prefix());
            for range in target.ports.ranges() {
                if range.start() == range.end() {
                    single.push((block, *range.start(), id));
                } else {
                    ranges.push((block, id, range.clone()));
                }
            }
        }
        single.sort_unstable();
        ranges.sort_unstable_by_key(|(block, id, _)| (*block, *id));
        Self { single, ranges, prefixes }
    }

    /// Returns the first target that stands for `endpoint`.
    fn first(&self, endpoint: SocketAddr) -> Option<u32> {
        let enclosing = self.enclosing(endpoint);
        let firsts = enclosing.flat_map(|block| {
            let single = self.single(block, endpoint.port()).next();
            single.into_iter().chain(self.ranges(block, endpoint.port()).next())
        });
        firsts.min()
    }

    /// Returns all targets that stand for `endpoint`.
    fn all(&self, endpoint: SocketAddr) -> impl Iterator<Item = u32> {
        let port = endpoint.port();
        let enclosing = self.enclosing(endpoint);
        enclosing.flat_map(move |block| self.single(block, port).chain(self.ranges(block, port)))
    }

    fn enclosing(&self, endpoint: SocketAddr) -> impl Iterator<Item = IpNetwork> {
        self.prefixes.iter().filter_map(move |prefix| enclosing(endpoint.ip(), *prefix))
    }

    fn single(&self, block: IpNetwork, port: u16) -> impl Iterator<Item = u32> {
        let begin = self.single.partition_point(|(b, p, _)| (*b, *p) < (block, port));
        let same =
            self.single[begin..].iter().take_while(move |(b, p, _)| (*b, *p) == (block, port));
        same.map(|(_, _, id)| *id)
    }

    fn ranges(&self, block: IpNetwork, port: u16) -> impl Iterator<Item = u32> {
        let begin = self.ranges.partition_point(|(b, _, _)| *b < block);
        let same = self.ranges[begin..].iter().take_while(move |(b, _, _)| *b == block);
        same.filter(move |(_, _, range)| range.contains(&port)).map(|(_, id, _)| *id)
    }
}

/// Returns the block with that prefix length that contains `address`; `None` if only the other
/// family has prefixes of that length.
fn enclosing(address: IpAddr, prefix: u8) -> Option<IpNetwork> {
    let network = IpNetwork::new(address, prefix).ok()?.network();
    IpNetwork::new(network, prefix).ok()
}
