//! What a name stands for: its addresses, as one target or as one each.

use std::net::SocketAddr;

use super::source::{EndedTarget, Source};
use crate::alternatives::Alternative;
use crate::resolve::{Addresses, LookupEvent, Lookups, NoAddress};
use crate::verdict::NoVerdict;

/// The most addresses of a name that are probed, and the most endpoints that they and the ports
/// come to: a name service is not trusted.
const ADDRESSES: usize = 256;
const ENDPOINTS: usize = 1 << 18;

impl Source {
    /// Processes the look-ups that have begun, which was early enough if `in_time` is true, and
    /// those that have ended.
    pub(super) fn take_in_names(&mut self, in_time: bool) {
        while let Some(event) = self.lookups.as_mut().and_then(Lookups::poll) {
            match event {
                LookupEvent::Began(id) if in_time => {
                    self.begun_in_time.insert(id);
                }
                LookupEvent::Began(id) => {
                    self.begun_in_time.remove(&id);
                }
                LookupEvent::Ended(id, found) => self.take_in(id, found),
            }
        }
        if self.target_set.is_resolved() {
            self.lookups = None;
        }
    }

    fn take_in(&mut self, id: u32, found: Addresses) {
        if let Ok(addresses) = &found {
            let name = self.target(id).hosts.to_string();
            self.addresses.push((name, addresses.clone()));
        }
        match found.and_then(|addresses| self.usable(addresses)) {
            Ok(addresses) => self.begin(id, &addresses),
            Err(error) => {
                self.target_set.resolve(id, &[]);
                self.end_all_ports(id, error.outcome());
            }
        }
    }

    /// Begins no more look-ups.
    pub(super) fn close_lookups(&mut self) {
        for (id, error) in self.lookups.as_mut().map(Lookups::close).into_iter().flatten() {
            self.target_set.resolve(id, &[]);
            self.not_looked_up.push((id, error));
        }
    }

    /// Returns those of a name's addresses that this machine can send to.
    fn usable(&self, addresses: Vec<SocketAddr>) -> Addresses {
        let obstacle =
            |address: &SocketAddr| self.unusable[usize::from(address.is_ipv6())].as_ref();
        let is_usable = |address: &SocketAddr| obstacle(address).is_none();
        match addresses.first().and_then(obstacle) {
            Some(cause) if !addresses.iter().any(is_usable) => {
                let addresses = addresses.iter().map(SocketAddr::ip).collect();
                let cause = cause.clone().into();
                Err(NoAddress::Unusable(NoVerdict::NoAddressFits { addresses, cause }))
            }
            _ => Ok(addresses.into_iter().filter(is_usable).collect()),
        }
    }

    /// Adds the addresses of the name `id`.
    fn begin(&mut self, id: u32, addresses: &[SocketAddr]) {
        let ports = self.target(id).ports.iter();
        let most = (ENDPOINTS / ports.clone().count()).min(ADDRESSES);
        let (probed, rest) = addresses.split_at(addresses.len().min(most));
        for port in ports {
            let on_port = |address: &SocketAddr| with_port(*address, port);
            let rest = rest.first().map(on_port);
            let too_many = NoVerdict::TooManyAddresses { addresses: addresses.len(), probed: most };
            if self.every_address {
                self.total += (addresses.len().min(most + 1) - 1) as u128;
                let (outcome, others) = (Err(too_many), Vec::new());
                let left_out = rest.map(|address| EndedTarget {
                    id,
                    endpoint: Some(address),
                    outcome,
                    others,
                });
                self.ended.extend(left_out);
            } else if addresses.len() > 1 {
                let probed = probed.iter().map(on_port).map(Alternative::new);
                let rest = rest.map(|address| Alternative::left_out(address, too_many));
                self.alternatives.begin(id, port, probed.chain(rest).collect());
            }
        }
        let several = addresses.len() > 1 && !self.every_address;
        for (endpoint, outcome) in self.target_set.resolve(id, probed) {
            // An endpoint that ended before may have decided the target already.
            if !several || self.alternatives.has(id, endpoint.port()) {
                self.conclude(id, endpoint, outcome);
            }
        }
    }
}

fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}
