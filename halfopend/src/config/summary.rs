//! What was understood, in words.

use std::fmt;

use halfopen::target::Target;

use super::{Config, PoolConfig};

/// Says what a configuration wants: a line for all of it, and one for each pool.
pub struct Summary<'a>(pub &'a Config);

impl Summary<'_> {
    /// Returns the first line.
    pub fn total(&self) -> String {
        let pools = &self.0.pools;
        let targets = pools.iter().map(|pool| endpoints(&pool.targets)).sum();
        format!("{}, {}", count(pools.len() as u128, "pool"), count(targets, "target"))
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.total())?;
        let pools = &self.0.pools;
        pools.iter().try_for_each(|pool| write!(f, "\n{}", of_pool(pool)))
    }
}

fn of_pool(PoolConfig { settings, targets, witnesses, .. }: &PoolConfig) -> String {
    let witnesses = match endpoints(witnesses) {
        0 => String::new(),
        number => format!(" and {}", count_as(number, "witness", "witnesses")),
    };
    let targets = count(endpoints(targets), "target");
    let syns = count(settings.schedule.attempts().count() as u128, "SYN");
    let (name, interval) = (&settings.name, settings.interval);
    format!("{name}: {targets}{witnesses} every {interval:?}, {syns} at most")
}

fn endpoints(targets: &[Target]) -> u128 {
    targets.iter().map(Target::count).sum()
}

fn count(number: u128, noun: &str) -> String {
    count_as(number, noun, &format!("{noun}s"))
}

fn count_as(number: u128, one: &str, many: &str) -> String {
    let noun = if number == 1 { one } else { many };
    format!("{number} {noun}")
}
