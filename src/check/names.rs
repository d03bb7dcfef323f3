//! What a name stands for: its addresses, as one target or as one each.

use std::net::SocketAddr;

use super::Session;
use crate::alternatives::{Alternative, Ending};
use crate::fault::{Fault, NoRoute};
use crate::resolve::{Addresses, Lookups};
use crate::verdict::Outcome;

/// Addresses of a name that are probed at most, and endpoints that they and its ports come to: a
/// name service is not trusted.
const ADDRESSES: usize = 256;
const ENDPOINTS: usize = 1 << 18;

impl Session<'_> {
    /// Takes in what the name service has said since.
    pub(super) fn take_in_names(&mut self) {
        while let Some((place, found)) = self.lookups.as_mut().and_then(Lookups::poll) {
            if let Ok(addresses) = &found {
                let name = self.roster.target(place).hosts.to_string();
                self.report.addresses.push((name, addresses.clone()));
            }
            match found.and_then(|addresses| self.fitting(addresses)) {
                Ok(addresses) => self.begin(place, &addresses),
                Err(outcome) => {
                    self.roster.resolve(place, &[]);
                    self.found_all_ports(place, &outcome);
                }
            }
        }
        if self.roster.is_resolved() {
            self.lookups = None;
        }
    }

    /// Those of a name's addresses that can be reached as the operator wants.
    fn fitting(&self, addresses: Vec<SocketAddr>) -> Addresses {
        let barred = |address: &SocketAddr| self.barred[usize::from(address.is_ipv6())].as_ref();
        let fits = |address: &SocketAddr| barred(address).is_none();
        match addresses.first().and_then(barred) {
            Some(cause) if !addresses.iter().any(fits) => {
                let addresses = addresses.iter().map(SocketAddr::ip).collect();
                Err(Err(Fault::NoAddressFits { addresses, cause: Box::new(cause.clone()) }))
            }
            _ => Ok(addresses.into_iter().filter(fits).collect()),
        }
    }

    /// The addresses of the name at `place` are known.
    fn begin(&mut self, place: u32, addresses: &[SocketAddr]) {
        let ports = self.roster.target(place).ports.iter();
        let most = (ENDPOINTS / ports.clone().count()).min(ADDRESSES);
        let (probed, rest) = addresses.split_at(addresses.len().min(most));
        for port in ports {
            let on_port = |address: &SocketAddr| with_port(*address, port);
            let too_many = Fault::TooManyAddresses { addresses: addresses.len(), probed: most };
            if self.report.plan.every_address {
                self.report.total += (addresses.len().min(most + 1) - 1) as u128;
                if let Some(address) = rest.first().map(on_port) {
                    self.found(place, port, Some(address), Err(too_many), Vec::new());
                }
            } else if addresses.len() > 1 {
                let probed = probed.iter().map(on_port).map(Alternative::new);
                let rest = rest.first().map(on_port);
                let rest = rest.map(|address| Alternative::left_out(address, too_many));
                self.alternatives.begin(place, port, probed.chain(rest).collect());
            }
        }
        let several = addresses.len() > 1 && !self.report.plan.every_address;
        for (endpoint, outcome) in self.roster.resolve(place, probed) {
            // One that has ended before may have decided the target.
            if !several || self.alternatives.has(place, endpoint.port()) {
                self.conclude(place, endpoint, outcome);
            }
        }
    }

    /// No look-up begins any more.
    pub(super) fn close_lookups(&mut self) {
        for (place, fault) in self.lookups.as_mut().map(Lookups::close).into_iter().flatten() {
            self.roster.resolve(place, &[]);
            self.unasked.push((place, fault));
        }
    }

    /// An endpoint that the target at `place` stands for has ended.
    pub(super) fn conclude(&mut self, place: u32, remote: SocketAddr, outcome: Outcome) {
        if !self.alternatives.has(place, remote.port()) {
            return self.found(place, remote.port(), Some(remote), outcome, Vec::new());
        }
        let policy = &self.report.plan.policy;
        if let Some(ending) = self.alternatives.ended(place, remote, outcome, policy) {
            self.end_alternatives(place, ending);
        }
    }

    pub(super) fn end_alternatives(&mut self, place: u32, ending: Ending) {
        let Ending { endpoint, outcome, others } = ending;
        for other in others.iter().filter(|other| !other.ended) {
            if self.roster.leave(place, other.endpoint) {
                self.unwanted.push(other.endpoint);
            }
        }
        let others = others.into_iter().map(|other| (other.endpoint.ip(), other.outcome)).collect();
        self.found(place, endpoint.port(), Some(endpoint), outcome, others);
    }

    /// This machine has no route to `remote` for now: a name that has been answered for at all its
    /// other addresses does not wait.
    pub(super) fn pass_over(&mut self, remote: SocketAddr, cause: NoRoute) {
        for place in self.roster.waiting(remote) {
            let policy = &self.report.plan.policy;
            if let Some(ending) = self.alternatives.without_route(place, remote, cause, policy) {
                self.end_alternatives(place, ending);
            }
        }
    }
}

fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}
