//! What handlers know.

use std::sync::Arc;

use super::security::{Security, SecurityFiles};
use super::users::Passwords;
use super::{InForce, Notices, Reloads};
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
