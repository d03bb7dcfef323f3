//! The version of the kernel, on which some behaviour depends.

use std::fs;

/// Returns the version of the kernel, such as 6.12.
///
/// # Panics
///
/// Panics if `/proc` does not tell it.
pub fn kernel() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    let mut numbers = release.split(['.', '-']).map(|number| number.trim().parse());
    let mut next = || numbers.next().and_then(Result::ok).expect("a version");
    (next(), next())
}
