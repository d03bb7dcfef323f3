//! Names with several addresses: each is one target, whichever address answers.

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::local_error::NoRoute;
use crate::status::Policy;
use crate::verdict::{EndOfRun, NoVerdict, Outcome, PortState, Reason, Verdict};

/// The targets that have several addresses and have not ended, by index and port.
///
/// Such a target is open as soon as one address is. If none is, it ends with the last of them, and
/// its outcome is the one with the highest [`Policy::precedence`]. An address without a route is
/// not waited for once every other address has ended.
#[derive(Default)]
pub struct Alternatives(HashMap<(u32, u16), Vec<Alternative>>);

/// One address of a target, with the port.
#[derive(Debug, Clone, PartialEq)]
pub struct Alternative {
    /// The address and the port.
    pub endpoint: SocketAddr,
    /// How it ended, or that there is no route to it yet; `None` while nothing is known.
    pub outcome: Option<Outcome>,
    /// False while it is still probed.
    pub ended: bool,
}

impl Alternative {
    /// Creates an address that is still to be probed.
    pub fn new(endpoint: SocketAddr) -> Self {
        Self { endpoint, outcome: None, ended: false }
    }

    /// Creates an address that is not probed, because of `error`.
    pub fn left_out(endpoint: SocketAddr, error: NoVerdict) -> Self {
        Self { endpoint, outcome: Some(Err(error)), ended: true }
    }

    fn is_open(&self) -> bool {
        matches!(&self.outcome, Some(Ok(verdict)) if verdict.state() == PortState::Open)
    }
}

/// How a target with several addresses has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    /// The address whose outcome is the target's.
    pub endpoint: SocketAddr,
    /// How it ended.
    pub outcome: Outcome,
    /// The others, in the resolver's order.
    pub others: Vec<Alternative>,
    /// Those of all of them that are still probed.
    pub left: Vec<SocketAddr>,
}

impl Alternatives {
    /// Adds a target with its addresses, at least two, in the resolver's order.
    pub fn begin(&mut self, id: u32, port: u16, addresses: Vec<Alternative>) {
        self.0.insert((id, port), addresses);
    }

    /// Returns true if the target `id` has several addresses on `port` and has not ended.
    pub fn has(&self, id: u32, port: u16) -> bool {
        self.0.contains_key(&(id, port))
    }

    /// Records that an address of a target has ended. Returns the end of the target if this decides
    /// it.
    pub fn ended(
        &mut self,
        id: u32,
        endpoint: SocketAddr,
        outcome: Outcome,
        policy: &Policy,
    ) -> Option<Ending> {
        if let Some(address) = self.find(id, endpoint) {
            address.outcome = Some(outcome);
            address.ended = true;
        }
        self.decide(id, endpoint.port(), policy)
    }

    /// Records that this machine has no route to an address of a target, and will try again.
    /// Returns the end of the target if there is nothing else to wait for.
    pub fn without_route(
        &mut self,
        id: u32,
        endpoint: SocketAddr,
        cause: NoRoute,
        policy: &Policy,
    ) -> Option<Ending> {
        if let Some(address) = self.find(id, endpoint) {
            address.outcome = Some(Ok(Verdict::without_probe(Reason::NoRoute(cause))));
        }
        self.decide(id, endpoint.port(), policy)
    }

    /// Records that a SYN has left for an address of a target, so there is a route.
    pub fn sent(&mut self, id: u32, endpoint: SocketAddr) {
        if let Some(address) = self.find(id, endpoint).filter(|address| !address.ended) {
            address.outcome = None;
        }
    }

    /// Ends one of the remaining targets. The reason for its addresses that have not ended is
    /// `unasked`. Returns `None` if no target remains.
    pub fn give_up(&mut self, unasked: &NoVerdict, policy: &Policy) -> Option<(u32, Ending)> {
        let (id, port) = *self.0.keys().next()?;
        let mut addresses = self.0.remove(&(id, port))?;
        for address in addresses.iter_mut().filter(|address| !address.ended) {
            address.outcome = Some(Err(unasked.clone()));
        }
        Some((id, ending(addresses, policy)))
    }

    fn find(&mut self, id: u32, endpoint: SocketAddr) -> Option<&mut Alternative> {
        let addresses = self.0.get_mut(&(id, endpoint.port()))?;
        addresses.iter_mut().find(|address| address.endpoint == endpoint)
    }

    fn decide(&mut self, id: u32, port: u16, policy: &Policy) -> Option<Ending> {
        let addresses = self.0.get(&(id, port))?;
        let open = addresses.iter().any(Alternative::is_open);
        let all_known = addresses.iter().all(|address| address.outcome.is_some())
            && addresses.iter().any(|address| address.ended);
        if !(open || all_known) {
            return None;
        }
        self.0.remove(&(id, port)).map(|addresses| ending(addresses, policy))
    }
}

fn ending(mut addresses: Vec<Alternative>, policy: &Policy) -> Ending {
    let left = addresses.iter().filter(|address| !address.ended);
    let left = left.map(|address| address.endpoint).collect();
    let weight = |address: &Alternative| {
        address.outcome.as_ref().map_or(0, |outcome| policy.precedence(outcome))
    };
    let highest = addresses.iter().map(weight).max().unwrap_or_default();
    let chosen =
        addresses.iter().position(|address| weight(address) == highest).unwrap_or_default();
    let Alternative { endpoint, outcome, .. } = addresses.remove(chosen);
    let mut outcome = outcome.unwrap_or(Err(NoVerdict::Unfinished(EndOfRun::OutOfTime)));
    let asked =
        |address: &Alternative| !matches!(address.outcome, Some(Err(NoVerdict::NotProbed(_))));
    if let Err(NoVerdict::NotProbed(end)) = outcome
        && addresses.iter().any(asked)
    {
        outcome = Err(NoVerdict::Unfinished(end));
    }
    Ending { endpoint, outcome, others: addresses, left }
}
