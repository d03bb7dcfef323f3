//! The first stage: text in, settings out.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use halfopen::engine::Egress;
use halfopen::schedule::Schedule;
use halfopen::target::Target;
use toml::Spanned;

use super::error::{ConfigError, Problem};
use super::on_demand::{module, probe};
use super::settings::Settings;
use super::source::Source;
use super::tables;
use super::words::{Argument, Isolation, Name, Quoted, Retries, Whole, Written};
use super::{Config, LEAST_INTERVAL, MOST_POOLS, PoolConfig};
use crate::fleet::PoolSettings;
use crate::fleet::health::Rules;

/// Understands the text of a file. `file` is what messages call it; files that it names are looked
/// for in the same folder.
///
/// # Errors
///
/// Returns the first mistake, and where it is.
pub fn parse(file: &str, text: &str) -> Result<Settings, ConfigError> {
    let mut source = Source::new(file, text);
    let tables: tables::File = toml::from_str(text).map_err(|error| source.toml(&error))?;
    let defaults = Config::of_targets(Vec::new());
    let config = Config {
        target_metrics: tables.target_metrics.unwrap_or(defaults.target_metrics),
        explain: tables.explain.unwrap_or(defaults.explain),
        rate: tables.rate.as_ref().map_or(defaults.rate, |rate| rate.get_ref().get()),
        engine: tables.engine.map_or(defaults.engine, |Quoted(engine)| engine),
        pools: pools(&mut source, tables.pool)?,
        probe: tables.probe.map(|table| probe(&source, table)).transpose()?,
        modules: tables.module.into_iter().map(|(name, table)| module(name, &table)).collect(),
    };
    source.rate = tables.rate.map(|rate| rate.span().start);
    Ok(Settings { config, source: Some(source) })
}

fn pools(
    source: &mut Source,
    tables: BTreeMap<Spanned<Quoted<Name>>, tables::Pool>,
) -> Result<Vec<PoolConfig>, ConfigError> {
    let mut tables: Vec<_> = tables.into_iter().collect();
    tables.sort_unstable_by_key(|(name, _)| name.span().start);
    if tables.is_empty() {
        return Err(source.at(0, Problem::NoPool));
    }
    if let Some((name, _)) = tables.get(MOST_POOLS) {
        return Err(source.at(name.span().start, Problem::TooManyPools));
    }
    let understand = |(name, table): (Spanned<Quoted<Name>>, tables::Pool)| {
        source.add_pool(&name, &table);
        pool(source, &name, table)
    };
    tables.into_iter().map(understand).collect()
}

fn pool(
    source: &Source,
    name: &Spanned<Quoted<Name>>,
    table: tables::Pool,
) -> Result<PoolConfig, ConfigError> {
    if table.targets.is_empty() && table.file.is_none() {
        return Err(source.at(name.span().start, Problem::NoTarget));
    }
    let folder = Path::new(&*source.file).parent().unwrap_or(Path::new(""));
    let defaults = PoolConfig::named("");
    Ok(PoolConfig {
        settings: settings(source, name, &table)?,
        targets: targets(table.targets),
        file: table.file.map(|file| folder.join(file)),
        witnesses: targets(table.witness),
        addresses: table.addresses.map_or(defaults.addresses, |Quoted(addresses)| addresses),
        egress: Egress {
            source: table.source.map(|Quoted(address)| address),
            interface: table.interface.map(|Quoted(interface)| interface.0),
            mark: table.mark.map(Whole::get),
            dscp: table.dscp.map(Whole::get),
            ttl: table.ttl.map(Whole::get),
        },
        hook: table.hook.map(|hook| program(source, hook)).transpose()?,
        agent: table.agent.map(|Quoted(address)| address),
    })
}

fn settings(
    source: &Source,
    name: &Spanned<Quoted<Name>>,
    table: &tables::Pool,
) -> Result<PoolSettings, ConfigError> {
    let defaults = PoolConfig::named(&name.as_ref().0.0).settings;
    let interval = interval(source, table.interval.as_ref())?.unwrap_or(defaults.interval);
    let while_changing = self::interval(source, table.transition_interval.as_ref())?;
    let while_down = self::interval(source, table.down_interval.as_ref())?;
    let attempts = table.retries.map_or(defaults.schedule.attempts(), Retries::attempts);
    let timeout = timeout(source, table.timeout.as_ref(), interval)?;
    let rules = defaults.rules;
    Ok(PoolSettings {
        schedule: Schedule::fit(attempts, timeout),
        interval,
        transition_interval: while_changing.unwrap_or(defaults.transition_interval.min(interval)),
        down_interval: while_down.unwrap_or(interval),
        jitter: table.jitter.as_ref().map_or(defaults.jitter, |Quoted(jitter)| jitter.0),
        rules: Rules {
            rise: table.rise.map_or(rules.rise, Whole::get),
            fall: table.fall.map_or(rules.fall, Whole::get),
            fall_refused: table.fall_refused.map_or(rules.fall_refused, Whole::get),
        },
        holds_if_isolated: !matches!(table.isolation, Some(Quoted(Isolation::Ignore))),
        fail_open: table.fail_open.map_or(defaults.fail_open, |fail_open| fail_open.0),
        ..defaults
    })
}

fn timeout(
    source: &Source,
    written: Option<&Spanned<Quoted<Duration>>>,
    interval: Duration,
) -> Result<Duration, ConfigError> {
    let Some(written) = written else { return Ok(PoolConfig::TIMEOUT.min(interval)) };
    let timeout = written.as_ref().0;
    if timeout > interval {
        let problem = Problem::LongTimeout { timeout, interval };
        return Err(source.at(written.span().start, problem));
    }
    Ok(timeout)
}

fn interval(
    source: &Source,
    written: Option<&Spanned<Quoted<Duration>>>,
) -> Result<Option<Duration>, ConfigError> {
    let Some(written) = written else { return Ok(None) };
    let interval = written.as_ref().0;
    if interval < LEAST_INTERVAL {
        return Err(source.at(written.span().start, Problem::ShortInterval(interval)));
    }
    Ok(Some(interval))
}

pub(super) fn targets(written: Vec<Spanned<Written>>) -> Vec<Target> {
    written.into_iter().map(|target| target.into_inner().0).collect()
}

fn program(
    source: &Source,
    hook: Spanned<Vec<Quoted<Argument>>>,
) -> Result<Vec<String>, ConfigError> {
    let start = hook.span().start;
    let words: Vec<_> = hook.into_inner().into_iter().map(|Quoted(word)| word.0).collect();
    let is_path = words.first().is_some_and(|program| program.starts_with('/'));
    if is_path { Ok(words) } else { Err(source.at(start, Problem::NoProgram)) }
}
