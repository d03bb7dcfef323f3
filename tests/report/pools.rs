//! Reports of several targets: the contract's example, what the numbers mean, and how long they may
//! get.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use halfopen::event_loop::PacketEvent;
use halfopen::local_error::LocalError;
use halfopen::plan::Format;
use halfopen::report::Report;
use halfopen::status::{MinOpen, Status};
use halfopen::verdict::{EndOfRun, LookupFailure, NoVerdict, Outcome, Reason, Verdict};
use halfopen::wire::{Flags, Options, Segment, SequenceNumber};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::reports::{CLOSED, Found, OPEN, answered, at_verbosity, judged, pool, render, wanting};

/// What Nagios keeps of a plugin's output (`MAX_PLUGIN_OUTPUT_LENGTH`), and half of it for the
/// first line.
const KEPT: usize = 8192;
const FIRST: usize = 4096;

const FORMATS: [Format; 3] = [Format::Nagios, Format::Json, Format::Text];

/// Names of interfaces have almost any character (`dev_valid_name()`), and other text comes from
/// outside, too.
#[test]
fn foreign_text_breaks_neither_lines_nor_performance_data() {
    let hostile = "a|b'c=d;e f\ng\r\u{1b}[31m\u{7f}\u{85}\u{202e}\u{2028}\u{feff}";
    for (hostile, harmless) in kinds(hostile).into_iter().zip(kinds("eth0")) {
        for (format, verbosity) in
            [(Format::Nagios, 0), (Format::Nagios, 3), (Format::Text, 0), (Format::Text, 3)]
        {
            let text =
                |report: &Report| render(&at_verbosity(verbosity, report.clone()), format, false).0;
            let (out, like) = (text(&hostile), text(&harmless));
            for special in
                ['\n', '|', '\r', '\u{1b}', '\u{7f}', '\u{85}', '\u{202e}', '\u{2028}', '\u{feff}']
            {
                let count = |text: &str| text.matches(special).count();
                assert_eq!(count(&out), count(&like), "{special:?} in {out:?}");
            }
        }
    }
}

/// Quotes around the label, doubled within it, no equals sign: so say the guidelines.
#[test]
fn a_label_of_performance_data_is_read_as_one() {
    let [.., pool] = &kinds("a|b'c=d;e f")[..] else { panic!("no pool") };
    let (out, _) = render(pool, Format::Nagios, false);
    let data = out.lines().next().unwrap().split_once('|').unwrap().1;
    let (open, rest) = data.split_once(' ').unwrap();
    assert_eq!(open, "open=1;;;0;3");
    let quoted = rest.strip_prefix('\'').unwrap().replace("\'\'", "\"");
    let (label, value) = quoted.split_once('\'').unwrap();
    assert_eq!((label, value), ("[fe80::1%a/b\"c_d;e f]:25", "=0.000360s;;;0;10"));
}

#[test]
fn json_has_names_as_they_are() {
    let name = "a|b'c=d;e\"f\ng\u{1b}\u{202e}";
    let (out, _) = render(&kinds(name)[0], Format::Json, false);
    let line: Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    assert_eq!(line["target"], format!("[fe80::1%{name}]:25"));
}

/// Reports of a target on this interface, open, closed and unknown, and of a pool of all three.
fn kinds(interface: &str) -> Vec<Report> {
    let of =
        |outcome| (format!("[fe80::1%{interface}]:25"), Some("fe80::1".parse().unwrap()), outcome);
    let (value, errno) = (interface.to_owned(), nix::errno::Errno::ENODEV);
    let error = LocalError::Option { option: "interface", value, errno };
    let found = [open(360), Ok(answered(Reason::RstAck, 360)), Err(error.into())].map(of).to_vec();
    let singles = found.iter().map(|found| pool(vec![found.clone()]));
    singles.chain([pool(found.clone())]).collect()
}

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

/// What each of so many targets that are not open would say by itself is too much for a monitor.
#[test]
fn what_a_monitor_does_not_read_is_left_out_in_whole_lines_and_said_so() {
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
fn with_details_too_what_is_not_ok_is_named() {
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

/// Targets wanted open, open ones, ones known not to be, and ones of which nothing is known.
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

    /// Whatever is found, of however many.
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

/// The pool of the contract: the third target is silent.
fn example() -> Report {
    let second = ("192.0.2.8:25".to_owned(), address(8), open(410));
    after_seven_seconds(pool(vec![open_at(7), second, silent_at(9)]))
}

fn slow() -> Report {
    let mut report = pool(vec![slow_at(7), slow_at(8), open_at(9)]);
    report.settings.policy.warning = Some("0.1".parse().unwrap());
    judged(report, OPEN)
}

/// A target of each kind.
fn mixed() -> Report {
    after_seven_seconds(pool((0..7).map(mixed_found).collect()))
}

fn mixed_found(kind: usize) -> Found {
    match kind {
        0 => open_at(7),
        1 => closed_at(8),
        2 => silent_at(9),
        3 => {
            let reason = Reason::NameNotResolved(LookupFailure::NotFound);
            ("mail.example.com:25".to_owned(), None, Ok(Verdict::without_probe(reason)))
        }
        4 => ("192.0.2.10:25".to_owned(), address(10), Ok(answered(Reason::BareAck, 500))),
        5 => ("[2001:db8::7]:443".to_owned(), "2001:db8::7".parse().ok(), open(360)),
        _ => unknown_at(11),
    }
}

/// A pool of whose targets so many more were not probed.
fn unfinished(unprobed: u128, report: Report) -> Report {
    Report { total: report.total + unprobed, ..report }
}

fn without_engine() -> Report {
    let error = Some(LocalError::RawSocket(nix::errno::Errno::ENFILE));
    Report { error, engine: None, ..unfinished(3, pool(vec![])) }
}

/// A pool of two, with what crossed.
fn watched() -> Report {
    let mut report = pool(vec![open_at(7), closed_at(8)]);
    let local: SocketAddr = ([198, 51, 100, 4], 40_000).into();
    let syn = |last| Segment {
        source: local,
        destination: ([192, 0, 2, last], 25).into(),
        sequence: SequenceNumber(1000),
        acknowledgement: SequenceNumber(0),
        flags: Flags::SYN,
        window: 64_240,
        options: Options::default(),
    };
    let sent = |at, last| (Duration::from_micros(at), PacketEvent::Sent(syn(last)));
    report.packets = vec![sent(310, 7), sent(410, 8), sent(1_000_410, 8)];
    report
}

fn after_seven_seconds(report: Report) -> Report {
    Report { elapsed: Duration::from_secs(7), ..report }
}

fn open_at(last: u8) -> Found {
    (format!("192.0.2.{last}:25"), address(last), open(360))
}

fn slow_at(last: u8) -> Found {
    (format!("192.0.2.{last}:25"), address(last), open(212_000))
}

fn closed_at(last: u8) -> Found {
    (format!("192.0.2.{last}:25"), address(last), closed())
}

fn silent_at(last: u8) -> Found {
    (format!("192.0.2.{last}:25"), address(last), silence())
}

fn unknown_at(last: u8) -> Found {
    let to = ([192, 0, 2, last], 25).into();
    (format!("192.0.2.{last}:25"), address(last), Err(LocalError::Firewall(to).into()))
}

/// One of thousands, each of another address, and closed.
fn numbered(number: u16) -> Found {
    let [high, low] = number.to_be_bytes();
    (format!("198.18.{high}.{low}:25"), Some([198, 18, high, low].into()), closed())
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of an outcome")]
fn open(microseconds: u64) -> Outcome {
    Ok(answered(Reason::SynAck, microseconds))
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of an outcome")]
fn closed() -> Outcome {
    Ok(answered(Reason::RstAck, 310))
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of an outcome")]
fn silence() -> Outcome {
    let reason = Reason::NoAnswer { syns: 3, waited: Duration::from_secs(7) };
    Ok(Verdict { attempts: 3, ..Verdict::without_probe(reason) })
}

#[expect(clippy::unnecessary_wraps, reason = "a target may have none")]
fn address(last: u8) -> Option<IpAddr> {
    Some([192, 0, 2, last].into())
}

/// Whole lines, of which a monitor reads every byte.
fn assert_fits(out: &str) {
    assert!(out.len() < KEPT, "{} bytes", out.len());
    assert!(out.ends_with('\n'));
    let first = out.lines().next().unwrap();
    assert!(first.len() < FIRST, "{} bytes in the first line", first.len());
    assert_eq!(out.matches('|').count(), 1, "{out}");
}

/// The first lines of a text and the last two.
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
