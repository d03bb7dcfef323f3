//! What is in force, in the language of the file, with all defaults.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use halfopen::attempt::Attempts;
use halfopen::engine::{Egress, EngineKind};
use halfopen::schedule::Schedule;
use halfopen::target::{Hosts, Target};

use super::{Addresses, Config, IpProtocol, ModuleConfig, PoolConfig, ProbeConfig};
use crate::fleet::fail_open::Limit;

/// The most targets of a list that are shown.
const SHOWN: usize = 100;

/// Writes a configuration as a file that means the same, except for what may be secret or is too
/// long: arguments of hooks, and the end of long lists of targets.
pub struct Written<'a>(pub &'a Config);

impl Display for Written<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Config { rate, engine, target_metrics, explain, pools, probe, modules } = self.0;
        writeln!(f, "rate = {rate}")?;
        let engine = match engine {
            EngineKind::Auto => "auto",
            EngineKind::Raw => "raw",
            EngineKind::Connect => "connect",
        };
        writeln!(f, "engine = {engine:?}\ntarget_metrics = {target_metrics}\nexplain = {explain}")?;
        if let Some(ProbeConfig { allow, max_in_flight, .. }) = probe {
            writeln!(f, "\n[probe]\nmax_in_flight = {max_in_flight}")?;
            list(f, "allow", allow)?;
        }
        for module in modules {
            writeln!(f, "\n[module.{}]\n{}", module.name, Written::module(module))?;
        }
        pools.iter().try_for_each(|pool| write_pool(f, pool))
    }
}

impl Written<'_> {
    /// Returns the settings of a module as they are written in the file, one per line.
    pub fn module(module: &ModuleConfig) -> String {
        let ModuleConfig { timeout, attempts, preferred, falls_back, .. } = module;
        let retries = retries(*attempts);
        let preferred = match preferred {
            IpProtocol::V4 => "ip4",
            IpProtocol::V6 => "ip6",
        };
        format!(
            "timeout = \"{timeout:?}\"\nretries = {retries}\n\
             preferred_ip_protocol = {preferred:?}\nip_protocol_fallback = {falls_back}"
        )
    }
}

fn write_pool(f: &mut Formatter<'_>, pool: &PoolConfig) -> fmt::Result {
    let settings = &pool.settings;
    writeln!(f, "\n[pool.{}]", settings.name)?;
    if let Some(file) = &pool.file {
        writeln!(f, "file = {}", quoted(&file.display().to_string()))?;
    }
    list(f, "targets", &pool.targets)?;
    list(f, "witness", &pool.witnesses)?;
    let addresses = match pool.addresses {
        Addresses::First => "first",
        Addresses::All => "all",
    };
    let timeout = timeout(settings.schedule);
    writeln!(f, "addresses = {addresses:?}")?;
    writeln!(f, "interval = \"{:?}\"", settings.interval)?;
    writeln!(f, "transition_interval = \"{:?}\"", settings.transition_interval)?;
    writeln!(f, "down_interval = \"{:?}\"", settings.down_interval)?;
    writeln!(f, "timeout = \"{timeout:?}\"\nretries = {}", retries(settings.schedule.attempts()))?;
    let rules = settings.rules;
    writeln!(f, "rise = {}\nfall = {}", rules.rise, rules.fall)?;
    writeln!(f, "fall_refused = {}", rules.fall_refused)?;
    writeln!(f, "jitter = \"{}%\"", settings.jitter * 100.0)?;
    let isolation = if settings.holds_if_isolated { "hold" } else { "ignore" };
    writeln!(f, "isolation = {isolation:?}")?;
    match settings.fail_open {
        Limit::Off => writeln!(f, "fail_open = \"off\"")?,
        Limit::Number(number) => writeln!(f, "fail_open = {number}")?,
        Limit::Percentage(percentage) => writeln!(f, "fail_open = \"{percentage}%\"")?,
    }
    write_egress(f, &pool.egress)?;
    if let Some((program, arguments)) = pool.hook.as_deref().and_then(<[_]>::split_first) {
        let secret = if arguments.is_empty() { "" } else { " # and arguments" };
        writeln!(f, "hook = [{}]{secret}", quoted(program))?;
    }
    pool.agent.map_or(Ok(()), |agent| writeln!(f, "agent = \"{agent}\""))
}

fn write_egress(f: &mut Formatter<'_>, egress: &Egress) -> fmt::Result {
    let Egress { source, interface, mark, dscp, ttl } = egress;
    if let Some(source) = source {
        writeln!(f, "source = \"{source}\"")?;
    }
    if let Some(interface) = interface {
        writeln!(f, "interface = {}", quoted(interface))?;
    }
    let numbers = [("mark", *mark), ("dscp", dscp.map(u32::from)), ("ttl", ttl.map(u32::from))];
    for (key, number) in numbers {
        if let Some(number) = number {
            writeln!(f, "{key} = {number}")?;
        }
    }
    Ok(())
}

fn list(f: &mut Formatter<'_>, key: &str, targets: &[Target]) -> fmt::Result {
    if targets.is_empty() {
        return Ok(());
    }
    writeln!(f, "{key} = [")?;
    for target in targets.iter().take(SHOWN) {
        writeln!(f, "    {},", quoted(&written(target)))?;
    }
    if let Some(more) = targets.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        writeln!(f, "    # and {more} more")?;
    }
    writeln!(f, "]")
}

fn written(target: &Target) -> String {
    let range = |range: &std::ops::RangeInclusive<u16>| {
        let (first, last) = (range.start(), range.end());
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    let ports = target.ports.ranges().iter().map(range).collect::<Vec<_>>().join(",");
    match &target.hosts {
        Hosts::Block(block) if block.is_ipv4() => format!("{block}:{ports}"),
        Hosts::Name(name) => format!("{name}:{ports}"),
        hosts => format!("[{hosts}]:{ports}"),
    }
}

/// Returns the roundest timeout that leads to this schedule. Its waits add up to some nanoseconds
/// less: the rest of a division.
fn timeout(schedule: Schedule) -> Duration {
    let sum: Duration = schedule.waits().sum();
    let round_up = |unit: Duration| {
        let units = sum.as_nanos().div_ceil(unit.as_nanos());
        unit * u32::try_from(units).unwrap_or(u32::MAX)
    };
    let mut times =
        [1000, 100, 10, 1].map(|micros| round_up(Duration::from_micros(micros))).into_iter();
    times.find(|time| Schedule::fit(schedule.attempts(), *time) == schedule).unwrap_or(sum)
}

fn retries(attempts: Attempts) -> usize {
    attempts.count() - 1
}

/// Returns a basic string of TOML.
fn quoted(text: &str) -> String {
    let escape = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escape).collect::<String>())
}
