//! The man page and the completions, as the Debian package has them.

use std::collections::BTreeSet;

use tempfile::TempDir;

use crate::machine::{outcome, packages, run};

/// Unpacks the package into a folder.
fn unpacked() -> TempDir {
    let [package, _] = packages("deb");
    let folder = tempfile::tempdir().expect("a scratch directory");
    run("dpkg-deb", &["--extract", &package, folder.path().to_str().unwrap()]);
    folder
}

/// The long options in a text.
fn options(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    words.filter(|word| word.starts_with("--") && word.len() > 2).collect()
}

#[test]
fn the_page_is_clean_and_both_names_lead_to_it() {
    let folder = unpacked();
    let pages = folder.path().join("usr/share/man");
    let page = pages.join("man1/halfopen.1.gz");
    let formatted = outcome("man", &["--warnings", "--local-file", page.to_str().unwrap()]);
    assert_eq!((formatted.code, &*formatted.stderr), (0, ""), "{formatted:#?}");
    let linted = outcome("mandoc", &["-Tlint", page.to_str().unwrap()]);
    assert_eq!((linted.code, &*linted.stdout), (0, ""), "{linted:#?}");

    let by_name = |name| run("man", &["--manpath", pages.to_str().unwrap(), name]);
    assert_eq!(by_name("halfopen"), formatted.stdout);
    assert_eq!(by_name("check_tcp_half_open"), formatted.stdout);
}

#[test]
fn the_page_and_the_shells_know_every_option() {
    let folder = unpacked();
    let path = |path: &str| folder.path().join(path).to_str().unwrap().to_owned();
    let help = outcome(&path("usr/bin/halfopen"), &["--help"]).stdout;
    let all = options(&help);
    assert!(all.contains("--timeout"), "{help}");

    let page = run("man", &["--local-file", &path("usr/share/man/man1/halfopen.1.gz")]);
    assert_eq!(options(&page), all);

    let script = r#"source "$0" && _halfopen halfopen -- halfopen && echo "${COMPREPLY[@]}""#;
    let script = format!("COMP_WORDS=(halfopen --) COMP_CWORD=1; {script}");
    let bash = path("usr/share/bash-completion/completions/halfopen");
    assert_eq!(options(&run("bash", &["-c", &script, &bash])), all);

    let fish = path("usr/share/fish/vendor_completions.d/halfopen.fish");
    let script = format!("source {fish}; complete --do-complete 'halfopen --'");
    let offered = run("fish", &["--no-config", "--command", &script]);
    let names: Vec<_> = offered.lines().filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(options(&names.join(" ")), all);

    // Real completion needs a terminal in this shell.
    let zsh = path("usr/share/zsh/vendor-completions/_halfopen");
    run("zsh", &["-n", &zsh]);
    assert_eq!(options(&std::fs::read_to_string(&zsh).unwrap()), all);
}
