//! What an engine has per address family.

use std::net::SocketAddr;

use socket2::Domain;

use super::EngineConfig;
use crate::local_error::LocalError;

/// A value for IPv4 and one for IPv6: `None` if the family is not wanted, an error if it cannot be
/// used.
pub(super) struct PerFamily<T> {
    v4: Option<Result<T, LocalError>>,
    v6: Option<Result<T, LocalError>>,
}

impl<T> PerFamily<T> {
    /// Opens the families that `config` wants.
    pub(super) fn open(
        config: &EngineConfig,
        mut open: impl FnMut(Domain) -> Result<T, LocalError>,
    ) -> Self {
        Self {
            v4: config.v4.then(|| open(Domain::IPV4)),
            v6: config.v6.then(|| open(Domain::IPV6)),
        }
    }

    /// Checks that at least one of the families that are wanted now can be used.
    pub(super) fn check(&self, v4: bool, v6: bool) -> Result<(), LocalError> {
        let mut error = None;
        for (_, there) in [(v4, &self.v4), (v6, &self.v6)].into_iter().filter(|(wanted, _)| *wanted)
        {
            let Some(Err(missing)) = there else { return Ok(()) };
            error.get_or_insert(missing);
        }
        error.map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Returns why families that are wanted cannot be used.
    pub(super) fn errors(&self) -> impl Iterator<Item = &LocalError> {
        [&self.v4, &self.v6].into_iter().flatten().filter_map(|there| there.as_ref().err())
    }

    /// Returns the value for the family of `address`.
    ///
    /// # Panics
    ///
    /// Panics if that family was not wanted.
    pub(super) fn of(&mut self, address: SocketAddr) -> Result<&mut T, LocalError> {
        let there = if address.is_ipv4() { &mut self.v4 } else { &mut self.v6 };
        let there = there.as_mut().expect("opened for the family of every target");
        there.as_mut().map_err(|error| error.clone())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        [&self.v4, &self.v6].into_iter().flatten().flatten()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        [&mut self.v4, &mut self.v6].into_iter().flatten().flatten()
    }
}
