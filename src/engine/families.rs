//! What an engine has for each address family.

use std::net::SocketAddr;

use socket2::Domain;

use super::Opening;
use crate::fault::Fault;

/// What is there for IPv4 and for IPv6; `None` where the family is not wanted, a fault where it
/// cannot be had.
pub(super) struct Families<T> {
    v4: Option<Result<T, Fault>>,
    v6: Option<Result<T, Fault>>,
}

impl<T> Families<T> {
    /// Opens what is wanted.
    pub(super) fn open(
        opening: &Opening,
        mut open: impl FnMut(Domain) -> Result<T, Fault>,
    ) -> Self {
        Self {
            v4: opening.v4.then(|| open(Domain::IPV4)),
            v6: opening.v6.then(|| open(Domain::IPV6)),
        }
    }

    /// Fails where there is nothing for any of the families that are wanted now.
    pub(super) fn ready(&self, v4: bool, v6: bool) -> Result<(), Fault> {
        let mut fault = None;
        for (_, there) in [(v4, &self.v4), (v6, &self.v6)].into_iter().filter(|(wanted, _)| *wanted)
        {
            let Some(Err(missing)) = there else { return Ok(()) };
            fault.get_or_insert(missing);
        }
        fault.map_or(Ok(()), |fault| Err(fault.clone()))
    }

    /// Why families cannot be had that are wanted.
    pub(super) fn faults(&self) -> impl Iterator<Item = &Fault> {
        [&self.v4, &self.v6].into_iter().flatten().filter_map(|there| there.as_ref().err())
    }

    /// What sends to and from addresses like `address`.
    pub(super) fn of(&mut self, address: SocketAddr) -> Result<&mut T, Fault> {
        let there = if address.is_ipv4() { &mut self.v4 } else { &mut self.v6 };
        let there = there.as_mut().expect("opened for the family of every target");
        there.as_mut().map_err(|fault| fault.clone())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        [&self.v4, &self.v6].into_iter().flatten().flatten()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        [&mut self.v4, &mut self.v6].into_iter().flatten().flatten()
    }
}
