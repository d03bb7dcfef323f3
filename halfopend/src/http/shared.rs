//! What handlers know.

use std::sync::{Arc, Mutex, PoisonError};

use super::Reloads;
use crate::live::Live;

/// What handlers know.
pub(super) struct Shared {
    /// What is known of the targets.
    pub(super) live: Arc<Live>,
    /// True if there are metrics of each target, not only of pools.
    pub(super) has_target_metrics: bool,
    /// Asks the loop to read the configuration again.
    pub(super) reloads: Arc<Reloads>,
    /// The configuration in force.
    in_force: Mutex<Arc<str>>,
}

impl Shared {
    pub(super) fn new(
        live: Live,
        has_target_metrics: bool,
        reloads: Arc<Reloads>,
        in_force: String,
    ) -> Self {
        Self {
            live: Arc::new(live),
            has_target_metrics,
            reloads,
            in_force: Mutex::new(in_force.into()),
        }
    }

    pub(super) fn in_force(&self) -> Arc<str> {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
