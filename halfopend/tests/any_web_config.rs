//! What must hold of every file of `--web-config`, however strange.

#[path = "corpus/web_config.rs"]
mod web_config;

use std::fs;

use proptest::prelude::*;
use web_config::web_config;

/// A small fuzzer: the seeds, truncated ones, and seeds with one wrong bit.
#[test]
fn every_seed_and_what_is_close_to_it_is_understood_or_refused() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/seeds/web_config");
    let seeds: Vec<_> = fs::read_dir(folder).expect("seeds").collect();
    assert!(!seeds.is_empty());
    for seed in seeds {
        let mut seed = fs::read(seed.unwrap().path()).unwrap();
        web_config(&seed);
        for end in 0..seed.len() {
            web_config(&seed[..end]);
        }
        for bit in 0..seed.len() * 8 {
            seed[bit / 8] ^= 1 << (bit % 8);
            web_config(&seed);
            seed[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_understood_or_refused(text in any::<String>()) {
        web_config(text.as_bytes());
    }
}
