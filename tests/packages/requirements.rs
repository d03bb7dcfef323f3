//! What the packages need of the system that they are installed on.

use std::collections::BTreeSet;

use crate::machine::{packages_of, run};

/// What the program loads, and the newest version of each library's symbols that old systems have.
const LIBRARIES: [&str; 2] = ["libc.so.6", "libpthread.so.0"];
const NEWEST: [u32; 3] = [2, 17, 0];

/// Asserts that no version of glibc's symbols is newer than that of RHEL 7.
fn assert_old(versions: &BTreeSet<&str>) {
    assert!(versions.contains("2.2.5") || versions.contains("2.17"), "{versions:?}");
    for version in versions {
        let mut numbers = version.split('.').map(|number| number.parse().expect("a number"));
        let version = [(); 3].map(|()| numbers.next().unwrap_or(0));
        assert!(version <= NEWEST, "{versions:?}");
    }
}

/// The versions in a text, each behind "GLIBC_" and before some other character.
fn versions(text: &str) -> BTreeSet<&str> {
    let parts = text.split("GLIBC_").skip(1);
    parts.filter_map(|part| part.split(|c: char| !c.is_ascii_digit() && c != '.').next()).collect()
}

#[test]
fn the_programs_run_with_old_libraries() {
    assert_runs_with_old_libraries("halfopen", "usr/bin/halfopen");
    assert_runs_with_old_libraries("halfopend", "usr/sbin/halfopend");
}

fn assert_runs_with_old_libraries(name: &str, path: &str) {
    let [package, _] = packages_of(name, "deb");
    let folder = tempfile::tempdir().expect("a scratch directory");
    run("dpkg-deb", &["--extract", &package, folder.path().to_str().unwrap()]);
    let program = folder.path().join(path);
    let headers = run("objdump", &["--private-headers", program.to_str().unwrap()]);

    let libraries: Vec<_> =
        headers.lines().filter_map(|line| line.trim().strip_prefix("NEEDED")).collect();
    assert_eq!(libraries.iter().map(|name| name.trim()).collect::<Vec<_>>(), LIBRARIES);
    assert_old(&versions(&headers));
    assert_eq!(run("dpkg-deb", &["--field", &package, "Depends"]), "libc6 (>= 2.17)\n");
}

/// RHEL 8 has glibc 2.28 and rpm 4.14, which knows these formats of a package.
#[test]
fn the_rpms_require_nothing_that_rhel_8_lacks() {
    const FORMATS: [&str; 5] =
        ["CompressedFileNames", "FileCaps", "FileDigests", "PayloadFilesHavePrefix", "PayloadIsXz"];
    for program in ["halfopen", "halfopend"] {
        let [package, _] = packages_of(program, "rpm");
        let requires = run("rpm", &["--query", "--package", &package, "--requires"]);
        assert_old(&versions(&requires));
        for required in requires.lines() {
            let library = LIBRARIES.iter().any(|name| required.starts_with(&format!("{name}(")));
            let format =
                FORMATS.iter().any(|name| required.starts_with(&format!("rpmlib({name})")));
            let own = required.starts_with(&format!("config({program}) ")); // its configuration
            assert!(library || format || own || required == "/bin/sh", "{requires}");
        }
    }
}
