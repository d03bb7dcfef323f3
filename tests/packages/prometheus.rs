//! Prometheus and halfopend on a clean machine, as docs/prometheus.md says.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use crate::machine::{Machine, packages_of};
use crate::server::own_network;

/// Runs these commands until Prometheus has what the page promises, and prints that.
const SCRIPT: &str = r#"
    trap 'kill $(cat /run/started)' EXIT
    cd /
    bash -e /lines >/var/log/lines 2>&1 || { cat /var/log/lines; exit 1; }
    ask() { promtool query instant http://localhost:9090 "$1"; }
    for _ in {1..2400}; do
        [[ -z $(ask 'up{job="halfopend"} == 1') || -z $(ask 'halfopen_target_up == 1') ]] || break
        sleep 0.1
    done 2>/dev/null
    ask 'up{job="halfopend"}'
    ask halfopen_target_up
    cat /var/log/*.service.log >&2
"#;

/// Returns the commands of the page: those of its first block of shell.
fn documented() -> String {
    let page = include_str!("../../docs/prometheus.md");
    let lines = page.lines().skip_while(|line| *line != "```sh").skip(1);
    let lines: Vec<_> = lines.take_while(|line| *line != "```").collect();
    assert_eq!(lines.len(), 5, "{lines:#?}");
    lines.join("\n")
}

#[test]
fn five_lines_later_prometheus_scrapes_halfopend() {
    let [package, _] = packages_of("halfopend", "deb");
    let machine = Machine::unpack("with_prometheus");
    machine.bring(&package, "halfopend_0_here.deb");
    // There is no systemd that could run here, and so nothing that may start services at once.
    let executable = |path: &str, text: &str| {
        fs::write(machine.path(path), text).expect("room for a script");
        fs::set_permissions(machine.path(path), Permissions::from_mode(0o755)).expect("its owner");
    };
    executable("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n");
    executable("/usr/bin/systemctl", include_str!("systemctl"));
    fs::write(machine.path("/etc/hosts"), "127.0.0.1 localhost\n")
        .expect("what an installer writes");
    fs::write(machine.path("/lines"), documented()).expect("room for a script");
    own_network();
    let outcome = machine.outcome_as("root", &["bash", "-c", SCRIPT]);
    let is_one = |start: &str| {
        let mut lines = outcome.stdout.lines();
        lines.any(|line| line.starts_with(start) && line.contains(" => 1 @"))
    };
    assert!(is_one(r#"up{instance="localhost:10115", job="halfopend"}"#), "{outcome:#?}");
    assert!(is_one("halfopen_target_up{"), "{outcome:#?}");
}
