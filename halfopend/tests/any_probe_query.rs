//! What must hold of every question to `/probe`, however strange.

#[path = "corpus/probe_query.rs"]
mod probe_query;

use std::fs;

use probe_query::probe_query;
use proptest::prelude::*;

/// A small fuzzer: the seeds, truncated ones, and seeds with one wrong bit.
#[test]
fn every_seed_and_what_is_close_to_it_is_understood_or_refused() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/seeds/probe_query");
    let seeds: Vec<_> = fs::read_dir(folder).expect("seeds").collect();
    assert!(!seeds.is_empty());
    for seed in seeds {
        let mut seed = fs::read(seed.unwrap().path()).unwrap();
        probe_query(&seed);
        for end in 0..seed.len() {
            probe_query(&seed[..end]);
        }
        for bit in 0..seed.len() * 8 {
            seed[bit / 8] ^= 1 << (bit % 8);
            probe_query(&seed);
            seed[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_understood_or_refused(text in any::<String>()) {
        probe_query(text.as_bytes());
    }
}
