//! Several targets at once: their summary, and the report of each.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{
    BROADCAST, CLOSED, Loopback, OPEN, SILENT, halfopen, json_pool, segments_received, text,
};

#[test]
fn a_pool_begins_with_a_summary_and_lists_what_is_not_ok() {
    let _network = Loopback::new().listen("127.0.0.1");
    let said = halfopen([OPEN, CLOSED]);
    let lines: Vec<_> = said.stdout.lines().collect();
    let [first, second] = lines[..] else { panic!("{}", said.stdout) };
    let begin = "TCP HALF-OPEN CRITICAL - 1 of 2 open: 127.0.0.1:8026 closed|open=1;;;0;2 '127.0.0.1:8025'=0.";
    assert!(first.starts_with(begin), "{first}");
    assert!(second.starts_with("127.0.0.1:8026 closed (RST+ACK in "), "{second}");
    assert_eq!((said.code, said.stderr.as_str()), (2, ""));

    let fine = halfopen([OPEN, "localhost:8025", "-4"]);
    assert!(
        fine.stdout.starts_with("TCP HALF-OPEN OK - 2 of 2 open|open=2;;;0;2 "),
        "{}",
        fine.stdout
    );
    assert_eq!((fine.code, fine.stdout.lines().count()), (0, 1));
}

#[test]
fn every_form_names_the_same_pool() {
    let _network = Loopback::new().listen("127.0.0.1");
    for words in [
        ["127.0.0.1:8025", "127.0.0.1:8026"].as_slice(),
        &["127.0.0.1:8025,8026"],
        &["127.0.0.1:8025-8026"],
        &["127.0.0.1:8026,8025"],
        &["127.0.0.1", "8025,8026"],
        &["127.0.0.1", "8025-8026"],
        &["127.0.0.1", "-p", "8025,8026"],
        &["-H", "127.0.0.1", "-p", "8025-8026"],
        &["-H", "127.0.0.1/32", "-p", "8025-8026"],
        &["127.0.0.1/32:8025-8026"],
        &["", "127.0.0.1:8025", "", "127.0.0.1:8026", ""],
    ] {
        let (targets, _, _) = json_pool(words);
        let states: BTreeMap<_, _> =
            targets.iter().map(|t| (text(t, "target"), text(t, "state"))).collect();
        let wanted = [("127.0.0.1:8025", "open"), ("127.0.0.1:8026", "closed")];
        assert_eq!(states, wanted.map(|(a, b)| (a.to_owned(), b.to_owned())).into(), "{words:?}");
    }
}

#[test]
fn a_block_is_all_its_addresses() {
    let _network = Loopback::new().listen("127.0.0.1");
    for words in [["127.0.0.0/29:8025"].as_slice(), &["-H", "127.0.0.0/29", "-p", "8025"]] {
        let (targets, summary, code) = json_pool(words);
        assert_eq!((targets.len(), code), (8, 2));
        for target in &targets {
            let address = text(target, "address");
            assert_eq!(text(target, "target"), format!("{address}:8025"));
            match &*address {
                "127.0.0.1" => assert_eq!(target["state"], "open"),
                // Before Linux 5.14 the first address of a network was a broadcast address.
                "127.0.0.0" if lab::kernel() < (5, 14) => {
                    assert_eq!(text(target, "reason"), "127.0.0.0 is a broadcast address");
                }
                _ => assert_eq!(target["state"], "closed", "{address}"),
            }
        }
        assert_eq!(summary["open"], 1);
    }
    let v6 = Loopback::new().listen("::1");
    for words in [["[::1/128]:8025-8026"].as_slice(), &["-H", "::1/128", "-p", "8025-8026"]] {
        let (targets, summary, _) = json_pool(words);
        assert_eq!(
            (targets.len(), &summary["open"], &summary["closed"]),
            (2, &1.into(), &1.into())
        );
    }
    drop(v6);
}

/// CRITICAL over WARNING over UNKNOWN over OK.
#[test]
fn the_worst_target_decides() {
    let _network = Loopback::new().listen("127.0.0.1").overload();
    for (words, code) in [
        ([OPEN, OPEN].as_slice(), 0),
        (&[OPEN, CLOSED, "-r", "ok"], 0),
        (&[OPEN, BROADCAST], 3),
        (&[OPEN, BROADCAST, CLOSED, "-r", "ok"], 3),
        (&[OPEN, BROADCAST, CLOSED, "-r", "warn"], 1),
        (&[OPEN, CLOSED, "-r", "warn"], 1),
        (&[OPEN, BROADCAST, CLOSED], 2),
        (&[OPEN, BROADCAST, CLOSED, SILENT, "-r", "warn"], 2),
        (&[OPEN, OPEN, "-w", "0"], 1),
        (&[OPEN, CLOSED, "--expect", "closed"], 2),
        (&[CLOSED, "127.0.0.2:8026", "--expect", "closed"], 0),
    ] {
        for format in ["nagios", "json", "text"] {
            let said = halfopen([&["-o", format, "--retries", "0"], words].concat());
            assert_eq!(said.code, code, "{words:?}: {}", said.stdout);
            let status = ["OK", "WARNING", "CRITICAL", "UNKNOWN"][usize::try_from(code).unwrap()];
            assert!(said.stdout.contains(status), "{}", said.stdout);
        }
    }
}

#[test]
fn the_wanted_number_of_open_targets_decides_alone() {
    let _network = Loopback::new().listen("127.0.0.1");
    for (wanted, targets, code) in [
        ("0", [OPEN, CLOSED].as_slice(), 0),
        ("0", &[CLOSED, CLOSED], 0),
        ("0%", &[CLOSED, CLOSED], 0),
        ("1", &[OPEN, CLOSED], 0),
        ("2", &[OPEN, CLOSED], 2),
        ("50%", &[OPEN, CLOSED], 0),
        ("50.1%", &[OPEN, CLOSED], 2),
        ("100%", &[OPEN, CLOSED], 2),
        ("100%", &[OPEN, OPEN], 0),
        ("1", &[OPEN, BROADCAST], 0),
        ("2", &[OPEN, BROADCAST], 3),
        ("2", &[OPEN, BROADCAST, CLOSED], 3),
        ("3", &[OPEN, BROADCAST, CLOSED], 2),
        ("1", &[OPEN], 0),
        ("0", &[CLOSED], 0),
        ("1", &[CLOSED], 2),
    ] {
        let said = halfopen([&["--retries", "0", "--min-open", wanted], targets].concat());
        assert_eq!(said.code, code, "{wanted} of {targets:?}: {}", said.stdout);
    }
    let said = halfopen(["--min-open", "1", OPEN, CLOSED]);
    let begin = "TCP HALF-OPEN OK - 1 of 2 open (1 wanted): 127.0.0.1:8026 closed|open=1;;1:;0;2 ";
    assert!(said.stdout.starts_with(begin), "{}", said.stdout);
}

#[test]
fn more_open_targets_than_there_are_cannot_be_wanted() {
    let _network = Loopback::new();
    for (wanted, named) in [
        ("3", "2 targets"),
        ("101%", "101%"),
        ("-1", "-1"),
        ("-1%", "-1"),
        ("x", "x"),
        ("%", "%"),
        ("nan%", "nan%"),
    ] {
        let said = halfopen(["--min-open", wanted, OPEN, CLOSED]);
        assert_eq!(said.code, 3, "{}", said.stdout);
        assert!(said.stdout.starts_with("TCP HALF-OPEN UNKNOWN - "), "{}", said.stdout);
        assert!(said.stdout.contains(named), "{}", said.stdout);
    }
    assert_eq!(segments_received(), 0);
}

#[test]
fn a_name_that_does_not_resolve_is_its_own_verdict_alone() {
    let _network = Loopback::new().listen("127.0.0.1");
    let (targets, summary, code) =
        json_pool(&["nonexistent.invalid:80,81", OPEN, "localhost:8025", "-4", "-t", "5"]);
    assert_eq!(code, 2);
    assert_eq!(targets.len(), 4);
    for target in &targets {
        let nowhere = text(target, "target").starts_with("nonexistent.invalid:8");
        assert_eq!(text(target, "state"), if nowhere { "unreachable" } else { "open" });
        assert_eq!(target["address"].is_null(), nowhere);
    }
    assert_eq!((&summary["open"], &summary["unreachable"]), (&2.into(), &2.into()));
}

#[test]
fn what_several_words_name_is_probed_once_and_reported_for_each() {
    let _network = Loopback::new().listen("127.0.0.1");
    let words = [
        OPEN,
        OPEN,
        "[::ffff:127.0.0.1]:8025",
        "127.0.0.0/30:8025",
        "localhost:8025",
        "-4",
        "-vvv",
    ];
    let said = halfopen([&["-o", "json"], words.as_slice()].concat());
    let lines: Vec<Value> = said.json_lines();
    let named: Vec<_> = lines.iter().filter(|line| line["address"] == "127.0.0.1").collect();
    assert_eq!(named.len(), 5, "{}", said.stdout);
    assert!(named.iter().all(|line| line["state"] == "open" && line["rtt"] == named[0]["rtt"]));
    assert_eq!(lines.last().unwrap()["summary"]["targets"], 8);
    assert_eq!(lines.last().unwrap()["summary"]["open"], 5);
    let syns = said
        .stderr
        .lines()
        .filter(|line| line.contains(" sent ") && line.contains("> 127.0.0.1:8025 SYN "));
    assert_eq!(syns.count(), 1, "{}", said.stderr);
}

#[test]
fn text_has_a_row_for_each_and_a_summary() {
    let _network = Loopback::new().listen("127.0.0.1");
    let said = halfopen(["-o", "text", OPEN, CLOSED, "nonexistent.invalid:80"]);
    let lines: Vec<_> = said.stdout.lines().collect();
    assert_eq!(lines.len(), 5, "{}", said.stdout);
    let columns = lines[0].find("STATE").unwrap();
    for (line, state) in lines[1..].iter().zip(["open", "closed", "unreachable"]) {
        assert!(line[columns..].starts_with(state), "{}", said.stdout);
    }
    assert!(lines[4].starts_with("CRITICAL: 1 of 3 open in "), "{}", said.stdout);
    assert_eq!(said.stderr, "");
}

#[test]
fn the_rate_is_kept() {
    let _network = Loopback::new();
    let begin = Instant::now();
    let said = halfopen(["--rate", "10", "127.0.0.1:101-120"]);
    let elapsed = begin.elapsed();
    assert_eq!(said.code, 2);
    assert!(elapsed >= Duration::from_millis(1800), "20 targets at 10 per second took {elapsed:?}");
}

#[test]
fn what_cannot_fit_is_said_before_anything_is_sent() {
    let _network = Loopback::new();
    for (rate, timeout, targets, total) in [
        ("10", "1", "127.0.0.1:1-100", "100 targets"),
        ("10000", "10", "127.0.0.0/8:80", "16777216 targets"),
        ("1", "5", "[2001:db8::/64]:80", "18446744073709551616 targets"),
    ] {
        for format in ["nagios", "json", "text"] {
            let said = halfopen(["-o", format, "--rate", rate, "-t", timeout, targets]);
            assert_eq!(said.code, 3, "{}", said.stdout);
            for named in [total, rate, timeout, "--rate", "--timeout"] {
                assert!(said.stdout.contains(named), "{named} is not in {}", said.stdout);
            }
        }
    }
    assert_eq!(segments_received(), 0);
    assert_eq!(halfopen(["--rate", "1000", "-t", "1", "127.0.0.1:1-100"]).code, 2);
}

#[test]
fn one_target_fits_into_any_time() {
    let _network = Loopback::new().listen("127.0.0.1");
    assert_eq!(halfopen(["--rate", "1", "-t", "1", OPEN]).code, 0);
}

#[test]
fn an_address_of_the_other_family_is_named_before_anything_is_sent() {
    let _network = Loopback::new();
    for (family, address) in [("-4", "[::1]:80"), ("-6", "127.0.0.1:80")] {
        let said = halfopen([family, "localhost:80", address]);
        assert_eq!((said.code, said.stdout.lines().count()), (3, 1), "{}", said.stdout);
    }
    assert_eq!(segments_received(), 0);
}
