//! Where targets come from and how each of them ends: the set of targets, their names, and the
//! alternatives of a name.

use std::collections::{HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use crate::alternatives::{Alternatives, Ending};
use crate::engine::OpenEngine;
use crate::family::Family;
use crate::local_error::{LocalError, NoRoute};
use crate::plan::{Plan, PlanError, Settings};
use crate::resolve::{Lookups, NoAddress};
use crate::status::Policy;
use crate::target::Target;
use crate::target_set::TargetSet;
use crate::verdict::{LookupFailure, NoVerdict, Outcome};

/// The targets of a check. Takes in what look-ups find and how endpoints end, and hands out
/// endpoints to probe and targets that have ended.
pub(super) struct Source {
    pub(super) target_set: TargetSet,
    /// Names with several addresses.
    pub(super) alternatives: Alternatives,
    pub(super) every_address: bool,
    family: Family,
    policy: Policy,
    /// How many targets there are; it grows if each address of a name is a target.
    pub(super) total: u128,
    pub(super) lookups: Option<Lookups>,
    /// Names whose look-up has had so much time that no answer is a verdict.
    pub(super) begun_in_time: HashSet<u32>,
    /// Names that were never looked up, and what this machine was short of, if that is why.
    pub(super) not_looked_up: Vec<(u32, Option<LocalError>)>,
    /// What each name resolved to, in the resolver's order.
    pub(super) addresses: Vec<(String, Vec<SocketAddr>)>,
    /// Why IPv4 and IPv6 addresses cannot be used.
    pub(super) unusable: [Option<LocalError>; 2],
    /// Pending endpoints that no target waits for any more.
    unwanted: Vec<SocketAddr>,
    pub(super) ended: VecDeque<EndedTarget>,
}

/// A target that has ended, or several of them alike.
pub(super) struct EndedTarget {
    /// Its place in the plan.
    pub(super) id: u32,
    /// The endpoint that decided; without it, all ports of the target have ended alike.
    pub(super) endpoint: Option<SocketAddr>,
    /// How it ended.
    pub(super) outcome: Outcome,
    /// The other addresses of its name, and what is known of them.
    pub(super) others: Vec<(IpAddr, Option<Outcome>)>,
}

impl Source {
    /// Creates the source of the targets of `plan`, and returns its settings.
    ///
    /// # Errors
    ///
    /// Returns an error if the network interface of a link-local address does not exist.
    pub(super) fn new(plan: Plan) -> Result<(Self, Settings), PlanError> {
        let (total, Plan { targets, settings }) = (plan.total(), plan);
        let source = Self {
            target_set: TargetSet::new(targets).map_err(PlanError::Interface)?,
            alternatives: Alternatives::default(),
            every_address: settings.every_address,
            family: settings.family,
            policy: settings.policy.clone(),
            total,
            lookups: None,
            begun_in_time: HashSet::new(),
            not_looked_up: Vec::new(),
            addresses: Vec::new(),
            unusable: [None, None],
            unwanted: Vec::new(),
            ended: VecDeque::new(),
        };
        Ok((source, settings))
    }

    /// Finds out which families `engine` can send to.
    ///
    /// # Errors
    ///
    /// Returns an error if no target can be sent to.
    pub(super) fn prepare(&mut self, engine: &OpenEngine) -> Result<(), LocalError> {
        let (v4, v6) = self.target_set.families(self.family);
        engine.check_families(v4, v6)?;
        self.unusable = [(true, false), (false, true)].map(|(v4, v6)| {
            engine.check_families(v4, v6).err().filter(LocalError::disables_family)
        });
        Ok(())
    }

    /// Begins to look up the names, if there are any.
    ///
    /// # Errors
    ///
    /// Returns an error if this machine is short of something that look-ups need.
    pub(super) fn start_lookups(&mut self) -> Result<(), LocalError> {
        let names = self.target_set.names_to_resolve();
        if !names.is_empty() {
            self.lookups = Some(Lookups::start(names, self.family)?);
        }
        Ok(())
    }

    /// Returns the target `id`.
    pub(super) fn target(&self, id: u32) -> &Target {
        self.target_set.target(id)
    }

    /// Returns the next endpoint to probe, with a target that stands for it.
    pub(super) fn poll_endpoint(&mut self) -> Option<(u32, SocketAddr)> {
        self.target_set.poll_endpoint()
    }

    /// Returns the next target that has ended.
    pub(super) fn poll_ended(&mut self) -> Option<EndedTarget> {
        self.ended.pop_front()
    }

    /// Returns the next pending endpoint that no target waits for any more.
    pub(super) fn poll_unwanted(&mut self) -> Option<SocketAddr> {
        self.unwanted.pop()
    }

    /// Returns true while names are being looked up.
    pub(super) fn awaits_names(&self) -> bool {
        self.lookups.is_some()
    }

    /// Returns what can be read when a look-up has ended.
    pub(super) fn names(&self) -> Option<BorrowedFd<'_>> {
        self.lookups.as_ref().map(AsFd::as_fd)
    }

    /// Records that an endpoint has ended.
    pub(super) fn end(&mut self, remote: SocketAddr, outcome: &Outcome) {
        for id in self.target_set.end(remote, outcome) {
            self.conclude(id, remote, outcome.clone());
        }
    }

    /// Records that a SYN has left for an endpoint: there is a route.
    pub(super) fn on_syn(&mut self, remote: SocketAddr) {
        for id in self.target_set.waiting_for(remote) {
            self.alternatives.sent(id, remote);
        }
    }

    /// Records that this machine has no route to an endpoint for now. A name whose other addresses
    /// have all ended does not wait for it.
    pub(super) fn on_no_route(&mut self, remote: SocketAddr, cause: NoRoute) {
        for id in self.target_set.waiting_for(remote) {
            if let Some(ending) = self.alternatives.without_route(id, remote, cause, &self.policy) {
                self.end_alternatives(id, ending);
            }
        }
    }

    /// Ends the names for which the name service has had its time and has not answered.
    pub(super) fn end_unanswered(&mut self) {
        let (in_time, late): (Vec<_>, Vec<_>) = self
            .target_set
            .take_unresolved()
            .into_iter()
            .partition(|id| self.begun_in_time.contains(id));
        for id in in_time {
            self.end_all_ports(id, NoAddress::from(LookupFailure::TimedOut).outcome());
        }
        self.not_looked_up.extend(late.into_iter().map(|id| (id, None)));
    }

    /// Ends the names that were not looked up, those whose look-up has not ended, and those with an
    /// address that has not ended, for the reason `left`.
    pub(super) fn end_names(&mut self, left: &NoVerdict) {
        for id in self.target_set.take_unresolved() {
            self.end_all_ports(id, Err(left.clone()));
        }
        while let Some((id, ending)) = self.alternatives.give_up(left, &self.policy) {
            self.end_alternatives(id, ending);
        }
        for (id, error) in std::mem::take(&mut self.not_looked_up) {
            self.end_all_ports(id, Err(error.map_or_else(|| left.clone(), NoVerdict::from)));
        }
    }

    /// Records that an endpoint of the target `id` has ended.
    pub(super) fn conclude(&mut self, id: u32, remote: SocketAddr, outcome: Outcome) {
        if !self.alternatives.has(id, remote.port()) {
            let (endpoint, others) = (Some(remote), Vec::new());
            self.ended.push_back(EndedTarget { id, endpoint, outcome, others });
        } else if let Some(ending) = self.alternatives.ended(id, remote, outcome, &self.policy) {
            self.end_alternatives(id, ending);
        }
    }

    pub(super) fn end_all_ports(&mut self, id: u32, outcome: Outcome) {
        self.ended.push_back(EndedTarget { id, endpoint: None, outcome, others: Vec::new() });
    }

    fn end_alternatives(&mut self, id: u32, ending: Ending) {
        let Ending { endpoint, outcome, others, left } = ending;
        let unwanted = left.into_iter().filter(|endpoint| self.target_set.leave(id, *endpoint));
        self.unwanted.extend(unwanted);
        let others = others.into_iter().map(|other| (other.endpoint.ip(), other.outcome)).collect();
        self.ended.push_back(EndedTarget { id, endpoint: Some(endpoint), outcome, others });
    }
}
