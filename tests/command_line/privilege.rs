//! Without privilege the program says what is missing. The self-test shows that checks work.

use std::fs;

use serde_json::Value;

use nix::sched::{CloneFlags, unshare};

use crate::program::{HALFOPEN, Loopback, Said, halfopen, run};

#[test]
fn without_the_capability_one_line_names_the_fix() {
    let _network = Loopback::new().listen("127.0.0.1");
    let said = without_capability(&["--engine", "raw", "127.0.0.1", "8025"]);
    let line = format!(
        "TCP HALF-OPEN UNKNOWN - cannot open a raw socket (Operation not permitted); \
         try: setcap cap_net_raw+p {HALFOPEN}\n"
    );
    assert_eq!(said, Said { code: 3, stdout: line, stderr: String::new() });
}

#[test]
fn without_the_capability_json_has_no_state() {
    let _network = Loopback::new().listen("127.0.0.1");
    let said = without_capability(&["--engine", "raw", "-o", "json", "127.0.0.1", "8025"]);
    let object = said.json();
    assert_eq!((said.code, said.stderr.as_str()), (3, ""));
    assert_eq!(object["status"], "UNKNOWN");
    assert_eq!(object["address"], "127.0.0.1");
    assert_eq!(object["tries"], 0);
    for field in ["state", "rtt", "engine"] {
        assert_eq!(object[field], Value::Null, "{field}");
    }
    assert!(object["reason"].as_str().unwrap().contains("setcap cap_net_raw+p"), "{object}");
}

#[test]
fn without_the_capability_no_expectation_is_met() {
    let _network = Loopback::new();
    for expected in ["open", "closed", "filtered"] {
        let said =
            without_capability(&["--engine", "raw", "--expect", expected, "127.0.0.1", "8026"]);
        assert_eq!(said.code, 3, "{expected} expected");
    }
    assert_eq!(without_capability(&["--engine", "raw", "-r", "ok", "127.0.0.1", "8026"]).code, 3);
}

#[test]
fn without_the_capability_a_wrong_command_line_is_still_that() {
    let said = without_capability(&["127.0.0.1", "0"]);
    assert_eq!(said, halfopen(["127.0.0.1", "0"]));
}

#[test]
fn the_self_test_holds() {
    let _network = Loopback::new();
    let said = halfopen(["--self-test"]);
    assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{}", said.stdout);
    let first = said.first_line();
    assert!(first.starts_with("TCP HALF-OPEN OK - self-test: "), "{first}");
    for (claim, times) in [
        ("is open (SYN+ACK)", 2),
        ("nothing to accept", 2),
        ("is closed (RST+ACK)", 2),
        ("\nyes: 127.0.0.1:", 4),
        ("\nyes: [::1]:", 4),
        ("\nNO", 0),
        (" sent ", 6),
        (" received ", 4),
    ] {
        assert_eq!(said.stdout.matches(claim).count(), times, "{claim:?}: {}", said.stdout);
    }
}

/// Loopback addresses of the other family cannot be reached from there.
#[test]
fn the_self_test_from_a_source_keeps_to_its_family() {
    let _network = Loopback::new();
    for (options, loopback) in [
        (["-S", "127.0.0.1"].as_slice(), "\nyes: 127.0.0.1:"),
        (&["-S", "::1"], "\nyes: [::1]:"),
        (&["-S", "127.0.0.2", "--engine", "connect"], "\nyes: 127.0.0.1:"),
    ] {
        let said = halfopen([&["--self-test"], options].concat());
        assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{options:?}: {}", said.stdout);
        assert_eq!(said.stdout.matches(loopback).count(), 4, "{options:?}: {}", said.stdout);
        assert_eq!(said.stdout.matches("\nyes: ").count(), 4, "{options:?}: {}", said.stdout);
    }
    let said = halfopen(["--self-test", "-S", "::1", "-4"]);
    assert_eq!((said.code, said.stderr.as_str()), (3, ""));
    assert!(said.stdout.contains("a --source of the family"), "{}", said.stdout);
}

#[test]
fn the_self_test_says_what_to_do_if_loopback_is_down() {
    unshare(CloneFlags::CLONE_NEWNET)
        .expect("a new network: needs root, or `unshare --user --map-root-user`");
    for engine in ["raw", "connect"] {
        let said = halfopen(["--self-test", "--engine", engine]);
        assert_eq!((said.code, said.stderr.as_str()), (3, ""));
        assert!(said.stdout.contains("ip link set lo up"), "{}", said.stdout);
        assert!(!said.stdout.contains("os error"), "{}", said.stdout);
    }
}

/// The reserved port then receives the SYN+ACK, and the kernel sends the RST, as intended.
#[test]
fn the_self_test_holds_if_segments_are_sent_with_hop_limit_255() {
    let _network = Loopback::new();
    fs::write("/proc/sys/net/ipv4/ip_default_ttl", "255").unwrap();
    let said = halfopen(["--self-test"]);
    assert!(said.stdout.contains(" ttl 255 (the kernel sends the RST)"), "{}", said.stdout);
    assert_eq!(said.code, 0, "{}", said.stdout);
}

#[test]
fn the_self_test_of_raw_sockets_cannot_hold_without_privilege() {
    let _network = Loopback::new();
    let said = without_capability(&["--self-test", "--engine", "raw"]);
    assert_eq!((said.code, said.stderr.as_str()), (3, ""));
    assert!(said.stdout.contains("setcap cap_net_raw+p"), "{}", said.stdout);
}

#[test]
fn the_self_test_holds_without_privilege_by_the_kernels_handshake() {
    let _network = Loopback::new();
    let said = without_capability(&["--self-test"]);
    assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{}", said.stdout);
    assert!(said.first_line().ends_with("(engine: connect)"), "{}", said.stdout);
    assert_eq!(said.stdout.matches("\nyes: ").count(), 8, "{}", said.stdout);
    assert_eq!(said.stdout.matches("by SYN, SYN+ACK, RST+ACK\n").count(), 2, "{}", said.stdout);
}

/// Runs the program without `CAP_NET_RAW` in its bounding set, as in most containers.
fn without_capability(words: &[&str]) -> Said {
    let deprived = ["--bounding-set=-net_raw", "--inh-caps=-net_raw", HALFOPEN];
    run("setpriv", [&deprived, words].concat())
}
