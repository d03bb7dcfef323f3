//! The program in a sandbox of Landlock (landlock(7)).

use std::net::SocketAddr;

use crate::support::ENGINES;
use crate::support::helper::Helper;
use lab::{Lab, Outcome, ROUTED_V4, ROUTED_V6, halfopen_path, with_own_clock};

struct Sandbox {
    lab: Lab,
    helper: Helper,
}

impl Sandbox {
    fn new() -> Self {
        Self { lab: Lab::new(), helper: Helper::build("sandbox.c") }
    }

    /// Returns the version of Landlock, 0 for none.
    fn version(&self) -> u32 {
        let told = self.lab.client.outcome(self.helper.command(&["abi"])).stdout;
        told.trim().parse().expect("a number")
    }

    fn check(&self, limits: &[&str], arguments: &[&str]) -> Outcome {
        let words = [limits, &[halfopen_path(), "-t", "2", "-o", "json"], arguments].concat();
        self.lab.client.outcome(with_own_clock(self.helper.command(&words)))
    }
}

#[test]
#[ignore = "for scripts/kernels"]
fn the_version_of_landlock_is_the_kernels() {
    let version = Sandbox::new().version();
    assert_eq!(version > 0, lab::kernel() >= (5, 13), "version {version}");
    assert_eq!(version >= 4, lab::kernel() >= (6, 7), "version {version}");
}

#[test]
#[ignore = "for scripts/kernels"]
fn where_no_file_may_be_changed_checks_are_right() {
    let sandbox = Sandbox::new();
    for server in [ROUTED_V4, ROUTED_V6] {
        let _listener = sandbox.lab.server.listen(SocketAddr::new(server, 80));
        for engine in ENGINES {
            let arguments = ["--engine", engine, &server.to_string()];
            let check = |port| sandbox.check(&["files"], &[&arguments[..], &[port]].concat());
            if sandbox.version() == 0 {
                let outcome = check("80");
                assert_eq!(outcome.code, 99, "{outcome:?}");
                continue;
            }
            assert_eq!(check("80").verdict().ending(), (Some("open"), 0), "{engine}");
            assert_eq!(check("81").verdict().ending(), (Some("closed"), 2), "{engine}");
        }
    }
}

/// A raw socket does not connect, so the sandbox does not apply to it: SECURITY.md.
#[test]
#[ignore = "for scripts/kernels"]
fn a_port_that_a_sandbox_forbids_is_unknown() {
    let sandbox = Sandbox::new();
    for server in [ROUTED_V4, ROUTED_V6] {
        let _listener = sandbox.lab.server.listen(SocketAddr::new(server, 80));
        for engine in ENGINES {
            let check = |port| {
                let target = ["--engine", engine, &server.to_string(), port];
                sandbox.check(&["connect", "80"], &target)
            };
            if sandbox.version() < 4 {
                // It forbids nothing of this kind.
                assert_eq!(check("80").code, 99);
                continue;
            }
            assert_eq!(check("80").verdict().ending(), (Some("open"), 0), "{engine}");
            let verdict = check("81").verdict();
            if engine == "connect" {
                assert_eq!(verdict.ending(), (None, 3), "{verdict:?}");
                assert!(verdict.reason.contains("a security module may forbid it"), "{verdict:?}");
            } else {
                assert_eq!(verdict.ending(), (Some("closed"), 2), "{verdict:?}");
            }
        }
    }
}

#[test]
#[ignore = "for scripts/kernels"]
fn where_no_port_may_be_bound_the_reason_says_so() {
    let sandbox = Sandbox::new();
    for server in [ROUTED_V4, ROUTED_V6] {
        let _listener = sandbox.lab.server.listen(SocketAddr::new(server, 80));
        for engine in ["auto", "raw", "connect"] {
            let target = ["--engine", engine, &server.to_string(), "80"];
            let outcome = sandbox.check(&["bind"], &target);
            if sandbox.version() < 4 {
                assert_eq!(outcome.code, 99, "{outcome:?}");
                continue;
            }
            let verdict = outcome.verdict();
            assert_eq!(verdict.ending(), (None, 3), "{engine}: {verdict:?}");
            assert!(verdict.reason.contains("a security module may forbid it"), "{verdict:?}");
        }
    }
}
