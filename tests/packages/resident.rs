//! The packages of halfopend, installed on a clean machine and removed.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;

use crate::machine::{Machine, outcome, packages_of, run};
use crate::server::own_network;

const PROGRAM: &str = "/usr/sbin/halfopend";
const CONFIGURATION: &str = "/etc/halfopen/halfopend.toml";

/// What both packages have.
const COMMON: [&str; 11] = [
    "/etc/default/halfopend",
    CONFIGURATION,
    "/usr/lib/systemd/system/halfopend.service",
    PROGRAM,
    "/usr/share/bash-completion/completions/halfopend",
    "/usr/share/fish/vendor_completions.d/halfopend.fish",
    "/usr/share/halfopend/grafana/halfopend.json",
    "/usr/share/halfopend/prometheus/halfopend-alerts.yml",
    "/usr/share/halfopend/prometheus/prometheus.yml",
    "/usr/share/man/man5/halfopend.toml.5.gz",
    "/usr/share/man/man8/halfopend.8.gz",
];
const OF_DEB: [&str; 5] = [
    "/usr/share/doc/halfopend/changelog.Debian.gz",
    "/usr/share/doc/halfopend/changelog.gz",
    "/usr/share/doc/halfopend/copyright",
    "/usr/share/lintian/overrides/halfopend",
    "/usr/share/zsh/vendor-completions/_halfopend",
];
const OF_RPM: [&str; 4] = [
    "/usr/share/doc/halfopend/CHANGELOG.md",
    "/usr/share/licenses/halfopend/LICENSE-APACHE",
    "/usr/share/licenses/halfopend/LICENSE-MIT",
    "/usr/share/zsh/site-functions/_halfopend",
];

/// Returns these files, and those that both packages have: the hooks among them.
fn files(own: &[&str]) -> Vec<String> {
    let hooks = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/hooks");
    let hooks = fs::read_dir(hooks).unwrap().map(|hook| hook.unwrap().file_name());
    let hooks = hooks.map(|name| format!("/usr/lib/halfopen/hooks/{}", name.to_str().unwrap()));
    let files = COMMON.iter().chain(own).map(|&file| file.to_owned());
    let mut files: Vec<_> = files.chain(hooks).collect();
    files.sort();
    files
}

/// Asserts that the default configuration is right, and that root and another user can check a
/// port.
pub(crate) fn assert_checks(machine: &Machine) {
    own_network();
    assert_eq!(machine.run(&["getcap", PROGRAM]).stdout, "", "users could offer SYNs as a service");
    let checked = machine.outcome_as("nagios", &[PROGRAM, "--config", CONFIGURATION, "--check"]);
    assert_eq!(checked.code, 0, "{checked:#?}");
    let _listener = TcpListener::bind("127.0.0.1:8025").expect("a free port in a new network");
    let script = format!(
        r#"{PROGRAM} 127.0.0.1:8025 >/tmp/events &
        while kill -0 $! && ! grep '"event":"up"' /tmp/events; do sleep 0.1; done
        kill $! && wait $!
        rm /tmp/events"#
    );
    for (user, engine) in [("root", "raw"), ("nagios", "connect")] {
        let up = machine.outcome_as(user, &["sh", "-c", &script]);
        assert!(up.stdout.contains(&format!(r#""engine":"{engine}""#)), "{user}: {up:#?}");
    }
}

#[test]
fn lintian_has_nothing_to_say() {
    let [package, _] = packages_of("halfopend", "deb");
    let said = outcome("lintian", &["--fail-on", "error,warning", "--allow-root", &package]);
    assert_eq!((said.code, &*said.stdout), (0, ""), "{said:#?}");
}

#[test]
fn the_debian_package_checks_until_it_is_purged_without_a_trace() {
    let [package, newer] = packages_of("halfopend", "deb");
    let machine = Machine::new();
    let clean = machine.files();
    let install = |package: &str| {
        machine.bring(package, "halfopend.deb");
        machine.run(&["apt-get", "install", "--yes", "--reinstall", "/halfopend.deb"]);
        machine.run(&["rm", "/halfopend.deb"]);
    };

    install(&package);
    assert_eq!(machine.changed_since(&clean), files(&OF_DEB));
    assert_checks(&machine);

    let configuration = machine.path(CONFIGURATION);
    let ours = fs::read_to_string(&configuration).unwrap() + "# by the administrator\n";
    fs::write(&configuration, &ours).unwrap();
    install(&newer);
    assert_checks(&machine);
    assert_eq!(fs::read_to_string(&configuration).unwrap(), ours);

    machine.run(&["apt-get", "remove", "--yes", "halfopend"]);
    // Until it is purged, a mask keeps a unit that is gone from being started.
    let mask = "/etc/systemd/system/halfopend.service";
    assert_eq!(machine.changed_since(&clean), ["/etc/default/halfopend", CONFIGURATION, mask]);
    machine.run(&["apt-get", "purge", "--yes", "halfopend"]);
    assert_eq!(&machine.files() ^ &clean, BTreeSet::new());
}

#[test]
fn the_rpm_checks_until_it_is_erased_without_a_trace() {
    let [package, newer] = packages_of("halfopend", "rpm");
    let machine = Machine::new();
    let clean = machine.files();
    let rpm = |words: &[&str]| {
        let here =
            ["--root", machine.root(), "--dbpath", "/var/lib/rpm", "--force-debian", "--nodeps"];
        run("rpm", &[&here, words].concat());
    };
    rpm(&["--install", &package]);
    assert_eq!(machine.changed_since(&clean), files(&OF_RPM));
    rpm(&["--verify", "halfopend"]);
    assert_checks(&machine);
    rpm(&["--upgrade", &newer]);
    assert_checks(&machine);
    rpm(&["--erase", "halfopend"]);
    assert_eq!(machine.changed_since(&clean), [""; 0]);
    let left = machine.files();
    let left: Vec<_> = left.iter().filter(|line| line.contains("halfopen")).collect();
    assert_eq!(left, [""; 0]);
}
