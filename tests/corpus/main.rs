//! The inputs that fuzzing starts from and those that it has kept, replayed without a fuzzer:
//! `seeds/` has a folder of them for each target of `fuzz/`.

pub mod properties;

use std::fs;
use std::path::PathBuf;

type Property = fn(&[u8]);

const TARGETS: [(&str, Property); 6] = [
    ("icmp_quote", properties::icmp_quote),
    ("ipv4", properties::ipv4),
    ("range", properties::range),
    ("segment", properties::segment),
    ("target", properties::target),
    ("targets_file", properties::targets_file),
];

#[test]
fn every_seed_has_the_property_that_its_fuzzer_looks_for() {
    for (name, property) in TARGETS {
        for seed in seeds(name) {
            property(&seed);
        }
    }
}

/// A small fuzzer: truncated inputs, and inputs with one wrong bit.
#[test]
fn every_truncated_seed_and_every_seed_with_a_flipped_bit_has_it_too() {
    for (name, property) in TARGETS {
        for mut seed in seeds(name) {
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
}

#[test]
fn every_folder_of_seeds_is_replayed() {
    let names = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    assert_eq!(names, TARGETS.map(|(name, _)| name));
}

/// Returns the seeds of a target, one after the other. The last name that is printed is that of the
/// seed that fails.
fn seeds(target: &str) -> impl Iterator<Item = Vec<u8>> {
    let files: Vec<_> = fs::read_dir(folder().join(target)).unwrap().collect();
    assert!(!files.is_empty(), "no seeds for {target}");
    files.into_iter().map(|file| {
        let path = file.unwrap().path();
        println!("{}", path.display());
        fs::read(path).unwrap()
    })
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/seeds")
}
