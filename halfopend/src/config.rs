//! What the operator wants, as values, and how it is written.
//!
//! A configuration is understood in two stages. [`Settings::read`] reads the file before privilege
//! is given up: it is often readable only for root. [`Settings::read_targets`] reads the files of
//! targets, which may be written by others, afterwards.

mod duplicates;
mod error;
mod on_demand;
mod parse;
pub(crate) mod regular;
mod settings;
mod source;
mod summary;
mod tables;
mod words;
mod written;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use halfopen::attempt::Attempts;
use halfopen::engine::{Egress, EngineKind};
use halfopen::schedule::Schedule;
use halfopen::target::Target;

pub use self::error::{ConfigError, Position, Problem};
pub use self::parse::parse;
pub use self::settings::Settings;
pub use self::summary::Summary;
pub use self::written::Written;

use crate::fleet::PoolSettings;
use crate::fleet::fail_open::Limit;
use crate::fleet::health::Rules;

/// The most targets of all pools together.
pub const MOST_TARGETS: u128 = 1_000_000;

/// The most pools.
pub const MOST_POOLS: usize = 10_000;

/// The highest rate that can be written, in SYNs per second.
pub const MOST_SYNS: u32 = 1_000_000;

/// The shortest time between two checks of a target that can be written. A target rests that long
/// between checks, so that a late answer to one is not taken for an answer to the next.
pub const LEAST_INTERVAL: Duration = Duration::from_millis(500);

/// A configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The most SYNs per second, of all pools together.
    pub rate: u32,
    /// Which engine to use.
    pub engine: EngineKind,
    /// Whether there are metrics of each target, not only of pools.
    pub target_metrics: bool,
    /// Whether to find out why targets are down.
    pub explain: bool,
    /// The pools.
    pub pools: Vec<PoolConfig>,
    /// What single checks on demand may probe; nothing, unless it is written.
    pub probe: Option<ProbeConfig>,
    /// How they can be made.
    pub modules: Vec<ModuleConfig>,
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

/// What single checks on demand may probe.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeConfig {
    /// The endpoints that are allowed. None has a name.
    pub allow: Vec<Target>,
    /// The most checks at the same time.
    pub max_in_flight: u32,
    /// The index of the engine that their segments leave by.
    pub engine: usize,
}

/// How single checks on demand can be made.
#[derive(Debug, Clone, PartialEq)]
pub struct ModuleConfig {
    /// Its name.
    pub name: Box<str>,
    /// The time that a check may take.
    pub timeout: Duration,
    /// How many SYNs it has.
    pub attempts: Attempts,
    /// Which addresses of a name come first.
    pub preferred: IpProtocol,
    /// Whether the other addresses may be used if there is none of those.
    pub falls_back: bool,
}

/// A version of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpProtocol {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
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
        Self {
            rate: 10_000,
            target_metrics: true,
            explain: true,
            engine: EngineKind::Auto,
            pools: vec![pool],
            probe: None,
            modules: vec![],
        }
    }

    /// Returns the most SYNs that any check has.
    pub fn attempts(&self) -> Attempts {
        let of_pools = self.pools.iter().map(|pool| pool.settings.schedule.attempts());
        let all = of_pools.chain(self.modules.iter().map(|module| module.attempts));
        all.max_by_key(|attempts| attempts.count()).unwrap_or(Attempts::MAX)
    }
}

impl ModuleConfig {
    /// Returns a module that has all defaults: those of a pool, and of `blackbox_exporter`.
    pub fn named(name: &str) -> Self {
        let pool = PoolConfig::named("").settings;
        Self {
            name: name.into(),
            timeout: PoolConfig::TIMEOUT,
            attempts: pool.schedule.attempts(),
            preferred: IpProtocol::V6,
            falls_back: true,
        }
    }
}

impl PoolConfig {
    /// The time that a check may take by default, unless the interval is shorter.
    const TIMEOUT: Duration = Duration::from_millis(1500);

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
                schedule: Schedule::fit(attempts, Self::TIMEOUT),
                interval,
                transition_interval: Duration::from_secs(1),
                down_interval: interval,
                jitter: 0.1,
                rules: Rules { rise: 2, fall: 3, fall_refused: 2 },
                holds_if_isolated: true,
                fail_open: Limit::Off,
                engine: 0,
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
