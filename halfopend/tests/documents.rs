//! The example of a configuration, and the man pages.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use halfopend::config::{Config, Settings, parse};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging");

fn example() -> String {
    fs::read_to_string(Path::new(FOLDER).join("halfopend.toml")).expect("the example")
}

fn understood(text: &str) -> Config {
    let read = parse("halfopend.toml", text).and_then(Settings::read_targets);
    read.unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Returns the example with those of its lines behind a `#` that are keys and for which `wanted` is
/// true.
fn with_lines(wanted: impl Fn(&str) -> bool) -> String {
    let line = |line: &'static str| match line.strip_prefix('#') {
        Some(key) if key.starts_with(|c: char| c.is_ascii_lowercase()) && wanted(key) => key,
        _ => line,
    };
    example().leak().lines().map(line).fold(String::new(), |text, line| text + line + "\n")
}

/// Returns the keys that a table may have: the parser lists them if it finds another.
fn keys(table: &str) -> BTreeSet<String> {
    let text = format!("{table}\nno_such_key = 1");
    let message = parse("a", &text).expect_err("an unknown key").to_string();
    let (_, known) = message.split_once(", expected ").expect(&message);
    known.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn run(program: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(program).args(arguments).output();
    let Output { status, stdout, stderr } = output.unwrap_or_else(|error| {
        panic!("this test needs {program}: {error}");
    });
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn the_example_passes_its_check() {
    let file = format!("{FOLDER}/halfopend.toml");
    let (code, _, messages) = run(env!("CARGO_BIN_EXE_halfopend"), &["--config", &file, "--check"]);
    assert_eq!((code, &*messages), (Some(0), ""));
}

#[test]
fn the_example_shows_the_defaults() {
    let defaults = with_lines(|line| !line.contains("# example"));
    assert_ne!(defaults, example());
    assert_eq!(understood(&defaults), understood(&example()));
}

#[test]
fn what_the_example_leaves_out_can_be_written() {
    let all = with_lines(|line| !line.starts_with("file"));
    let config = understood(&all);
    let pool = &config.pools[0];
    assert!(pool.hook.is_some() && pool.agent.is_some() && !pool.witnesses.is_empty());
    assert!(pool.egress.source.is_some() && pool.egress.ttl.is_some());
}

#[test]
fn every_key_is_in_the_example_and_in_the_man_page() {
    let page = fs::read_to_string(Path::new(FOLDER).join("documents/halfopend.toml.5")).unwrap();
    let example = with_lines(|_| true);
    let written: BTreeSet<_> = example
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.split_once(" = ")?.0.to_owned()))
        .collect();
    let explained: BTreeSet<_> = page
        .lines()
        .filter_map(|line| Some(line.strip_prefix(".BI \"")?.split_once(" = \"")?.0.to_owned()))
        .collect();
    let mut known = keys("[pool.a]");
    assert!(known.contains("fall_refused"), "{known:?}");
    known.extend(keys("").into_iter().filter(|key| !["pool", "module", "probe"].contains(&&**key)));
    assert_eq!(written, known);
    assert_eq!(explained, known);
    for key in ["[probe]", "[module.a]"].into_iter().flat_map(keys) {
        assert!(page.lines().any(|line| line.split(' ').nth(1) == Some(&*key)), "{key}");
    }
}

#[test]
fn the_man_pages_are_clean() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let cargo = ["run", "--quiet", "--locked", "--package", "halfopend"];
    let example = ["--example", "halfopend_documents", "--", path, "2026-01-31"];
    let (code, _, messages) = run(env!("CARGO"), &[&cargo[..], &example].concat());
    assert_eq!(code, Some(0), "{messages}");
    for page in ["halfopend.8", "halfopend.toml.5"] {
        let page = folder.path().join(page);
        let linted = run("mandoc", &["-Tlint", page.to_str().unwrap()]);
        assert_eq!(linted, (Some(0), String::new(), String::new()));
        let (code, text, messages) =
            run("man", &["--warnings", "--local-file", page.to_str().unwrap()]);
        assert_eq!((code, &*messages), (Some(0), ""));
        assert!(!text.contains('@'), "{text}");
    }
}
