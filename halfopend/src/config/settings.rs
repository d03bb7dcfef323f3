//! The second stage: files of targets, and what the targets of all pools amount to.

use std::io::Read;
use std::path::Path;
use std::str;
use std::sync::Arc;

use halfopen::target::Target;
use halfopen::target_file::{self, FileError};

use super::duplicates::first_duplicate;
use super::error::{ConfigError, Position, Problem};
use super::parse::parse;
use super::regular::open_regular;
use super::source::Source;
use super::{Config, MOST_TARGETS, PoolConfig};

/// A configuration whose files of targets are not read yet.
#[derive(Debug)]
pub struct Settings {
    /// What is known so far: [`PoolConfig::targets`] lacks the targets of files.
    pub config: Config,
    /// The file, unless the targets are those of the command line.
    pub(super) source: Option<Source>,
}

impl Settings {
    /// Returns the settings of a program that checks the targets of its command line.
    pub fn of_targets(targets: Vec<Target>) -> Self {
        Self { config: Config::of_targets(targets), source: None }
    }

    /// Reads the settings of a file. Do it before privilege is given up.
    ///
    /// # Errors
    ///
    /// Returns the first mistake, and where it is; or why the file cannot be read.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        let name = file.display().to_string();
        let mut bytes = Vec::new();
        let read = open_regular(file).and_then(|mut opened| opened.read_to_end(&mut bytes));
        if let Err(source) = read {
            return Err(ConfigError::Read { file: name, source });
        }
        match str::from_utf8(&bytes) {
            Ok(text) => parse(&name, text),
            Err(error) => {
                let end = error.valid_up_to();
                let text = String::from_utf8_lossy(&bytes[..end]);
                Err(Source::new(&name, &text).at(end, Problem::NotText))
            }
        }
    }

    /// Reads the files of targets, and checks all targets. Do it after privilege is given up. It
    /// may take a second for each million of targets.
    ///
    /// # Errors
    ///
    /// Returns the first mistake, and where it is; or why a file cannot be read.
    pub fn read_targets(mut self) -> Result<Config, ConfigError> {
        let mut room = MOST_TARGETS;
        for index in 0..self.config.pools.len() {
            let pool = &mut self.config.pools[index];
            let lines = Lines::read(pool)?;
            if let Some((target, problem)) = first_mistake(pool, &mut room) {
                return Err(self.at_target(index, target, lines, problem));
            }
        }
        self.check_rate()?;
        Ok(self.config)
    }

    /// Returns a problem of a target of a pool, by its index in [`all`].
    fn at_target(&self, pool: usize, target: usize, lines: Lines, problem: Problem) -> ConfigError {
        let written = self.config.pools[pool].targets.len() - lines.places.len();
        let line = target.checked_sub(written).and_then(|line| lines.places.get(line));
        match (line, &self.source) {
            (Some(&(line, column)), _) => {
                let position = Position { file: lines.file, line, column };
                ConfigError::At { position, problem }
            }
            (None, Some(source)) => {
                let before = if target < written { 0 } else { lines.places.len() };
                source.at_target(pool, target - before, problem)
            }
            (None, None) => ConfigError::CommandLine(problem),
        }
    }

    fn check_rate(&self) -> Result<(), ConfigError> {
        let demands = self.config.pools.iter().map(demand).enumerate();
        let needed: f64 = demands.clone().map(|(_, demand)| demand).sum();
        let rate = self.config.rate;
        if needed <= f64::from(rate) {
            return Ok(());
        }
        let problem = Problem::LowRate { needed: needed.ceil(), rate };
        let largest = demands.max_by(|(_, one), (_, other)| one.total_cmp(other));
        Err(match (&self.source, largest) {
            (Some(source), Some((pool, _))) => source.at_rate_or_pool(pool, problem),
            _ => ConfigError::CommandLine(problem),
        })
    }
}

/// Returns the targets of a pool: those of the configuration, those of its file, and its witnesses.
fn all(pool: &PoolConfig) -> impl Iterator<Item = &Target> + Clone {
    pool.targets.iter().chain(&pool.witnesses)
}

/// Returns the first target of a pool that is one too many or there already, and reduces the room
/// that is left for targets.
fn first_mistake(pool: &PoolConfig, room: &mut u128) -> Option<(usize, Problem)> {
    for (index, target) in all(pool).enumerate() {
        let Some(rest) = room.checked_sub(target.count()) else {
            return Some((index, Problem::TooManyTargets));
        };
        *room = rest;
    }
    let (index, endpoint) = first_duplicate(all(pool))?;
    Some((index, Problem::Duplicate(endpoint)))
}

/// Returns how many SYNs per second the checks of a pool take if all targets answer the first one.
fn demand(pool: &PoolConfig) -> f64 {
    let count: u128 = all(pool).map(Target::count).sum();
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    f64::from(count) / pool.settings.interval.as_secs_f64()
}

/// Where the targets of a file are.
struct Lines {
    file: Arc<str>,
    /// The line and the column of each.
    places: Vec<(usize, usize)>,
}

impl Lines {
    /// Adds the targets of its file to a pool, if it has one.
    fn read(pool: &mut PoolConfig) -> Result<Self, FileError> {
        let Some(path) = &pool.file else {
            return Ok(Self { file: "".into(), places: Vec::new() });
        };
        let file = path.display().to_string();
        let opened =
            open_regular(path).map_err(|source| FileError::Read { file: file.clone(), source })?;
        let mut places = Vec::new();
        target_file::read_each(&file, opened, |place, target| {
            places.push(place);
            pool.targets.push(target);
        })?;
        Ok(Self { file: file.into(), places })
    }
}
