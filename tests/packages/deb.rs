//! The Debian package.

use std::collections::BTreeSet;
use std::fs;

use crate::machine::{Machine, outcome, packages, with_those_for_callers};
use crate::server::assert_serves_nagios;

const PLUGIN: &str = "/usr/lib/nagios/plugins/check_tcp_half_open";
const SNIPPET: &str = "/etc/nagios-plugins/config/halfopen.cfg";
const FILES: [&str; 12] = [
    SNIPPET,
    "/usr/bin/halfopen",
    PLUGIN,
    "/usr/share/bash-completion/completions/halfopen",
    "/usr/share/doc/halfopen/changelog.Debian.gz",
    "/usr/share/doc/halfopen/changelog.gz",
    "/usr/share/doc/halfopen/copyright",
    "/usr/share/fish/vendor_completions.d/halfopen.fish",
    "/usr/share/lintian/overrides/halfopen",
    "/usr/share/man/man1/check_tcp_half_open.1.gz",
    "/usr/share/man/man1/halfopen.1.gz",
    "/usr/share/zsh/vendor-completions/_halfopen",
];

fn install(machine: &Machine, package: &str) {
    machine.bring(package, "halfopen.deb");
    machine.run(&["apt-get", "install", "--yes", "--reinstall", "/halfopen.deb"]);
    machine.run(&["rm", "/halfopen.deb"]);
}

#[test]
fn lintian_has_nothing_to_say() {
    let [package, _] = packages("deb");
    let said = outcome("lintian", &["--fail-on", "error,warning", "--allow-root", &package]);
    assert_eq!((said.code, &*said.stdout), (0, ""), "{said:#?}");
}

#[test]
fn it_serves_nagios_until_it_is_purged_without_a_trace() {
    let [package, newer] = packages("deb");
    let machine = Machine::new();
    let clean = machine.files();

    install(&machine, &package);
    assert_eq!(machine.changed_since(&clean), with_those_for_callers(&FILES));
    assert_serves_nagios(&machine, PLUGIN, "raw");
    install(&machine, &package);
    assert_serves_nagios(&machine, PLUGIN, "raw");

    let snippet = machine.path(SNIPPET);
    let ours = fs::read_to_string(&snippet).unwrap() + "# by the administrator\n";
    fs::write(&snippet, &ours).unwrap();
    install(&machine, &newer);
    assert_serves_nagios(&machine, PLUGIN, "raw");
    assert_eq!(fs::read_to_string(&snippet).unwrap(), ours);

    machine.run(&["apt-get", "remove", "--yes", "halfopen"]);
    assert_eq!(machine.changed_since(&clean), [SNIPPET]);
    machine.run(&["apt-get", "purge", "--yes", "halfopen"]);
    assert_eq!(&machine.files() ^ &clean, BTreeSet::new());
}

/// What SECURITY.md advises if not every user is trusted.
#[test]
fn a_group_and_mode_of_the_administrators_stay_and_the_capability_with_them() {
    const PROGRAM: &str = "/usr/bin/halfopen";
    let [package, newer] = packages("deb");
    let machine = Machine::new();
    install(&machine, &package);
    let lent = "cap_net_raw=p";
    let capability = || machine.run(&["getcap", PROGRAM]).stdout;
    assert!(capability().contains(lent));

    let rule = ["root", "nagios", "0750", PROGRAM];
    machine.run(&[&["dpkg-statoverride", "--update", "--add"][..], &rule].concat());
    assert_eq!(capability(), "", "a change of the group takes it away");
    machine.run(&["setcap", lent, PROGRAM]);
    for upgrade in [None, Some(&newer)] {
        if let Some(newer) = upgrade {
            install(&machine, newer);
        }
        assert!(capability().contains(lent));
        assert_serves_nagios(&machine, PLUGIN, "raw");
        let others = machine.outcome_as("nobody", &[PROGRAM, "--version"]);
        assert_eq!(others.code, 126, "{others:#?}");
    }
}

/// As for Debian's own plugins: in containers it may be impossible to set one.
#[test]
fn without_a_capability_it_installs_and_says_so() {
    let [package, _] = packages("deb");
    let machine = Machine::new();
    machine.bring(&package, "halfopen.deb");

    let refused =
        machine.run(&["setpriv", "--bounding-set=-setfcap", "dpkg", "--install", "/halfopen.deb"]);
    assert!(refused.stderr.contains("halfopen: setcap failed"), "{refused:#?}");

    machine.run(&["dpkg", "--purge", "libcap2-bin"]);
    let missing = machine.run(&["dpkg", "--install", "/halfopen.deb"]);
    assert!(missing.stderr.contains("halfopen: setcap is missing"), "{missing:#?}");

    assert_serves_nagios(&machine, PLUGIN, "connect");
}
