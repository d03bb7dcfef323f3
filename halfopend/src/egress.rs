//! The different ways in which segments leave this machine. Each has an engine of its own.

use std::time::Duration;

use halfopen::engine::{Egress, EngineConfig, OpenEngines};
use halfopen::target::Target;

use crate::config::{Config, PoolConfig};

/// How many bits of the ids that the loop is given say which target it is. The others are the
/// index of the engine that it leaves by.
const TARGET_BITS: u32 = 27;

const _: () = assert!(OpenEngines::MAX <= 1 << (u32::BITS - TARGET_BITS));

/// There are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the pools have {0} different combinations of source, interface, mark, dscp and ttl; at most {most} are possible",
    most = OpenEngines::MAX
)]
pub struct TooMany(usize);

/// Returns what engines to open, and makes each pool refer to its own by the index.
///
/// # Errors
///
/// Returns an error if there are more than [`OpenEngines::MAX`].
pub fn engines(config: &mut Config) -> Result<Vec<EngineConfig>, TooMany> {
    let egresses = number(config)?;
    let (kind, attempts) = (config.engine, config.attempts());
    let explain = config.explain;
    let engine = |egress| EngineConfig { kind, egress, attempts, v4: true, v6: true, explain };
    Ok(egresses.into_iter().map(engine).collect())
}

/// Returns the different ways in which segments leave, and sets the index of each pool's own.
/// Checks on demand leave like the checks of a pool without such settings.
fn number(config: &mut Config) -> Result<Vec<Egress>, TooMany> {
    let mut different: Vec<Egress> = Vec::new();
    let mut index = |wanted: &Egress| {
        different.iter().position(|egress| egress == wanted).unwrap_or_else(|| {
            different.push(wanted.clone());
            different.len() - 1
        })
    };
    for pool in &mut config.pools {
        pool.settings.engine = index(&pool.egress);
    }
    if let Some(probe) = &mut config.probe {
        probe.engine = index(&Egress::default());
    }
    if different.len() > OpenEngines::MAX { Err(TooMany(different.len())) } else { Ok(different) }
}

/// Returns what the log says of engines that may have to run more checks at once than they can, if
/// all targets are silent.
pub fn shortages(config: &Config, capacities: &[usize]) -> Vec<String> {
    let shortage = |(engine, capacity): (usize, &usize)| {
        let own = config.pools.iter().filter(|pool| pool.settings.engine == engine);
        let needed: Vec<_> = own.map(|pool| (checks_at_once(pool), pool)).collect();
        let all: u128 = needed.iter().map(|(checks, _)| checks).sum();
        let (_, most) = needed.iter().max_by_key(|(checks, _)| *checks)?;
        let others = if needed.len() > 1 { " and others" } else { "" };
        (all > *capacity as u128).then(|| {
            format!(
                "pool.{}{others}: if all targets are silent, {all} checks run at once, but there \
                 are descriptors for {capacity}, so checks would be late; try: a higher limit on \
                 open files (LimitNOFILE=, ulimit -n)",
                most.settings.name
            )
        })
    };
    capacities.iter().enumerate().filter_map(shortage).collect()
}

/// Returns how many checks of a pool run at once if all targets are silent.
fn checks_at_once(pool: &PoolConfig) -> u128 {
    let targets: u128 = pool.targets.iter().chain(&pool.witnesses).map(Target::count).sum();
    let settings = &pool.settings;
    let timeout: Duration = settings.schedule.waits().sum();
    let interval = settings.interval.min(settings.down_interval).max(timeout);
    (targets * timeout.as_nanos()).div_ceil(interval.as_nanos().max(1))
}

/// Returns the id by which the loop knows the target `id`, which leaves by that engine.
///
/// # Panics
///
/// Panics if there can be no engine with that index.
pub fn id_with_engine(id: u32, engine: usize) -> u32 {
    let engine = u32::try_from(engine).expect("at most 32 engines");
    id | engine << TARGET_BITS
}

/// Returns the engine that a target of the loop leaves by.
pub fn engine_of(id: u32) -> usize {
    (id >> TARGET_BITS) as usize
}

/// Returns the id by which the fleet knows a target of the loop.
pub fn target_of(id: u32) -> u32 {
    id & ((1 << TARGET_BITS) - 1)
}

#[cfg(test)]
mod tests {
    use halfopen::schedule::Schedule;

    use super::*;

    fn config(marks: impl Iterator<Item = u32>) -> Config {
        let pool = |mark| PoolConfig {
            egress: Egress { mark: Some(mark), ..Egress::default() },
            ..PoolConfig::named("web")
        };
        Config { pools: marks.map(pool).collect(), ..Config::of_targets(Vec::new()) }
    }

    #[test]
    fn pools_that_leave_alike_share_an_engine() {
        let mut config = config([7, 8, 7, 9, 8].into_iter());
        let different = number(&mut config).unwrap();
        assert_eq!(
            different.iter().map(|egress| egress.mark).collect::<Vec<_>>(),
            [7, 8, 9].map(Some)
        );
        let engines: Vec<_> = config.pools.iter().map(|pool| pool.settings.engine).collect();
        assert_eq!(engines, [0, 1, 0, 2, 1]);
    }

    #[test]
    fn the_error_names_the_limit() {
        assert_eq!(number(&mut config(0..32)).map(|different| different.len()), Ok(32));
        let error = number(&mut config(0..33)).unwrap_err().to_string();
        assert!(error.contains("33 different") && error.contains("at most 32"), "{error}");
    }

    /// A thousand targets, a second of every five each, are two hundred at once.
    #[test]
    fn a_shortage_names_the_pool() {
        let mut config = config([7, 8].into_iter());
        config.pools[1].targets = vec!["198.18.0.0/22:80".parse().unwrap()];
        let schedule = &mut config.pools[1].settings.schedule;
        *schedule = Schedule::fit(schedule.attempts(), Duration::from_secs(1));
        config.pools[1].settings.name = "big".into();
        number(&mut config).unwrap();
        let lines = shortages(&config, &[1, 204]);
        assert!(lines.len() == 1 && lines[0].starts_with("pool.big: if "), "{lines:?}");
        assert!(lines[0].contains(" 205 checks run at once"), "{lines:?}");
        assert_eq!(shortages(&config, &[1, 205]), [""; 0]);
    }

    #[test]
    fn an_id_with_engine_keeps_both() {
        for (id, engine) in [(0, 0), (1_000_000, 31), (1, 1)] {
            let both = id_with_engine(id, engine);
            assert_eq!((target_of(both), engine_of(both)), (id, engine));
        }
    }
}
