//! What a name stands for: its addresses, as one target or as one each.

use std::net::SocketAddr;

use super::Session;
use crate::alternatives::{Alternative, Ending};
use crate::local_error::NoRoute;
use crate::resolve::{Addresses, Lookups, NoAddress};
use crate::verdict::{NoVerdict, Outcome};

/// Addresses of a name that are probed at most, and endpoints that they and its ports come to: a
/// name service is not trusted.
const ADDRESSES: usize = 256;
const ENDPOINTS: usize = 1 << 18;

impl Session<'_> {
    /// Takes in what the name service has said since.
    pub(super) fn take_in_names(&mut self) {
        while let Some((id, found)) = self.lookups.as_mut().and_then(Lookups::poll) {
            if let Ok(addresses) = &found {
                let name = self.target_set.target(id).hosts.to_string();
                self.report.addresses.push((name, addresses.clone()));
            }
            match found.and_then(|addresses| self.fitting(addresses)) {
                Ok(addresses) => self.begin(id, &addresses),
                Err(error) => {
                    self.target_set.resolve(id, &[]);
                    self.found_all_ports(id, &error.outcome());
                }
            }
        }
        if self.target_set.is_resolved() {
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
                let cause = cause.clone().into();
                Err(NoAddress::Unusable(NoVerdict::NoAddressFits { addresses, cause }))
            }
            _ => Ok(addresses.into_iter().filter(fits).collect()),
        }
    }

    /// The addresses of the name `id` are known.
    fn begin(&mut self, id: u32, addresses: &[SocketAddr]) {
        let ports = self.target_set.target(id).ports.iter();
        let most = (ENDPOINTS / ports.clone().count()).min(ADDRESSES);
        let (probed, rest) = addresses.split_at(addresses.len().min(most));
        for port in ports {
            let on_port = |address: &SocketAddr| with_port(*address, port);
            let too_many = NoVerdict::TooManyAddresses { addresses: addresses.len(), probed: most };
            if self.report.plan.every_address {
                self.report.total += (addresses.len().min(most + 1) - 1) as u128;
                if let Some(address) = rest.first().map(on_port) {
                    self.found(id, port, Some(address), Err(too_many), Vec::new());
                }
            } else if addresses.len() > 1 {
                let probed = probed.iter().map(on_port).map(Alternative::new);
                let rest = rest.first().map(on_port);
                let rest = rest.map(|address| Alternative::left_out(address, too_many));
                self.alternatives.begin(id, port, probed.chain(rest).collect());
            }
        }
        let several = addresses.len() > 1 && !self.report.plan.every_address;
        for (endpoint, outcome) in self.target_set.resolve(id, probed) {
            // One that has ended before may have decided the target.
            if !several || self.alternatives.has(id, endpoint.port()) {
                self.conclude(id, endpoint, outcome);
            }
        }
    }

    /// No look-up begins any more.
    pub(super) fn close_lookups(&mut self) {
        for (id, error) in self.lookups.as_mut().map(Lookups::close).into_iter().flatten() {
            self.target_set.resolve(id, &[]);
            self.unasked.push((id, error));
        }
    }

    /// An endpoint that the target `id` stands for has ended.
    pub(super) fn conclude(&mut self, id: u32, remote: SocketAddr, outcome: Outcome) {
        if !self.alternatives.has(id, remote.port()) {
            return self.found(id, remote.port(), Some(remote), outcome, Vec::new());
        }
        let policy = &self.report.plan.policy;
        if let Some(ending) = self.alternatives.ended(id, remote, outcome, policy) {
            self.end_alternatives(id, ending);
        }
    }

    pub(super) fn end_alternatives(&mut self, id: u32, ending: Ending) {
        let Ending { endpoint, outcome, others } = ending;
        for other in others.iter().filter(|other| !other.ended) {
            if self.target_set.leave(id, other.endpoint) {
                self.unwanted.push(other.endpoint);
            }
        }
        let others = others.into_iter().map(|other| (other.endpoint.ip(), other.outcome)).collect();
        self.found(id, endpoint.port(), Some(endpoint), outcome, others);
    }

    /// This machine has no route to `remote` for now: a name that has been answered for at all its
    /// other addresses does not wait.
    pub(super) fn pass_over(&mut self, remote: SocketAddr, cause: NoRoute) {
        for id in self.target_set.waiting_for(remote) {
            let policy = &self.report.plan.policy;
            if let Some(ending) = self.alternatives.without_route(id, remote, cause, policy) {
                self.end_alternatives(id, ending);
            }
        }
    }
}

fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}
