//! A small fuzzer.

use std::fs;

/// Tries the seeds of a corpus, truncated ones, and seeds with one wrong bit.
pub(crate) fn try_seeds(corpus: &str, property: impl Fn(&[u8])) {
    let folder = format!("{}/tests/corpus/seeds/{corpus}", env!("CARGO_MANIFEST_DIR"));
    let seeds: Vec<_> = fs::read_dir(folder).expect("seeds").collect();
    assert!(!seeds.is_empty());
    for seed in seeds {
        let mut seed = fs::read(seed.unwrap().path()).unwrap();
        property(&seed);
        for end in 0..seed.len() {
            property(&seed[..end]);
        }
        for bit in 0..seed.len() * 8 {
            seed[bit / 8] ^= 1 << (bit % 8);
            property(&seed);
            seed[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
