//! Why a port is not open, in each format.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Duration;

use halfopen::explain::{Cause, Refuser};
use halfopen::local_error::LocalError;
use halfopen::plan::Format;
use halfopen::report::Report;
use halfopen::verdict::Reason;
use serde_json::{Value, json};

use crate::pool_reports::{example, numbered};
use crate::reports::{
    answered, at_verbosity, explained, of_fault, of_reason, of_verdict, pool, render,
};

const EVIDENCE: [&str; 2] =
    ["port 25 answers an ACK with RST in 0.30 ms", "192.0.2.9 answers ping in 0.30 ms"];

const FORMATS: [Format; 3] = [Format::Nagios, Format::Json, Format::Text];

fn silent() -> Report {
    let waited = Duration::from_secs(2);
    of_reason(Reason::NoAnswer { syns: 3, waited })
}

fn closed() -> Report {
    of_verdict("192.0.2.7", 25, answered(Reason::RstAck, 310))
}

/// Every cause, and every kind of refusal.
fn causes() -> Vec<Cause> {
    let device = [192, 0, 2, 1].into();
    let refusers =
        [Refuser::Host, Refuser::Device(device), Refuser::NoWay(device), Refuser::Nearer];
    let named = [
        Cause::AcceptQueueFull,
        Cause::FirewallDrop,
        Cause::FilterOrQueue,
        Cause::HostSilent,
        Cause::NeighbourSilent,
        Cause::NobodyListens,
        Cause::AnsweredInFront,
        Cause::ThisMachine(None),
        Cause::ThisMachine(Some(
            "only packets with firewall mark 7 have a route (--mark)".to_owned(),
        )),
        Cause::BrokenNat(([192, 0, 2, 9], 80).into()),
        Cause::CorruptAnswers,
        Cause::Unknown,
    ];
    named.into_iter().chain(refusers.map(Cause::RefusedOnTheWay)).collect()
}

#[test]
fn the_first_line_has_the_cause_and_the_next_one_the_evidence() {
    let report = explained(Cause::FilterOrQueue, &EVIDENCE, silent());
    let (out, _) = render(&report, Format::Nagios, false);
    let lines: Vec<_> = out.lines().collect();
    let [first, second] = lines[..] else { panic!("{out}") };
    let verdict = "TCP HALF-OPEN CRITICAL - 192.0.2.7:25 filtered (no answer to 3 SYNs in 2.0 s): ";
    assert_eq!(first, format!("{verdict}{}", Cause::FilterOrQueue));
    assert_eq!(second, format!("(evidence: {})", EVIDENCE.join("; ")));
}

#[test]
fn json_has_the_name_of_the_cause_and_the_evidence() {
    let object = |report: &Report| -> Value {
        let (out, _) = render(report, Format::Json, false);
        serde_json::from_str(&out).unwrap()
    };
    for cause in causes() {
        let name = cause.name();
        let mut explained = object(&explained(cause, &EVIDENCE, silent()));
        let fields = explained.as_object_mut().unwrap();
        assert_eq!(fields.remove("cause"), Some(json!(name)));
        assert_eq!(fields.remove("evidence"), Some(json!(EVIDENCE)));
        // Nothing else changes.
        assert_eq!(explained, object(&silent()));
    }
}

/// The list is closed: a program may rely on it.
#[test]
fn the_documents_have_every_name_and_no_other() {
    let read = |path: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        fs::read_to_string(path).unwrap()
    };
    let names: BTreeSet<_> = causes().iter().map(Cause::name).collect();
    let page = read("docs/why-is-it-down.md");
    let (_, table) = page.split_once("| `cause` |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let rows: Vec<_> = rows.map(|row| row.split('`').nth(1).unwrap()).collect();
    assert_eq!(rows.len(), names.len());
    assert_eq!(rows.into_iter().collect::<BTreeSet<_>>(), names);

    let manual = read("packaging/documents/halfopen.1").replace('\\', "");
    let (_, causes) = manual.split_once(".SH CAUSES").unwrap();
    let (_, list) = causes.split_once("JSON has the name of the cause:").unwrap();
    let words = list.lines().take_while(|line| !line.starts_with("The state"));
    let words = words.filter_map(|line| line.split(' ').nth(1)).collect::<BTreeSet<_>>();
    assert_eq!(words, names);
}

#[test]
fn a_cause_is_short_and_says_as_much_as_its_name() {
    for cause in causes() {
        let words = cause.to_string();
        assert!((20..=90).contains(&words.len()), "{} bytes: {words}", words.len());
        assert!(!words.contains(['|', '\n']) && !words.ends_with('.'), "{words}");
    }
    let both = Cause::FilterOrQueue.to_string();
    assert!(both.contains("queue") && both.contains("filter"), "{both}");
}

/// With `-v` a target's own line is among the details, without the cause.
#[test]
fn a_pool_says_why_at_every_verbosity() {
    for verbosity in 0..=3 {
        let report = explained(Cause::FilterOrQueue, &EVIDENCE, example());
        let (out, _) = render(&at_verbosity(verbosity, report), Format::Nagios, false);
        let explained: Vec<_> = out.lines().skip(1).take(2).collect();
        let cause = format!(
            "192.0.2.9:25 filtered (no answer to 3 SYNs in 7.0 s): {}",
            Cause::FilterOrQueue
        );
        assert_eq!(explained, [cause, format!("(evidence: {})", EVIDENCE.join("; "))], "{out}");
        assert_eq!(out.matches(&Cause::FilterOrQueue.to_string()).count(), 1, "{out}");
    }
}

#[test]
fn explanations_do_not_make_a_pool_longer_than_a_monitor_reads() {
    let mut report = pool((0..200).map(numbered).collect());
    let explanation = explained(Cause::FilterOrQueue, &EVIDENCE, silent());
    for finding in &mut report.findings {
        finding.explanation.clone_from(&explanation.findings[0].explanation);
    }
    let (out, _) = render(&report, Format::Nagios, false);
    assert!(out.len() <= 8192 && out.lines().next().unwrap().len() <= 4096, "{out}");
}

/// Evidence has names of interfaces in it.
#[test]
fn foreign_text_in_an_explanation_breaks_no_line() {
    let hostile = "e|0\n\r\u{1b}[31m\u{2028}";
    let cause = Cause::ThisMachine(Some(format!("{hostile} drops answers")));
    let report = explained(cause, &[hostile], silent());
    for format in [Format::Nagios, Format::Text] {
        let (out, _) = render(&report, format, false);
        assert!(!out.contains(['|', '\r', '\u{1b}', '\u{2028}']), "{out:?}");
        assert_eq!(out.lines().count(), if format == Format::Nagios { 2 } else { 5 }, "{out:?}");
    }
}

#[test]
fn explanations_read_well() {
    let mut page = String::new();
    let device = Refuser::Device([192, 0, 2, 1].into());
    let local = LocalError::Firewall(([192, 0, 2, 7], 25).into());
    let how = Cause::ThisMachine(Some("its connection-tracking table is full (9 of 9)".to_owned()));
    for (title, report) in [
        ("a silent port", explained(Cause::FilterOrQueue, &EVIDENCE, silent())),
        ("a closed one", explained(Cause::RefusedOnTheWay(device), &EVIDENCE, closed())),
        ("no evidence", explained(Cause::NobodyListens, &[], closed())),
        ("no cause", explained(Cause::Unknown, &EVIDENCE, silent())),
        ("this machine", explained(how, &[], of_fault(local))),
        ("a pool", explained(Cause::HostSilent, &EVIDENCE, example())),
        (
            "a pool with details",
            at_verbosity(1, explained(Cause::HostSilent, &EVIDENCE, example())),
        ),
    ] {
        writeln!(page, "# {title}").unwrap();
        for format in FORMATS {
            let (out, aside) = render(&report, format, false);
            writeln!(page, "{out}{aside}").unwrap();
        }
    }
    for cause in causes() {
        writeln!(page, "{}: {cause}", cause.name()).unwrap();
    }
    insta::assert_snapshot!("explanations", page);
}
