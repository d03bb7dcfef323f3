//! What the operator wants, as values.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use halfopen::attempt::Attempts;
use halfopen::engine::{Egress, EngineKind};
use halfopen::schedule::Schedule;
use halfopen::target::Target;

use crate::fleet::PoolSettings;
use crate::fleet::fail_open::Limit;
use crate::fleet::health::Rules;

/// A configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The most SYNs per second, of all pools together.
    pub rate: u32,
    /// Which engine to use.
    pub engine: EngineKind,
    /// The pools.
    pub pools: Vec<PoolConfig>,
}

/// A pool, as the operator wants it.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolConfig {
    /// How its targets are checked, and what the checks mean.
    pub settings: PoolSettings,
    /// Its targets, except those of `file`.
    pub targets: Vec<Target>,
    /// A file of targets.
    pub file: Option<PathBuf>,
    /// Targets that are probed, but not reported.
    pub witnesses: Vec<Target>,
    /// Which addresses of a name are targets.
    pub addresses: Addresses,
    /// How segments leave this machine.
    pub egress: Egress,
    /// A program to run at transitions, with its arguments.
    pub hook: Option<Vec<String>>,
    /// Where to answer agent checks of `HAProxy`.
    pub agent: Option<SocketAddr>,
}

/// Which addresses of a name are targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addresses {
    /// Only one, which stays the same as long as the name has it.
    First,
    /// Each.
    All,
}

impl Config {
    /// Returns a configuration with one pool that has these targets, and defaults for all else.
    pub fn of_targets(targets: Vec<Target>) -> Self {
        let pool = PoolConfig { targets, ..PoolConfig::named("default") };
        Self { rate: 10_000, engine: EngineKind::Auto, pools: vec![pool] }
    }
}

impl PoolConfig {
    /// Returns a pool without targets that has all defaults.
    ///
    /// # Panics
    ///
    /// Never: the defaults fit.
    pub fn named(name: &str) -> Self {
        let attempts = Attempts::with_retries(2).expect("at most 11");
        let interval = Duration::from_secs(5);
        Self {
            settings: PoolSettings {
                name: name.into(),
                schedule: Schedule::fit(attempts, Duration::from_millis(1500)),
                interval,
                transition_interval: Duration::from_secs(1),
                down_interval: interval,
                jitter: 0.1,
                rules: Rules { rise: 2, fall: 3, fall_refused: 2 },
                holds_if_isolated: true,
                fail_open: Limit::Off,
            },
            targets: Vec::new(),
            file: None,
            witnesses: Vec::new(),
            addresses: Addresses::First,
            egress: Egress::default(),
            hook: None,
            agent: None,
        }
    }
}
