//! The rules that keep each concern in one place, checked on the source text.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Names, and the only files that may contain them. A path that ends with `/` is a folder.
const KNOWLEDGE: [(&str, &[&str]); 22] = [
    ("pnet", &["wire/"]),
    ("clap", &["cli/"]),
    ("socket2", &["engine/", "self_test.rs"]),
    (
        "nix",
        &[
            "engine/",
            "local_error.rs",
            "resolve.rs",
            "resolve/",
            "descriptors.rs",
            "privilege/",
            "signals.rs",
            "non_blocking_writer.rs",
        ],
    ),
    ("nix::sys::signal", &["signals.rs"]),
    ("nix::sys::socket", &["engine/"]),
    ("nix::unistd", &["privilege/", "non_blocking_writer.rs"]),
    ("rustix", &["privilege/"]),
    ("signal_hook", &["main.rs"]),
    ("seccompiler", &["privilege/"]),
    ("dns_lookup", &["resolve/"]),
    ("rand", &["check.rs"]),
    ("siphasher", &["probe.rs"]),
    ("hashbrown", &["checker/pending.rs"]),
    ("ipnetwork", &["target.rs", "target/", "target_set.rs"]),
    ("serde_json", &["report/json.rs"]),
    // The kernel's time stamps are times of the wall clock.
    ("SystemTime", &["engine/clock.rs"]),
    ("Instant::now", &["main.rs", "engine/", "self_test.rs"]),
    ("stdin", &["target_file.rs"]),
    ("stdout", &["main.rs"]),
    ("stderr", &["main.rs"]),
    ("ExitCode", &["main.rs"]),
];

/// What no file may name: other ways to print, other ways to end.
const TABOO: [&str; 8] =
    ["unsafe", "println!", "print!", "eprintln!", "eprint!", "dbg!", "process::exit", "abort"];

/// Modules, and the modules that they must not import.
const IGNORANCE: [(&[&str], &[&str]); 7] = [
    (
        &[
            "wire",
            "event",
            "surroundings",
            "schedule",
            "target",
            "target_file",
            "verdict",
            "probe",
            "question",
            "surroundings",
            "checker",
            "explain",
            "pacer",
            "status",
        ],
        &[
            "engine",
            "event_loop",
            "resolve",
            "target_set",
            "plan",
            "check",
            "report",
            "cli",
            "privilege",
            "self_test",
        ],
    ),
    (
        &[
            "wire",
            "event",
            "surroundings",
            "schedule",
            "verdict",
            "probe",
            "question",
            "surroundings",
            "checker",
            "explain",
            "pacer",
            "engine",
            "event_loop",
        ],
        &[
            "status",
            "target",
            "target_file",
            "resolve",
            "target_set",
            "plan",
            "report",
            "cli",
            "check",
            "privilege",
            "self_test",
        ],
    ),
    (&["engine"], &["checker", "explain", "probe", "pacer", "schedule", "verdict"]),
    (
        &["resolve", "privilege"],
        &["status", "engine", "event_loop", "target_set", "report", "cli", "check"],
    ),
    (
        &["target_set"],
        &["status", "engine", "event_loop", "checker", "plan", "report", "cli", "check"],
    ),
    (&["plan"], &["event_loop", "checker", "target_set", "report", "cli", "check"]),
    (&["report"], &["engine", "target", "target_set", "resolve", "cli", "privilege", "self_test"]),
];

#[test]
fn each_concern_has_its_place() {
    let files = source_files();
    for (word, places) in KNOWLEDGE {
        let knowing: Vec<_> = files.iter().filter(|file| file.names(word)).collect();
        assert!(!knowing.is_empty(), "no file names {word} any more: remove the rule");
        for file in knowing {
            let allowed = places.iter().any(|place| file.is_in(place));
            assert!(allowed, "{} names {word}; only {places:?} may", file.path);
        }
    }
}

#[test]
fn some_things_are_not_done_at_all() {
    for file in source_files() {
        for word in TABOO {
            assert!(!file.names(word), "{} names {word}", file.path);
        }
    }
}

#[test]
fn unsafe_code_is_forbidden_by_the_compiler_too() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(manifest.contains("unsafe_code = \"forbid\""));
}

#[test]
fn modules_know_no_more_than_they_should() {
    let imports = imports();
    for (modules, strangers) in IGNORANCE {
        for module in modules {
            let known = imports.get(*module).unwrap_or_else(|| panic!("there is no {module}"));
            for stranger in strangers {
                assert!(imports.contains_key(*stranger), "there is no {stranger}");
                assert!(!known.contains(*stranger), "{module} imports {stranger}");
            }
        }
    }
}

#[test]
fn only_main_knows_the_command_line() {
    let imports = imports();
    let knowing: Vec<_> =
        imports.iter().filter(|(_, known)| known.contains("cli")).map(|(name, _)| name).collect();
    assert_eq!(knowing, ["main"]);
}

#[test]
fn imports_run_one_way() {
    let mut imports = imports();
    // Remove modules that import nothing that is left, until there are none: what remains is in or
    // above a cycle.
    loop {
        let leaves: BTreeSet<_> = imports
            .iter()
            .filter(|(_, known)| known.is_empty())
            .map(|(name, _)| name.clone())
            .collect();
        if leaves.is_empty() {
            break;
        }
        imports.retain(|name, _| !leaves.contains(name));
        for known in imports.values_mut() {
            known.retain(|name| !leaves.contains(name));
        }
    }
    let circle: Vec<_> =
        imports.iter().map(|(name, known)| format!("{name} → {known:?}")).collect();
    assert!(circle.is_empty(), "in or above a circle: {circle:#?}");
}

#[test]
fn files_are_short() {
    let lines = |file: &SourceFile| file.code.lines().count();
    let long: Vec<_> = [source_files(), files_in(&root().join("halfopend/src"))]
        .iter()
        .flatten()
        .filter(|file| lines(file) > 300)
        .map(|file| format!("{}: {}", file.path, lines(file)))
        .collect();
    assert!(long.is_empty(), "more than 300 lines without tests: {long:?}");
}

#[test]
fn files_of_tests_are_short() {
    let is_code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
    let lines = |path: &PathBuf| fs::read_to_string(path).unwrap().lines().filter(is_code).count();
    let folders = ["tests", "halfopend/tests"];
    let files: Vec<_> =
        folders.iter().flat_map(|folder| rust_files(&root().join(folder))).collect();
    let long: Vec<_> = files.iter().filter(|path| lines(path) > 300).collect();
    assert!(long.is_empty(), "more than 300 lines of code: {long:?}");
}

/// rustfmt wraps code; stable rustfmt leaves comments as they are.
#[test]
fn comments_end_at_column_100() {
    let folders = ["src", "halfopend", "tests", "benches", "fuzz/fuzz_targets", "packaging"];
    let files: Vec<_> =
        folders.iter().flat_map(|folder| rust_files(&root().join(folder))).collect();
    assert!(files.len() > 200, "{} files", files.len());
    let too_long = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        let long = text.lines().zip(1..).filter(|(line, _)| has_long_comment(line));
        long.map(|(_, number)| format!("{}:{number}", path.display())).collect::<Vec<_>>()
    };
    let long: Vec<_> = files.iter().flat_map(too_long).collect();
    assert!(long.is_empty(), "comments beyond column 100: {long:#?}");
}

/// A `//` inside a string literal has an odd number of quotation marks before it.
fn has_long_comment(line: &str) -> bool {
    let in_code = |at: usize| line[..at].matches('"').count().is_multiple_of(2);
    line.chars().count() > 100 && line.match_indices("//").any(|(at, _)| in_code(at))
}

/// A file of `src`, without its unit tests and comments.
struct SourceFile {
    path: String,
    code: String,
}

impl SourceFile {
    /// Returns true if this word, or path of words, is in the code by itself.
    fn names(&self, word: &str) -> bool {
        let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
        self.code.match_indices(word).any(|(at, _)| {
            let before = self.code[..at].chars().next_back();
            let after = self.code[at + word.len()..].chars().next();
            !before.is_some_and(part_of_name) && !after.is_some_and(part_of_name)
        })
    }

    fn is_in(&self, place: &str) -> bool {
        if place.ends_with('/') { self.path.starts_with(place) } else { self.path == place }
    }

    /// The top-level module that it is, or belongs to.
    fn module(&self) -> &str {
        self.path.split(['/', '.']).next().unwrap()
    }

    /// The top-level modules of the crate that it names.
    fn imports(&self) -> BTreeSet<String> {
        let paths = self.code.split("crate::").skip(1).chain(self.code.split("halfopen::").skip(1));
        let first = |path: &str| {
            path.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap().to_owned()
        };
        paths.map(first).collect()
    }
}

/// Which top-level module imports which.
fn imports() -> BTreeMap<String, BTreeSet<String>> {
    let files = source_files();
    let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.path != "lib.rs") {
        let known = imports.entry(file.module().to_owned()).or_default();
        known.extend(file.imports());
        known.remove(file.module());
    }
    for known in imports.values() {
        assert!(!known.contains(""), "an import that this test cannot read: use crate::{{…}}");
    }
    imports
}

fn source_files() -> Vec<SourceFile> {
    files_in(&root().join("src"))
}

/// The files of a folder of sources.
fn files_in(folder: &Path) -> Vec<SourceFile> {
    let files: Vec<_> = rust_files(folder).iter().map(|path| source_file(folder, path)).collect();
    assert!(files.iter().any(|file| file.path == "main.rs"), "no sources found");
    files
}

/// The `.rs` files in a folder and its folders.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn source_file(folder: &Path, path: &Path) -> SourceFile {
    let text = fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap();
    let without_comment = |line: &str| line.split("//").next().unwrap().to_owned();
    let relative = path.strip_prefix(folder).unwrap();
    SourceFile {
        path: relative.to_str().unwrap().to_owned(),
        code: code.lines().map(without_comment).collect::<Vec<_>>().join("\n"),
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
