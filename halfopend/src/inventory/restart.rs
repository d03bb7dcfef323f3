//! What cannot be changed while the program runs, because it takes privilege that was given up.

use std::collections::HashMap;
use std::net::SocketAddr;

use halfopen::engine::Egress;

use crate::config::{Config, PoolConfig};

/// Returns an error if a new configuration changes something that needs a restart.
///
/// # Errors
///
/// Returns the name of the setting.
pub(super) fn needs_restart(
    start: &Config,
    in_force: &[PoolConfig],
    new: &Config,
) -> Result<(), String> {
    let refuse = |what: String| Err(format!("a change of {what} needs a restart"));
    let settings = [
        (new.rate != start.rate, "rate"),
        (new.engine != start.engine, "engine"),
        (new.target_metrics != start.target_metrics, "target_metrics"),
        (new.explain != start.explain, "explain"),
    ];
    if let Some((_, key)) = settings.into_iter().find(|(changes, _)| *changes) {
        return refuse(key.to_owned());
    }
    if new.probe.is_some() && engine_of_visits(start).is_none() {
        return refuse("probe".to_owned());
    }
    let most = start.attempts().count();
    if let Some(module) = new.modules.iter().find(|module| module.attempts.count() > most) {
        return refuse(format!("module.{}.retries to more than at the start", module.name));
    }
    let (at_start, before) = (by_name(&start.pools), by_name(in_force));
    for pool in &new.pools {
        let name = &*pool.settings.name;
        let before = before.get(name).or_else(|| at_start.get(name)).copied();
        if let Some(agent) = pool.agent.filter(|agent| !listens(start, *agent)) {
            return refuse(format!("pool.{name}.agent to {agent}, where nothing listens yet,"));
        }
        if let Some(key) = change_of_pool(start, before, pool) {
            return refuse(format!("pool.{name}.{key}"));
        }
        if pool.settings.schedule.attempts().count() > most {
            return refuse(format!("pool.{name}.retries to more than at the start"));
        }
    }
    let mut unused =
        start.pools.iter().filter(|pool| pool.agent.is_some_and(|agent| !listens(new, agent)));
    match unused.next() {
        Some(pool) => {
            refuse(format!("pool.{}.agent, which no pool has any more,", pool.settings.name))
        }
        None => Ok(()),
    }
}

/// Returns true if agent checks are answered at this address: other pools may share it.
fn listens(config: &Config, agent: SocketAddr) -> bool {
    config.pools.iter().any(|pool| pool.agent == Some(agent))
}

/// Makes each pool refer to the engine that was opened for its egress.
pub(super) fn use_open_engines(start: &Config, new: &mut Config) {
    let mut open: Vec<(&Egress, usize)> = Vec::new();
    for PoolConfig { egress, settings, .. } in &start.pools {
        if open.iter().all(|(_, engine)| *engine != settings.engine) {
            open.push((egress, settings.engine));
        }
    }
    if let (Some(probe), Some(engine)) = (&mut new.probe, engine_of_visits(start)) {
        probe.engine = engine;
    }
    for PoolConfig { egress, settings, .. } in &mut new.pools {
        if let Some((_, engine)) = open.iter().find(|(open, _)| *open == egress) {
            settings.engine = *engine;
        }
    }
}

fn by_name(pools: &[PoolConfig]) -> HashMap<&str, &PoolConfig> {
    pools.iter().map(|pool| (&*pool.settings.name, pool)).collect()
}

/// Returns the index of the engine by which checks on demand can leave, if it was opened.
fn engine_of_visits(start: &Config) -> Option<usize> {
    let of_pool = start.pools.iter().find(|pool| pool.egress == Egress::default());
    let of_pool = of_pool.map(|pool| pool.settings.engine);
    start.probe.as_ref().map(|probe| probe.engine).or(of_pool)
}

/// Returns the first setting of a pool that cannot be changed like this.
fn change_of_pool(
    start: &Config,
    old: Option<&PoolConfig>,
    new: &PoolConfig,
) -> Option<&'static str> {
    // Sockets were opened for the pools of the start; another pool may share them.
    let is_open = |egress: &Egress| start.pools.iter().any(|pool| pool.egress == *egress);
    let changed = match old {
        Some(old) => change_of_egress(&old.egress, &new.egress),
        None if is_open(&new.egress) => None,
        None => change_of_egress(&Egress::default(), &new.egress).or(Some("source")),
    };
    // The process that runs hooks was started if there were any.
    let runs_hooks = start.pools.iter().any(|pool| pool.hook.is_some());
    changed.or((new.hook.is_some() && !runs_hooks).then_some("hook"))
}

fn change_of_egress(old: &Egress, new: &Egress) -> Option<&'static str> {
    let changes = [
        (old.source != new.source, "source"),
        (old.interface != new.interface, "interface"),
        (old.mark != new.mark, "mark"),
        (old.dscp != new.dscp, "dscp"),
        (old.ttl != new.ttl, "ttl"),
    ];
    changes.into_iter().find(|(changes, _)| *changes).map(|(_, key)| key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Settings, parse};
    use crate::egress;

    /// Returns the message of a reload.
    fn reload(start: &str, new: &str) -> Result<(), String> {
        let settings = |text: &str| parse("a.toml", text).expect("a configuration");
        let config = |settings: Settings| settings.read_targets().expect("no files");
        let mut start = settings(start);
        egress::engines(&mut start.config).expect("few");
        let (start, mut new) = (config(start), config(settings(new)));
        use_open_engines(&start, &mut new);
        needs_restart(&start, &start.pools, &new)
    }

    #[test]
    fn what_cannot_be_put_into_force_is_named() {
        let one = "[pool.a]\ntargets = ['192.0.2.1:443']\n";
        let two = one.to_owned() + "[pool.b]\ntargets = ['192.0.2.2:443']\nmark = 7\n";
        assert_eq!(reload(one, one), Ok(()));
        for key in ["target_metrics", "explain"] {
            let off = format!("{key} = false\n{one}");
            let refused = Err(format!("a change of {key} needs a restart"));
            assert_eq!(reload(one, &off), refused);
            assert_eq!(reload(&off, one), refused);
            assert_eq!(reload(&off, &off), Ok(()));
        }
        // Both engines stay open.
        assert_eq!(reload(&two, &two), Ok(()));
        assert_eq!(reload(&two, one), Ok(()));
    }
}
