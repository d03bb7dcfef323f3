//! What must hold of every configuration, however strange.

#[path = "corpus/configuration.rs"]
mod configuration;

use std::collections::HashSet;
use std::fmt::Write;

use configuration::configuration;
use halfopen::target::{Hosts, Target};
use halfopend::config::{Config, ConfigError, Settings, parse};
use lab::try_seeds;
use proptest::prelude::*;
use proptest::sample::Index;

const EXAMPLE: &str = include_str!("../../packaging/halfopend.toml");

/// What mutations insert: parts of the language, and values at the limits.
const WORDS: [&str; 24] = [
    "[pool.web]",
    "[pool.\"\u{fc}\"]",
    "[probe]",
    "targets = [\"192.0.2.7:443\"]",
    "interval",
    "timeout",
    " = ",
    "\"",
    "'",
    "\"\"\"",
    "\n",
    "#",
    "[",
    "]",
    "{",
    "}",
    ",",
    "0",
    "-1",
    "1e999",
    "\"1s\"",
    "\"0.0000001s\"",
    "4294967296",
    "\u{0}",
];

fn understand(text: &str) -> Result<Config, ConfigError> {
    parse("a.toml", text).and_then(Settings::read_targets)
}

#[test]
fn every_seed_and_what_is_close_to_it_is_understood_or_refused() {
    try_seeds(
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/seeds/configuration"),
        configuration,
    );
}

proptest! {
    #[test]
    fn a_changed_example_is_understood_or_refused(
        changes in prop::collection::vec((any::<Index>(), 0..20_usize, any::<Index>()), 1..6),
    ) {
        let mut text: Vec<char> = EXAMPLE.chars().collect();
        for (place, removed, word) in changes {
            let start = place.index(text.len() + 1);
            let end = (start + removed).min(text.len());
            text.splice(start..end, word.get(&WORDS).chars());
        }
        configuration(text.into_iter().collect::<String>().as_bytes());
    }

    #[test]
    fn any_text_is_understood_or_refused(text in any::<String>()) {
        configuration(text.as_bytes());
    }

    #[test]
    fn an_unknown_key_is_told_with_its_line(place in any::<Index>()) {
        let mut lines: Vec<_> = EXAMPLE.lines().collect();
        let index = place.index(lines.len() + 1);
        lines.insert(index, "no_such_key = 1");
        let message = understand(&lines.join("\n")).unwrap_err().to_string();
        let expected = format!("a.toml:{}:1: unknown key `no_such_key`", index + 1);
        prop_assert!(message.starts_with(&expected), "{message}");
    }

    #[test]
    fn a_time_is_what_its_number_and_unit_say(millis in 1_u32..=86_400_000) {
        let seconds = f64::from(millis) / 1000.0;
        for text in [format!("{millis}ms"), format!("{seconds}s")] {
            let text = format!(
                "[module.a]\ntimeout = '{text}'\n[pool.a]\ntargets = ['192.0.2.7:1']\n"
            );
            let config = understand(&text).unwrap();
            prop_assert_eq!(config.modules[0].timeout.as_millis(), u128::from(millis));
        }
    }

    /// All endpoints one by one are the judge.
    #[test]
    fn the_first_target_with_an_endpoint_of_another_is_found(
        targets in prop::collection::vec((0..16_u8, 28..=32_u8, 1..5_u16, 0..3_u16), 1..8),
    ) {
        let mut text = "[pool.a]\ntargets = [\n".to_owned();
        let mut seen = HashSet::new();
        let mut first = None;
        for (index, (host, prefix, port, more)) in targets.into_iter().enumerate() {
            let network = host >> (32 - prefix) << (32 - prefix);
            let written = format!("192.0.2.{network}/{prefix}:{port}-{}", port + more);
            writeln!(text, "'{written}',").unwrap();
            let target: Target = written.parse().unwrap();
            let Hosts::Block(block) = target.hosts else { unreachable!() };
            for address in &block {
                for port in target.ports.iter() {
                    if !seen.insert((address, port)) {
                        first.get_or_insert(index + 3);
                    }
                }
            }
        }
        let found = match understand(&(text + "]")) {
            Ok(_) => None,
            Err(ConfigError::At { position, .. }) => Some(position.line),
            Err(error) => panic!("{error}"),
        };
        prop_assert_eq!(found, first);
    }
}
