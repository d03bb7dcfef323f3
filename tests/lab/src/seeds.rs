//! A small fuzzer.

use std::fs;
use std::path::Path;

/// Calls `property` with each file in a folder, with all that it begins with, and with each of its
/// bits wrong. The last name that is printed is that of the file for which it fails.
pub fn try_seeds(folder: impl AsRef<Path>, property: impl Fn(&[u8])) {
    let seeds: Vec<_> = fs::read_dir(folder).expect("a folder of seeds").collect();
    assert!(!seeds.is_empty(), "no seeds");
    for seed in seeds {
        let path = seed.expect("a seed").path();
        println!("{}", path.display());
        let mut seed = fs::read(path).expect("a file");
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
