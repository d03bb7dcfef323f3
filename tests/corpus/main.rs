//! The inputs that fuzzing starts from and those that it has kept, replayed without a fuzzer:
//! `seeds/` has a folder of them for each target of `fuzz/`.

pub mod properties;

use std::fs;
use std::path::PathBuf;

use lab::try_seeds;

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
fn every_seed_and_what_is_close_to_it_has_the_property_that_its_fuzzer_looks_for() {
    for (name, property) in TARGETS {
        try_seeds(folder().join(name), property);
    }
}

#[test]
fn every_folder_of_seeds_is_replayed() {
    let names = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    assert_eq!(names, TARGETS.map(|(name, _)| name));
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/seeds")
}
