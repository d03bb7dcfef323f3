//! The RPM, installed on the same Debian by rpm: its contents, and what its scripts do, are the
//! same everywhere.

use std::{env, fs};

use crate::machine::{Machine, packages, run, with_those_for_callers};
use crate::server::assert_serves_nagios;

const PLUGIN: &str = "/usr/lib64/nagios/plugins/check_tcp_half_open";
const FILES: [&str; 10] = [
    "/usr/bin/halfopen",
    PLUGIN,
    "/usr/share/bash-completion/completions/halfopen",
    "/usr/share/doc/halfopen/CHANGELOG.md",
    "/usr/share/fish/vendor_completions.d/halfopen.fish",
    "/usr/share/licenses/halfopen/LICENSE-APACHE",
    "/usr/share/licenses/halfopen/LICENSE-MIT",
    "/usr/share/man/man1/check_tcp_half_open.1.gz",
    "/usr/share/man/man1/halfopen.1.gz",
    "/usr/share/zsh/site-functions/_halfopen",
];

/// Packages that Debian does not have as RPMs count as installed.
fn rpm(machine: &Machine, words: &[&str]) {
    let here = ["--root", machine.root(), "--dbpath", "/var/lib/rpm", "--force-debian", "--nodeps"];
    run("rpm", &[&here, words].concat());
}

#[test]
fn it_declares_its_contents_and_dependencies() {
    let [package, _] = packages("rpm");
    let query = |words: &[&str]| run("rpm", &[&["--query", "--package", &package], words].concat());
    let name = format!("halfopen-{}-1.{}\n", env!("CARGO_PKG_VERSION"), env::consts::ARCH);
    assert_eq!(query(&[]), name);
    assert!(query(&["--filecaps"]).contains("/usr/bin/halfopen\tcap_net_raw=p\n"));
    assert!(query(&["--requires"]).contains("libc.so.6("));
    run("rpm", &["--checksig", &package]);
}

#[test]
fn it_serves_nagios_until_it_is_erased_without_a_trace() {
    let [package, newer] = packages("rpm");
    let machine = Machine::new();
    let clean = machine.files();

    rpm(&machine, &["--install", &package]);
    assert_eq!(machine.changed_since(&clean), with_those_for_callers(&FILES));
    let example = machine.path("/usr/share/doc/halfopen/examples/nagios.cfg");
    assert!(fs::read_to_string(example).unwrap().contains(PLUGIN));
    rpm(&machine, &["--verify", "halfopen"]);
    assert_serves_nagios(&machine, PLUGIN, "raw");
    rpm(&machine, &["--reinstall", &package]);
    assert_serves_nagios(&machine, PLUGIN, "raw");
    rpm(&machine, &["--upgrade", &newer]);
    assert_serves_nagios(&machine, PLUGIN, "raw");

    rpm(&machine, &["--erase", "halfopen"]);
    assert_eq!(machine.changed_since(&clean), [""; 0]);
    // On an RPM-based distribution, a package owns the folders of the shells.
    let folders: Vec<_> = machine
        .files()
        .into_iter()
        .filter(|line| line.contains("halfopen") || line.contains("nagios"))
        .collect();
    assert_eq!(folders, [""; 0]);
}
