//! What must hold of every configuration: the fuzzer (`scripts/fuzz`) looks for a counterexample,
//! and the tests replay what it has found.

use std::str;
use std::time::Duration;

use halfopen::target::Target;
use halfopend::config::{ConfigError, LEAST_INTERVAL, PoolConfig, Settings, parse};

/// The most targets of a configuration whose targets are compared with each other.
const FEW: u128 = 1 << 10;

/// A configuration is sound, or there is a short message with a place in the text.
pub(crate) fn configuration(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let settings = match parse("a.toml", text) {
        Ok(settings) => settings,
        Err(error) => return assert_names_its_place(&error, text),
    };
    let pools = &settings.config.pools;
    pools.iter().for_each(assert_sound);
    let targets = pools.iter().flat_map(|pool| pool.targets.iter().chain(&pool.witnesses));
    let count = targets.map(Target::count).fold(0, u128::saturating_add);
    if count <= FEW && pools.iter().all(|pool| pool.file.is_none()) {
        check_targets(settings, text);
    }
}

fn check_targets(settings: Settings, text: &str) {
    if let Err(error) = settings.read_targets() {
        assert_names_its_place(&error, text);
    }
}

fn assert_sound(pool: &PoolConfig) {
    let settings = &pool.settings;
    let check: Duration = settings.schedule.waits().sum();
    assert!(check <= settings.interval, "{settings:?}");
    let intervals = [settings.interval, settings.transition_interval, settings.down_interval];
    assert!(intervals.into_iter().all(|interval| interval >= LEAST_INTERVAL), "{settings:?}");
    assert!((0.0..=1.0).contains(&settings.jitter), "{settings:?}");
    assert!(pool.file.is_some() || !pool.targets.is_empty(), "{settings:?}");
}

/// The message is one line that a terminal and a log pass on.
fn assert_names_its_place(error: &ConfigError, text: &str) {
    let message = error.to_string();
    assert!(message.len() <= 1024 && !message.contains(char::is_control), "{message:?}");
    let ConfigError::At { position, .. } = error else { panic!("{message}") };
    let line = text.split('\n').nth(position.line - 1).expect(&message);
    assert!((1..=line.len() + 1).contains(&position.column), "{message}\n{text}");
}
