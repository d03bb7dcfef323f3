//! Files of targets.

use std::fs;
use std::path::{Path, PathBuf};

use halfopend::config::{Config, Settings};

/// A folder with a configuration and a file of targets.
fn folder(config: &str, targets: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.toml");
    fs::write(&file, config).unwrap();
    fs::write(folder.path().join("web.txt"), targets).unwrap();
    (folder, file)
}

fn read(file: &Path) -> Result<Config, String> {
    Settings::read(file).and_then(Settings::read_targets).map_err(|error| error.to_string())
}

#[test]
fn a_file_of_targets_is_in_the_folder_of_the_configuration() {
    let config = "[pool.web]\ntargets = ['192.0.2.7:1']\nfile = 'web.txt'\nwitness=['192.0.2.9:1']";
    let (_folder, file) = folder(config, "# two\n192.0.2.8 1\n  192.0.2.7:2 # last\n");
    let config = read(&file).unwrap();
    let targets = ["192.0.2.7:1", "192.0.2.8:1", "192.0.2.7:2"].map(|text| text.parse().unwrap());
    assert_eq!(config.pools[0].targets, targets);
}

#[test]
fn a_mistake_in_a_file_of_targets_is_told_with_its_line_and_column() {
    let config = "[pool.web]\ntargets = ['192.0.2.7:1']\nfile = 'web.txt'\nwitness=['192.0.2.9:1']";
    for (targets, place) in [
        ("192.0.2.8 1\n  192.0.2.7:1\n", "web.txt:2:3: 192.0.2.7:1 is in this pool already"),
        ("192.0.2.8 1\n\n192.0.2.8:1\n", "web.txt:3:1: 192.0.2.8:1 is in this pool already"),
        ("192.0.2.9 1\n", "a.toml:4:10: 192.0.2.9:1 is in this pool already"),
        ("# \n10.0.0.0/8:1\n", "web.txt:2:1: more than 1000000 targets, all pools together"),
        ("192.0.2.8\n", "web.txt:1:1: "),
        ("# none\n", "web.txt names no target"),
    ] {
        let (folder, file) = folder(config, targets);
        let message = read(&file).unwrap_err();
        let rest = message.strip_prefix(&format!("{}/", folder.path().display()));
        assert!(rest.is_some_and(|rest| rest.starts_with(place)), "{message}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let (folder, file) = folder("[pool.web]\nfile = 'no.txt'", "");
    let name = folder.path().join("no.txt");
    let expected = format!("cannot read {}: No such file or directory", name.display());
    assert_eq!(read(&file).unwrap_err(), expected);
    fs::write(&file, b"rate = 5\n# \xff\n").unwrap();
    let expected = format!("{}:2:3: not text (UTF-8)", file.display());
    assert_eq!(read(&file).unwrap_err(), expected);
}
