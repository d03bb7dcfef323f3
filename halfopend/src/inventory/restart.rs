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
    let open = open_engines(start);
    if new.probe.is_some() && !open.contains_key(&Egress::default()) {
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
        if let Some(key) = change_of_pool(start, &open, before, pool) {
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
    let open = open_engines(start);
    if let (Some(probe), Some(engine)) = (&mut new.probe, open.get(&Egress::default())) {
        probe.engine = *engine;
    }
    for PoolConfig { egress, settings, .. } in &mut new.pools {
        if let Some(engine) = open.get(egress) {
            settings.engine = *engine;
        }
    }
}

/// Returns the indices of the engines that were opened, by the ways in which segments leave.
fn open_engines(start: &Config) -> HashMap<Egress, usize> {
    let of_pools = start.pools.iter().map(|pool| (pool.egress.clone(), pool.settings.engine));
    let of_visits = start.probe.iter().map(|probe| (Egress::default(), probe.engine));
    of_pools.chain(of_visits).collect()
}

fn by_name(pools: &[PoolConfig]) -> HashMap<&str, &PoolConfig> {
    pools.iter().map(|pool| (&*pool.settings.name, pool)).collect()
}

/// Returns the first setting of a pool that cannot be changed like this.
fn change_of_pool(
    start: &Config,
    open: &HashMap<Egress, usize>,
    old: Option<&PoolConfig>,
    new: &PoolConfig,
) -> Option<&'static str> {
    let changed = match old {
        Some(old) => change_of_egress(&old.egress, &new.egress),
        None if open.contains_key(&new.egress) => None, // a new pool may share an engine
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

    /// Returns the message of a reload, or which engine each pool uses.
    fn engines(start: &str, new: &str) -> Result<Vec<usize>, String> {
        let settings = |text: &str| parse("a.toml", text).expect("a configuration");
        let config = |settings: Settings| settings.read_targets().expect("no files");
        let mut start = settings(start);
        egress::engines(&mut start.config).expect("few");
        let (start, mut new) = (config(start), config(settings(new)));
        use_open_engines(&start, &mut new);
        needs_restart(&start, &start.pools, &new)?;
        Ok(new.pools.iter().map(|pool| pool.settings.engine).collect())
    }

    fn reload(start: &str, new: &str) -> Result<(), String> {
        engines(start, new).map(|_| ())
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

    #[test]
    fn a_new_pool_uses_any_engine_that_is_open() {
        let marked = "[pool.a]\ntargets = ['192.0.2.1:443']\nmark = 7\n";
        let visited = format!("[probe]\nallow = ['192.0.2.0/24:443']\n{marked}");
        let plain = "[pool.b]\ntargets = ['192.0.2.2:443']\n";
        let alike = "[pool.c]\ntargets = ['192.0.2.3:443']\nmark = 7\n";
        let new = [marked, plain, alike].concat();
        assert_eq!(engines(&visited, &new), Ok(vec![0, 1, 0]), "1 is that of checks on demand");
        let refused = Err("a change of pool.b.source needs a restart".to_owned());
        assert_eq!(engines(marked, &new), refused);
    }
}
