//! The packages and the static program on releases of Debian, with their C libraries.

use std::env::consts::ARCH;
use std::fs;

use crate::machine::{Machine, Outcome, for_this_machine, package, run};
use crate::resident::assert_checks;
use crate::server::own_network;

const PROGRAM: &str = "/usr/bin/halfopen";

/// Asserts that root and the user `nagios` can check ports with raw packets, and look up a name.
/// That takes a thread, which reads files of the system.
fn assert_works(machine: &Machine) {
    own_network();
    let hosts = "127.0.0.1 localhost\n127.0.0.7 server.example\n";
    fs::write(machine.path("/etc/hosts"), hosts).expect("a folder for it");
    for user in ["root", "nagios"] {
        assert_passed(&machine.outcome_as(user, &[PROGRAM, "--self-test"]));
        let named = machine.outcome_as(user, &[PROGRAM, "server.example", "8025"]);
        let said = "TCP HALF-OPEN CRITICAL - server.example:8025 at 127.0.0.7 closed ";
        assert_eq!(named.code, 2, "{named:#?}");
        assert!(named.stdout.starts_with(said), "{named:#?}");
    }
}

/// Asserts that a self-test passed, over both address families.
fn assert_passed(outcome: &Outcome) {
    let said = "TCP HALF-OPEN OK - self-test: 8 of 8 claims hold on this machine (engine: raw)\n";
    assert_eq!(outcome.code, 0, "{outcome:#?}");
    assert!(outcome.stdout.starts_with(said), "{outcome:#?}");
}

fn assert_packages_work(suite: &str) {
    let machine = Machine::unpack(suite);
    for program in ["halfopen", "halfopend"] {
        machine.bring(&package(program, &for_this_machine("deb")), "package.deb");
        machine.run(&["apt-get", "install", "--yes", "/package.deb"]);
    }
    assert_works(&machine);
    assert_checks(&machine);
}

fn assert_static_program_works(suite: &str) {
    let archive = package("halfopen", &format!("{ARCH}-linux-musl.tar.gz"));
    let machine = Machine::unpack(suite);
    let usr = machine.path("/usr");
    let to = ["--strip-components=2", "--keep-directory-symlink", "--directory"];
    let members = [usr.to_str().unwrap(), "--wildcards", "*/usr/*"];
    run("tar", &[&["--extract", "--file", &archive][..], &to, &members].concat());
    machine.run(&["setcap", "cap_net_raw=p", PROGRAM]);
    assert_works(&machine);
}

#[test]
fn the_packages_work_on_debian_11() {
    assert_packages_work("bullseye");
}

#[test]
fn the_packages_work_on_debian_12() {
    assert_packages_work("bookworm");
}

#[test]
fn the_packages_work_on_debian_13() {
    assert_packages_work("trixie");
}

#[test]
fn the_packages_work_on_debian_sid() {
    assert_packages_work("sid");
}

#[test]
fn the_static_program_works_on_the_oldest_and_the_newest() {
    assert_static_program_works("bullseye");
    assert_static_program_works("sid");
}
