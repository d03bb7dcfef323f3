//! Pools of thousands of targets, and of more than can be probed in time.

use crate::program::{HALFOPEN, Loopback, halfopen, json_pool, run, text};

#[test]
fn thousands_of_targets_do_not_say_more_than_a_monitor_reads() {
    let _network = Loopback::new();
    let said = halfopen(["127.1.0.0/20:9,10"]);
    assert_eq!(said.code, 2);
    assert!(said.stdout.len() < 8192, "{} bytes", said.stdout.len());
    let first = said.first_line();
    assert!(first.len() < 4096, "{} bytes", first.len());
    assert!(first.starts_with("TCP HALF-OPEN CRITICAL - 0 of 8192 open: 127.1.0."), "{first}");
    assert!(first.ends_with(" and 8189 more|open=0;;;0;8192"), "{first}");
    let listed = said.stdout.lines().skip(1).filter(|line| line.contains(" closed (RST+ACK in "));
    assert!(listed.count() > 100, "{}", said.stdout);
}

#[test]
fn json_has_a_line_for_each_of_thousands_and_one_that_adds_up() {
    let _network = Loopback::new().listen("127.0.0.1");
    let (targets, summary, code) = json_pool(&["127.0.0.1:8025", "127.1.0.0/20:9"]);
    assert_eq!((targets.len(), code), (4097, 2));
    let mut names: Vec<_> = targets.iter().map(|target| text(target, "target")).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 4097);
    for state in ["open", "closed", "filtered", "unreachable", "stale"] {
        let count = targets.iter().filter(|target| target["state"] == state).count();
        assert_eq!(summary[state], count, "{state}");
    }
    assert_eq!((&summary["targets"], &summary["unknown"]), (&4097.into(), &0.into()));
    assert_eq!((&summary["not_probed"], &summary["status"]), (&0.into(), &"CRITICAL".into()));
    assert!(summary["elapsed"].as_f64().unwrap() > 0.4, "4097 targets at 10,000 per second");
}

/// More targets than can be probed or stored: the report has those that there was time for.
#[test]
fn a_pool_without_end_ends_in_time() {
    let _network = Loopback::new();
    // With the machine's clock, because it never waits.
    let limited = "unset LD_PRELOAD; ulimit -v 500000; exec \"$0\" \"$@\"";
    for targets in ["10.0.0.0/8:1-65535", "[2001:db8::/32]:80"] {
        let said = run("sh", ["-c", limited, HALFOPEN, "--rate", "0", "-t", "2", targets]);
        assert_eq!(said.code, 2, "{}", said.stdout);
        assert!(said.stdout.len() < 8192, "{} bytes", said.stdout.len());
        assert!(said.first_line().contains(" not probed"), "{}", said.first_line());
    }
}

/// Each target has an object, but the end of the program does not wait until the addresses of a
/// large block are written.
#[test]
fn of_a_pool_without_end_a_hundred_thousand_that_were_not_probed_are_listed() {
    let _network = Loopback::new();
    for (targets, left) in [("127.0.0.0/8:9", 100_000), ("127.1.0.0/16:9", 65_536)] {
        let (found, summary, _) = json_pool(&["--rate", "0", "-t", "0.05", targets]);
        let unprobed = found.iter().filter(|target| target["engine"].is_null());
        let unprobed: Vec<_> = unprobed.collect();
        let wanted = "not probed: the deadline came before its first SYN";
        assert!(unprobed.iter().all(|t| t["state"].is_null() && t["reason"] == wanted));
        let told = summary["not_probed"].as_u64().expect("a number");
        let listed = u64::try_from(unprobed.len()).unwrap();
        assert_eq!(listed, told.min(left), "{summary}");
        let counted = ["open", "closed", "filtered", "unreachable", "stale", "unknown"];
        let ended: u64 = counted.iter().map(|state| summary[state].as_u64().unwrap()).sum();
        assert_eq!(ended + told, summary["targets"].as_u64().unwrap(), "{summary}");
        assert_eq!(found.len() as u64, ended + listed, "{summary}");
    }
}
