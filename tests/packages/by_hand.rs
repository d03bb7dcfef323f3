//! `packaging/install`, for systems without a package.

use std::env::consts::ARCH;
use std::process::Command;

use crate::machine::Machine;
use crate::server::assert_serves_nagios;

#[test]
fn installed_by_hand_it_serves_nagios() {
    let machine = Machine::new();
    let clean = machine.files();
    let install = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/install");
    let target = concat!(env!("CARGO_TARGET_TMPDIR"), "/..");
    let status = Command::new(install)
        .arg(machine.root())
        .env("CARGO_TARGET_DIR", format!("{target}/{ARCH}-unknown-linux-gnu"))
        .status()
        .expect("a shell");
    assert!(status.success());
    let added = machine.changed_since(&clean);
    for file in ["/usr/lib/halfopen/haproxy", "/usr/share/man/man1/halfopen.1"] {
        assert!(added.iter().any(|path| path == file), "{added:?}");
    }
    assert_serves_nagios(&machine, "/usr/lib/nagios/plugins/check_tcp_half_open", "raw");
}
