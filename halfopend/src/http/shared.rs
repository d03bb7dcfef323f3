//! What handlers know.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use tokio::net::TcpStream;

use super::security::{Security, SecurityFiles};
use super::users::Passwords;
use super::{InForce, Notices, Probes, Reloads};
use crate::live::Live;

/// What handlers know.
pub(super) struct Shared {
    /// What is known of the targets.
    pub(super) live: Arc<Live>,
    /// True if there are metrics of each target, not only of pools.
    pub(super) has_target_metrics: bool,
    /// Asks the loop to read the configuration again.
    pub(super) reloads: Arc<Reloads>,
    /// Takes lines for the log.
    pub(super) notices: Arc<Notices>,
    /// Who may ask; without it, everyone may.
    pub(super) security: Option<SecurityFiles>,
    /// Compares passwords.
    pub(super) passwords: Passwords,
    /// The configuration in force.
    pub(super) in_force: Arc<InForce>,
    /// Checks on demand.
    pub(super) probes: Arc<Probes>,
}

/// Who asks.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) address: IpAddr,
    pub(super) stream: Arc<TcpStream>,
}

impl Client {
    /// Returns what identifies it when places are shared.
    pub(super) fn group(&self) -> IpAddr {
        group(self.address)
    }
}

/// Returns what stands for a client: a network of IPv6 that one host may have.
pub(super) fn group(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

impl Shared {
    /// Returns what is asked of clients now.
    pub(super) fn security(&self) -> Arc<Security> {
        let Some(files) = &self.security else { return Arc::default() };
        let (security, news) = files.current();
        if let Some(line) = news {
            self.notices.push(line);
        }
        security
    }
}
