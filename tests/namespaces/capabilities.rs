//! With how little privilege a check works, and what it says without.
//!
//! In a user namespace no other user exists; there, root without its magic (`SECBIT_NOROOT`) stands for an ordinary user:
//! the kernel then gives it the capabilities that anybody gets.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::exchange::{assert_half_open, assert_refused};
use crate::lab::{CLIENT_V4, CLIENT_V6, HALFOPEN, Lab, NET_RAW_ALONE, SERVER_V4, SERVER_V6};

/// `CAP_NET_RAW` as a bit of the sets in /proc/PID/status.
const NET_RAW: &str = "0000000000002000";
const NONE: &str = "0000000000000000";

/// A user without a single capability, but with the bounding set that allows a file to give some.
fn ordinary_user() -> Vec<&'static str> {
    let mapped = fs::read_to_string("/proc/self/uid_map").expect("/proc is mounted");
    let nobody_exists = mapped.lines().any(|line| {
        let numbers: Vec<u64> =
            line.split_whitespace().map(|number| number.parse().expect("a number")).collect();
        (numbers[0]..numbers[0] + numbers[2]).contains(&65_534)
    });
    if nobody_exists {
        vec!["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]
    } else {
        vec!["--securebits=+noroot,+noroot_locked", "--inh-caps=-all"]
    }
}

/// The program where every user may run it.
fn copy_for_everybody(lab: &Lab) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a scratch directory");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))
        .expect("our own directory");
    let path = folder.path().join("halfopen");
    // By another process: a file that this one writes is busy while any of its threads starts a program.
    lab.client.run("cp", &[HALFOPEN, path.to_str().expect("plain letters")]);
    (folder, path)
}

fn setpriv(privileges: &[&str], program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(privileges).arg(program).args(arguments);
    command
}

/// The effective capabilities that an ordinary program starts with.
fn effective_capabilities(lab: &Lab, privileges: &[&str]) -> String {
    let outcome = lab.client.outcome(setpriv(privileges, Path::new("cat"), &["/proc/self/status"]));
    let line = outcome
        .stdout
        .lines()
        .find(|line| line.starts_with("CapEff:"))
        .unwrap_or_else(|| panic!("{outcome:?}"));
    line.split_whitespace().last().expect("split gives one part").to_owned()
}

fn assert_checks_work(lab: &Lab, privileges: &[&str], program: &Path) {
    for (client, server) in [(CLIENT_V4, SERVER_V4), (CLIENT_V6, SERVER_V6)] {
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        let capture = lab.server.capture("server0");
        let verdict = |port| {
            lab.client
                .outcome(setpriv(privileges, program, &["-o", "json", &server.to_string(), port]))
                .verdict()
        };
        assert_eq!(verdict("80").ending(), (Some("open"), 0));
        assert_half_open(&capture.segments(), client, server);
        assert_eq!(verdict("81").ending(), (Some("closed"), 2));
        assert_refused(&capture.segments(), client, server);
    }
}

#[test]
fn cap_net_raw_alone_is_enough() {
    let lab = Lab::new();
    assert_eq!(effective_capabilities(&lab, &NET_RAW_ALONE), NET_RAW);
    assert_checks_work(&lab, &NET_RAW_ALONE, Path::new(HALFOPEN));
}

#[test]
fn cap_net_raw_alone_is_enough_for_a_server_with_hop_limit_255() {
    let lab = Lab::new();
    lab.server.sysctl("net.ipv4.ip_default_ttl", "255");
    lab.server.sysctl("net.ipv6.conf.server0.hop_limit", "255");
    assert_checks_work(&lab, &NET_RAW_ALONE, Path::new(HALFOPEN));
}

/// `+p`, not `+ep`: the program raises the bit itself, and still starts where the bounding set lacks it.
#[test]
fn a_permitted_file_capability_is_enough_for_an_ordinary_user() {
    let lab = Lab::new();
    let (_folder, program) = copy_for_everybody(&lab);
    lab.client.run("setcap", &["cap_net_raw+p", program.to_str().expect("plain letters")]);
    let user = ordinary_user();
    assert_eq!(effective_capabilities(&lab, &user), NONE);
    assert_checks_work(&lab, &user, &program);
}

#[test]
fn without_privilege_the_answer_names_the_fix() {
    let lab = Lab::new();
    let (_folder, program) = copy_for_everybody(&lab);
    let capture = lab.server.capture("server0");
    for server in ["198.19.0.2", "2001:db8::2"] {
        let outcome = lab.client.outcome(setpriv(
            &ordinary_user(),
            &program,
            &["--engine", "raw", server, "80"],
        ));
        assert_eq!(outcome.code, 3, "{outcome:?}");
        assert!(
            outcome.stdout.starts_with("TCP HALF-OPEN UNKNOWN - cannot open a raw socket"),
            "{outcome:?}"
        );
        assert!(outcome.stdout.contains("setcap cap_net_raw+p"), "{outcome:?}");
        assert_eq!(outcome.stdout.lines().count(), 1, "{outcome:?}");
    }
    assert!(capture.segments().is_empty());
}

#[test]
fn a_file_capability_outside_the_bounding_set_says_so_instead_of_failing_to_start() {
    let lab = Lab::new();
    let (_folder, program) = copy_for_everybody(&lab);
    lab.client.run("setcap", &["cap_net_raw+p", program.to_str().expect("plain letters")]);
    let contained = [&["--bounding-set=-net_raw"], &ordinary_user()[..]].concat();
    let outcome =
        lab.client.outcome(setpriv(&contained, &program, &["--engine", "raw", "198.19.0.2", "80"]));
    assert_eq!(outcome.code, 3, "{outcome:?}");
    assert!(
        outcome.stdout.starts_with("TCP HALF-OPEN UNKNOWN - cannot open a raw socket"),
        "{outcome:?}"
    );
}
