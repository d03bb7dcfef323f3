//! Reports of several targets: the contract's example, what the numbers mean, and how long reports
//! may get.

use std::fmt::Write;

use halfopen::plan::Format;
use halfopen::report::Report;
use halfopen::status::{MinOpen, Status};
use halfopen::verdict::{EndOfRun, NoVerdict, Outcome};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::pool_reports::{
    address, closed_at, example, mixed, mixed_found, numbered, open, open_at, silence, silent_at,
    slow, slow_at, unfinished, unknown_at, watched, without_engine,
};
use crate::reports::{CLOSED, OPEN, at_verbosity, judged, pool, render, wanting};

/// What Nagios keeps of a plugin's output (`MAX_PLUGIN_OUTPUT_LENGTH`), and half of it for the
/// first line.
const KEPT: usize = 8192;
const FIRST: usize = 4096;

const FORMATS: [Format; 3] = [Format::Nagios, Format::Json, Format::Text];

/// The lines that the contract gives, word by word.
#[test]
fn the_example_of_the_contract() {
    let (out, _) = render(&example(), Format::Nagios, false);
    let contract = "TCP HALF-OPEN CRITICAL - 2 of 3 open: 192.0.2.9:25 filtered\
                    |open=2;;;0;3 '192.0.2.7:25'=0.000360s;;;0;10 '192.0.2.8:25'=0.000410s;;;0;10\n\
                    192.0.2.9:25 filtered (no answer to 3 SYNs in 7.0 s)\n";
    assert_eq!(out, contract);

    let (out, _) = render(&example(), Format::Json, false);
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [first, .., last] = &lines[..] else { panic!("{out}") };
    assert_eq!(lines.len(), 4);
    assert_eq!((&first["target"], &first["state"]), (&json!("192.0.2.7:25"), &json!("open")));
    let summary = json!({"summary": {
        "targets": 3, "open": 2, "closed": 0, "filtered": 1, "unreachable": 0, "stale": 0,
        "unknown": 0, "not_probed": 0, "status": "CRITICAL", "elapsed": 7.0
    }});
    assert_eq!(*last, summary);
    let begin = r#"{"summary":{"targets":3,"open":2,"closed":0,"filtered":1,"#;
    assert!(out.lines().last().unwrap().starts_with(begin), "{out}");
    assert!(out.ends_with("\"status\":\"CRITICAL\",\"elapsed\":7.0}}\n"), "{out}");
}

#[test]
fn kinds_of_pools() {
    let named = |report| wanting(MinOpen::Count(2), report);
    assert_page(
        "pools",
        &[
            ("all open", pool(vec![open_at(7), open_at(8)])),
            ("all slow", slow()),
            ("some not open", example()),
            ("of every kind", mixed()),
            ("two wanted, two open", named(example())),
            ("two wanted, one open", named(pool(vec![open_at(7), silent_at(8), silent_at(9)]))),
            ("two thirds wanted", wanting(MinOpen::Percent(66.6), example())),
            ("closed, as expected", judged(pool(vec![closed_at(7), closed_at(8)]), CLOSED)),
            ("one not as expected", judged(pool(vec![closed_at(7), open_at(8)]), CLOSED)),
            ("one unknown", pool(vec![open_at(7), unknown_at(8)])),
            ("not all probed", unfinished(5, example())),
            ("interrupted", Report { interrupted: true, ..unfinished(2, example()) }),
            ("interrupted at once", Report { interrupted: true, ..unfinished(3, pool(vec![])) }),
            ("could not begin", without_engine()),
        ],
    );
}

#[test]
fn details_of_pools() {
    let mut page = String::new();
    for verbosity in 0..=3 {
        for format in FORMATS {
            let (out, aside) = render(&at_verbosity(verbosity, watched()), format, false);
            write!(page, "== {format:?}, verbosity {verbosity}\n{out}").unwrap();
            if !aside.is_empty() {
                write!(page, "-- aside\n{aside}").unwrap();
            }
        }
    }
    insta::assert_snapshot!("details_of_pools", page);
}

/// A line for each of this many targets that are not open would be too much for a monitor.
#[test]
fn lines_beyond_what_a_monitor_reads_are_left_out_with_a_note() {
    let mut page = String::new();
    for count in [50, 51, 500, 501, 5000] {
        let report = pool((0..count).map(numbered).collect());
        let (out, _) = render(&report, Format::Nagios, false);
        assert_fits(&out);
        let count_line = format!("TCP HALF-OPEN CRITICAL - 0 of {count} open: ");
        assert!(out.starts_with(&count_line), "{out}");
        let first = out.lines().next().unwrap();
        assert!(first.contains(&format!(" and {} more|open=0;;;0;{count}", count - 3)), "{first}");
        writeln!(page, "# {count} closed\n{}", ends_of(&out)).unwrap();
    }
    insta::assert_snapshot!("many", page);
}

/// Open targets answer first. The verdicts on silent ones are reached when there is much to report
/// already.
#[test]
fn targets_that_are_not_ok_are_named_with_details_too() {
    let open = |number| (numbered(number).0, numbered(number).1, open(360));
    for verbosity in 0..=3 {
        let found = (0..1000).map(open).chain([silent_at(9)]).collect();
        let (out, _) = render(&at_verbosity(verbosity, pool(found)), Format::Nagios, false);
        assert_fits(&out);
        let begin = "TCP HALF-OPEN CRITICAL - 1000 of 1001 open: 192.0.2.9:25 filtered|";
        assert!(out.starts_with(begin), "verbosity {verbosity}: {}", out.lines().next().unwrap());
    }
}

#[test]
fn other_formats_leave_nothing_out() {
    let report = pool((0..5000).map(numbered).collect());
    let (json, _) = render(&report, Format::Json, false);
    assert_eq!(json.lines().count(), 5001);
    let (text, _) = render(&report, Format::Text, false);
    assert_eq!(text.lines().count(), 5002);
}

#[test]
fn long_names_do_not_make_long_lines() {
    let name = ["a-label-of-quite-some-length"; 8].join(".");
    let targets: Vec<_> = (10..60).map(|number| format!("{name}.x{number}:25")).collect();
    let of = |outcome: Outcome| {
        pool(targets.iter().map(|target| (target.clone(), address(7), outcome.clone())).collect())
    };
    for report in
        [of(open(360)), of(silence()), of(Err(NoVerdict::Unfinished(EndOfRun::OutOfTime)))]
    {
        let (out, _) = render(&report, Format::Nagios, false);
        assert_fits(&out);
    }
}

#[test]
fn every_packet_of_a_pool_is_more_than_a_monitor_reads() {
    let mut report = watched();
    report.packets = report.packets.repeat(1000);
    let (out, _) = render(&at_verbosity(3, report.clone()), Format::Nagios, false);
    assert_fits(&out);
    let (out, _) = render(&at_verbosity(3, report), Format::Text, false);
    assert!(out.lines().count() > 3000);
}

#[test]
fn performance_data_has_each_open_target_once() {
    let report = pool((1..=50).map(open_at).collect());
    let (out, _) = render(&report, Format::Nagios, false);
    let (_, data) = out.lines().next().unwrap().split_once('|').unwrap();
    let labels: Vec<_> = data.split(' ').map(|datum| datum.split_once('=').unwrap().0).collect();
    let targets = (1..=50).map(|last| format!("'192.0.2.{last}:25'"));
    let wanted: Vec<_> = std::iter::once("open".to_owned()).chain(targets).collect();
    assert_eq!(labels, wanted);
}

#[test]
fn colours_of_pools() {
    let mut page = String::new();
    for report in [mixed(), pool(vec![open_at(7), open_at(8)])] {
        let (out, _) = render(&report, Format::Text, true);
        writeln!(page, "{}", out.replace('\u{1b}', "<ESC>")).unwrap();
    }
    insta::assert_snapshot!("colours_of_pools", page);
}

/// How many targets must be open, and how many are open, not open, and unknown.
#[test]
fn the_wanted_number_of_open_targets_decides_alone() {
    for (wanted, open, bad, unknown, status) in [
        (MinOpen::Count(0), 0, 3, 0, Status::Ok),
        (MinOpen::Count(1), 0, 3, 0, Status::Critical),
        (MinOpen::Count(1), 1, 2, 0, Status::Ok),
        (MinOpen::Count(1), 1, 0, 2, Status::Ok),
        (MinOpen::Count(2), 1, 0, 2, Status::Unknown),
        (MinOpen::Count(2), 1, 1, 1, Status::Unknown),
        (MinOpen::Count(2), 1, 2, 1, Status::Unknown),
        (MinOpen::Count(3), 1, 1, 1, Status::Critical),
        (MinOpen::Count(3), 3, 0, 0, Status::Ok),
        (MinOpen::Percent(0.0), 0, 3, 0, Status::Ok),
        (MinOpen::Percent(0.1), 0, 3, 0, Status::Critical),
        (MinOpen::Percent(50.0), 2, 2, 0, Status::Ok),
        (MinOpen::Percent(50.0), 2, 3, 0, Status::Critical),
        (MinOpen::Percent(50.0), 3, 2, 0, Status::Ok),
        (MinOpen::Percent(66.6), 2, 1, 0, Status::Ok),
        (MinOpen::Percent(66.7), 2, 1, 0, Status::Critical),
        (MinOpen::Percent(100.0), 3, 0, 0, Status::Ok),
        (MinOpen::Percent(100.0), 2, 1, 0, Status::Critical),
        (MinOpen::Percent(100.0), 2, 0, 1, Status::Unknown),
    ] {
        let known =
            std::iter::repeat_n(open_at(7), open).chain(std::iter::repeat_n(silent_at(8), bad));
        let all = known.clone().chain(std::iter::repeat_n(unknown_at(9), unknown));
        let report = wanting(wanted, pool(all.collect()));
        let case = format!("{wanted:?} of {open} open, {bad} not, {unknown} unknown");
        assert_eq!(report.status(), status, "{case}");
        let unprobed = wanting(wanted, unfinished(unknown as u128, pool(known.collect())));
        assert_eq!(unprobed.status(), status, "{case}, not probed");
    }
}

proptest! {
    /// CRITICAL over WARNING over UNKNOWN over OK.
    #[test]
    fn the_worst_target_decides(ends in proptest::collection::vec(0..4_u8, 2..9)) {
        let found = ends.iter().map(|end| match end {
            0 => open_at(7),
            1 => slow_at(8),
            2 => unknown_at(9),
            _ => silent_at(9),
        });
        let mut report = pool(found.collect());
        report.settings.policy.warning = Some("0.1".parse().unwrap());
        let report = judged(report, OPEN);
        let worst = match ends.as_slice() {
            ends if ends.contains(&3) => Status::Critical,
            ends if ends.contains(&1) => Status::Warning,
            ends if ends.contains(&2) => Status::Unknown,
            _ => Status::Ok,
        };
        prop_assert_eq!(report.status(), worst);
        for format in FORMATS {
            let (out, _) = render(&report, format, false);
            prop_assert!(out.contains(&worst.to_string()));
        }
    }

    /// Any number of targets, with any results.
    #[test]
    fn every_pool_fits_and_adds_up(
        ends in proptest::collection::vec(0..7_usize, 2..120),
        unprobed in 0..3_u64,
        verbosity in 0..4_u8,
    ) {
        let ends: Vec<_> = ends.into_iter().map(mixed_found).collect();
        let report = at_verbosity(verbosity, unfinished(unprobed.into(), pool(ends.clone())));
        let (out, _) = render(&report, Format::Nagios, false);
        assert_fits(&out);
        let (out, _) = render(&report, Format::Json, false);
        let mut lines: Vec<Value> =
            out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let summary = lines.pop().unwrap()["summary"].take();
        prop_assert_eq!(lines.len(), ends.len());
        for state in ["open", "closed", "filtered", "unreachable", "stale"] {
            let count = lines.iter().filter(|line| line["state"] == state).count();
            prop_assert_eq!(summary[state].as_u64(), Some(count as u64));
        }
        let unknown = lines.iter().filter(|line| line["state"].is_null()).count();
        prop_assert_eq!(summary["unknown"].as_u64(), Some(unknown as u64));
        prop_assert_eq!(summary["not_probed"].as_u64(), Some(unprobed));
        prop_assert_eq!(summary["targets"].as_u64(), Some(ends.len() as u64 + unprobed));
    }
}

/// Asserts that the text consists of whole lines, and that a monitor reads every byte.
fn assert_fits(out: &str) {
    assert!(out.len() < KEPT, "{} bytes", out.len());
    assert!(out.ends_with('\n'));
    let first = out.lines().next().unwrap();
    assert!(first.len() < FIRST, "{} bytes in the first line", first.len());
    assert_eq!(out.matches('|').count(), 1, "{out}");
}

/// Returns the first lines of a text and the last two.
fn ends_of(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    let (first, last) = (&lines[..3], &lines[lines.len() - 2..]);
    format!("{}\n… {} bytes …\n{}\n", first.join("\n"), text.len(), last.join("\n"))
}

fn assert_page(name: &str, reports: &[(&str, Report)]) {
    let mut page = String::new();
    for (title, report) in reports {
        let [nagios, json, text] = FORMATS.map(|format| {
            let (out, aside) = render(report, format, false);
            assert!(!out.contains('\u{1b}') && aside.is_empty(), "{out}{aside}");
            out
        });
        write!(page, "# {title}\n{nagios}{json}{text}\n").unwrap();
    }
    insta::assert_snapshot!(name, page);
}

/// The verdicts that are there count as without it: no target is better for having been given up.
#[test]
fn an_interruption_hides_no_verdict() {
    let interrupted = |report| Report { interrupted: true, ..report };
    assert_eq!(interrupted(example()).status(), example().status());
    assert_eq!(interrupted(unfinished(2, example())).status(), Status::Critical);
    assert_eq!(interrupted(unfinished(2, slow())).status(), Status::Warning);
    let open = pool(vec![open_at(7), open_at(8)]);
    assert_eq!(interrupted(unfinished(2, open.clone())).status(), Status::Unknown);
    // What is known decides already, or what is not known may.
    let wanting = |open_ones, report| wanting(MinOpen::Count(open_ones), report);
    for (wanted, status) in [(2, Status::Ok), (3, Status::Unknown), (5, Status::Critical)] {
        let report = wanting(wanted, unfinished(2, open.clone()));
        assert_eq!(interrupted(report).status(), status, "{wanted} wanted");
    }
}
