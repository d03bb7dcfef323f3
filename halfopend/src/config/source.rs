//! The text of a file, and where in it the values are that are checked later.

use std::sync::Arc;

use toml::Spanned;

use super::error::{ConfigError, Position, Problem};
use super::tables;
use super::words::{Name, Quoted};

/// The longest that the parser may say, in bytes: it quotes values of any length.
const LONGEST: usize = 800;

/// The text of a file. Places are offsets in bytes.
#[derive(Debug)]
pub(super) struct Source {
    /// What messages call it.
    pub(super) file: Arc<str>,
    text: Box<str>,
    /// Where the rate is, if it is written.
    pub(super) rate: Option<usize>,
    pools: Vec<PoolSource>,
}

#[derive(Debug)]
struct PoolSource {
    name: usize,
    /// Where its targets are, and then its witnesses.
    targets: Box<[usize]>,
}

impl Source {
    pub(super) fn new(file: &str, text: &str) -> Self {
        Self { file: file.into(), text: text.into(), rate: None, pools: Vec::new() }
    }

    /// Adds the next pool.
    pub(super) fn add_pool(&mut self, name: &Spanned<Quoted<Name>>, table: &tables::Pool) {
        let targets = table.targets.iter().chain(&table.witness);
        let targets = targets.map(|target| target.span().start).collect();
        self.pools.push(PoolSource { name: name.span().start, targets });
    }

    /// Returns a problem that is at this place.
    pub(super) fn at(&self, place: usize, problem: Problem) -> ConfigError {
        let position = Position::of(&self.file, &self.text, place);
        ConfigError::At { position, problem }
    }

    /// Returns a problem of the rate, or of this pool if no rate is written.
    pub(super) fn at_rate_or_pool(&self, pool: usize, problem: Problem) -> ConfigError {
        self.at(self.rate.unwrap_or(self.pools[pool].name), problem)
    }

    /// Returns a problem of a target of a pool; its witnesses come after its targets.
    pub(super) fn at_target(&self, pool: usize, target: usize, problem: Problem) -> ConfigError {
        self.at(self.pools[pool].targets[target], problem)
    }

    /// Returns what the parser says.
    pub(super) fn toml(&self, error: &toml::de::Error) -> ConfigError {
        let message = error.message().replacen("unknown field", "unknown key", 1);
        let mut message = message.replace(char::is_control, " ");
        message.truncate(message.floor_char_boundary(LONGEST));
        self.at(error.span().map_or(0, |span| span.start), Problem::Toml(message))
    }
}
