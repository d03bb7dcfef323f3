//! What the operator wants, as values.

use std::time::Duration;

use crate::family::{Family, WrongFamily};
use crate::local_error::LocalError;
use crate::status::{Expected, MinOpen, Policy, Status};
use crate::target::Target;

/// A check, as the operator wants it.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What to check.
    pub targets: Vec<Target>,
    /// How to check it.
    pub settings: Settings,
}

/// The options of a check.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Which address families may be used.
    pub family: Family,
    /// Whether each address of a name is a target of its own.
    pub every_address: bool,
    /// The whole program's deadline, counted from its start.
    pub timeout: Duration,
    /// The most SYNs per second, 0 for no limit.
    pub rate: u32,
    /// What states and times mean.
    pub policy: Policy,
    /// How many targets of a pool must be open; without it, each target must be OK.
    pub min_open: Option<MinOpen>,
    /// How the result is written.
    pub format: Format,
    /// How much is written beside the result, 0 to 3.
    pub verbosity: u8,
    /// Whether to find out why targets are not open.
    pub explain: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            family: Family::Any,
            every_address: false,
            timeout: Duration::from_secs(10),
            rate: 10_000,
            policy: Policy {
                expected: Expected::Open { refused: Status::Critical },
                warning: None,
                critical: None,
            },
            min_open: None,
            format: Format::Nagios,
            verbosity: 0,
            explain: false,
        }
    }
}

impl Plan {
    /// Returns how many endpoints the targets stand for; a name counts as one address.
    pub fn total(&self) -> u128 {
        self.targets.iter().map(Target::count).fold(0, u128::saturating_add)
    }

    /// Checks that the plan can be carried out as it stands.
    ///
    /// # Errors
    ///
    /// Returns an error if there are too many targets for the time, or one is of the wrong address
    /// family.
    pub fn verify(&self) -> Result<(), PlanError> {
        let Settings { rate, timeout, family, .. } = self.settings;
        let targets = self.total();
        let least = targets.saturating_sub(1).saturating_mul(1000).checked_div(rate.into());
        if targets > 1 && least.is_some_and(|least| least >= latest_start(timeout).as_millis()) {
            return Err(PlanError::TooManyTargets { targets, rate, timeout });
        }
        let mut addresses = self.targets.iter().filter_map(|target| target.hosts.address());
        match addresses.find(|address| !family.admits(*address)) {
            Some(address) => Err(WrongFamily(address).into()),
            None => Ok(()),
        }
    }
}

/// Why a plan cannot be carried out as it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// So many first SYNs do not fit in the time there is.
    #[error(
        "--rate {rate} is too slow to send a SYN to {targets} targets within --timeout {}: \
         write --timeout {} or --rate {}, or check fewer targets at once",
        timeout.as_secs_f64(), timeout_for(*targets, *rate), rate_for(*targets, *timeout)
    )]
    TooManyTargets {
        /// Endpoints to probe.
        targets: u128,
        /// SYNs per second.
        rate: u32,
        /// The deadline.
        timeout: Duration,
    },
    /// A target is an address of the wrong family.
    #[error("{0} with -4 or -6")]
    Family(#[from] WrongFamily),
    /// A target is on a network interface that does not exist.
    #[error(transparent)]
    Interface(LocalError),
}

/// Returns when the last of all targets may begin: a quarter of the time is left for its answer,
/// because silence for less would be a guess.
pub fn latest_start(timeout: Duration) -> Duration {
    timeout / 4 * 3
}

/// Returns the deadline, in seconds, that is enough for the first SYNs of `targets`.
fn timeout_for(targets: u128, rate: u32) -> u128 {
    targets.saturating_mul(4).div_ceil(u128::from(rate).saturating_mul(3))
}

/// Returns the rate that is enough to send the first SYNs of `targets` in time.
fn rate_for(targets: u128, timeout: Duration) -> u128 {
    targets.saturating_mul(1000).div_ceil(latest_start(timeout).as_millis().max(1))
}

/// A way to write a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A plugin's line with performance data.
    Nagios,
    /// JSON Lines.
    Json,
    /// For people.
    Text,
}
