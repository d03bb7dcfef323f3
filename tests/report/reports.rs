//! Reports to render: one of an open port, and functions that change it.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::time::Duration;

use halfopen::attempt::Attempts;
use halfopen::explain::{Cause, Explanation};
use halfopen::local_error::LocalError;
use halfopen::non_blocking_writer::Output;
use halfopen::plan::{Format, Settings};
use halfopen::report::recorder::{Entry, Recorder};
use halfopen::report::{Finding, Report, Waits};
use halfopen::schedule::Schedule;
use halfopen::status::{Expected, Judgement, MinOpen, Policy, Status, Tally};
use halfopen::verdict::{Outcome, PortState, Reason, Verdict};
use halfopen::wire::IcmpError;

const V4: &str = "192.0.2.7";
const V6: &str = "2001:db8::7";

/// The contract's first example.
pub(crate) fn open() -> Report {
    of_verdict(V4, 25, answered(Reason::SynAck, 360))
}

/// The same, answered after this many microseconds and judged by these thresholds.
pub(crate) fn open_after(microseconds: u64, warning: &str, critical: &str) -> Report {
    let mut report = of_verdict(V4, 25, answered(Reason::SynAck, microseconds));
    let range =
        |text: &str| Some(text).filter(|text| !text.is_empty()).map(|text| text.parse().unwrap());
    report.settings.policy.warning = range(warning);
    report.settings.policy.critical = range(critical);
    judged(report, OPEN)
}

/// A target by address.
pub(crate) fn of_verdict(address: &str, port: u16, verdict: Verdict) -> Report {
    let endpoint = SocketAddr::new(address.parse().unwrap(), port);
    of_outcome(&endpoint.to_string(), Some(endpoint.ip()), Ok(verdict))
}

/// A target that no answer decided: silence, or evidence that is not final.
pub(crate) fn of_reason(reason: Reason) -> Report {
    let attempts = if let Reason::NoRoute(_) = reason { 0 } else { 3 };
    let address = match &reason {
        Reason::Icmp(error) | Reason::NoNeighbour(error) if error.offender.is_ipv6() => V6,
        _ => V4,
    };
    of_verdict(address, 25, Verdict { attempts, ..Verdict::without_probe(reason) })
}

/// A target whose name does not resolve.
pub(crate) fn nameless(reason: Reason) -> Report {
    of_outcome("mail:25", None, Ok(Verdict::without_probe(reason)))
}

/// A target that this machine could not send to, or not wait for.
pub(crate) fn of_fault(error: LocalError) -> Report {
    of_outcome("192.0.2.7:25", Some(V4.parse().unwrap()), Err(error.into()))
}

/// A machine that nothing at all could be sent from.
pub(crate) fn without_engine(error: LocalError) -> Report {
    Report { error: Some(error.clone()), engine: None, ..of_fault(error) }
}

/// An ICMP error answering the first SYN.
pub(crate) fn refused_by_icmp(offender: &str, kind: u8, code: u8) -> Report {
    let error = icmp(offender, kind, code);
    let address = if error.offender.is_ipv4() { V4 } else { V6 };
    of_verdict(address, 25, answered(Reason::Icmp(error), 1310))
}

pub(crate) fn icmp(offender: &str, kind: u8, code: u8) -> IcmpError {
    let offender: IpAddr = offender.parse().unwrap();
    IcmpError::new(kind, code, offender).unwrap()
}

pub(crate) fn of_outcome(target: &str, address: Option<IpAddr>, outcome: Outcome) -> Report {
    pool(vec![(target.to_owned(), address, outcome)])
}

/// A target as it was written, its address, and how it ended.
pub(crate) type Found = (String, Option<IpAddr>, Outcome);

/// Any number of targets.
pub(crate) fn pool(found: Vec<Found>) -> Report {
    let mut report = Report::new(Settings::default(), found.len() as u128);
    report.engine = Some("raw");
    let schedule = Schedule::fit(Attempts::with_retries(2).unwrap(), report.settings.timeout);
    report.waits = Some(Waits { first: schedule, last: schedule });
    for (id, (target, address, outcome)) in (0..).zip(found) {
        let port = target.rsplit(':').next().unwrap().parse().unwrap();
        let judgement = Judgement { status: Status::Unknown, remark: None };
        let others = Vec::new();
        let explanation = None;
        report.findings.push(Finding {
            id,
            target,
            address,
            port,
            outcome,
            explanation,
            judgement,
            others,
        });
    }
    judged(report, OPEN)
}

/// The report if this many targets must be open.
pub(crate) fn wanting(min_open: MinOpen, mut report: Report) -> Report {
    report.settings.min_open = Some(min_open);
    report
}

/// A verdict on the first SYN, this many microseconds after it.
pub(crate) fn answered(reason: Reason, microseconds: u64) -> Verdict {
    Verdict {
        reason,
        response_time: Some(Duration::from_micros(microseconds)),
        retransmissions: 0,
        attempts: 1,
        local: Some(([198, 51, 100, 4], 40_000).into()),
    }
}

pub(crate) const OPEN: Expected = Expected::Open { refused: Status::Critical };
pub(crate) const FILTERED: Expected = Expected::State(PortState::Filtered);
pub(crate) const CLOSED: Expected = Expected::State(PortState::Closed);

/// The report, if this is expected.
pub(crate) fn judged(mut report: Report, expected: Expected) -> Report {
    report.settings.policy = Policy { expected, ..report.settings.policy };
    report.tally = Tally::default();
    for finding in &mut report.findings {
        finding.judgement = report.settings.policy.judge(&finding.outcome);
        report.tally.count(&finding.outcome, finding.judgement.status);
    }
    report
}

/// The report, with this explanation of its first target that is not open.
pub(crate) fn explained(cause: Cause, evidence: &[&str], mut report: Report) -> Report {
    let evidence = evidence.iter().map(|&fact| fact.to_owned()).collect();
    let is_open = |finding: &&mut Finding| {
        finding.outcome.as_ref().is_ok_and(|verdict| verdict.state() == PortState::Open)
    };
    let mut findings = report.findings.iter_mut();
    let finding = findings.find(|finding| !is_open(finding)).expect("one is not open");
    finding.explanation = Some(Explanation { cause, evidence });
    report
}

/// Renders a report in a format while its targets end one by one. Returns the result, and the
/// details that have no place in the format.
pub(crate) fn render(report: &Report, format: Format, colour: bool) -> (String, String) {
    let (mut out, mut aside) = (Memory::default(), Vec::new());
    let settings = Settings { format, ..report.settings.clone() };
    let empty = Report { settings, tally: Tally::default(), findings: vec![], ..report.clone() };
    let mut recorder = Recorder::new(empty, &mut out, None);
    for finding in &report.findings {
        let Finding { id, target, address, port, outcome, explanation, others, .. } =
            finding.clone();
        recorder.record(Entry { id, address, port, outcome, explanation, others }, || target);
    }
    let full = recorder.finish(report.elapsed);
    full.render(colour, &mut out, &mut aside).expect("memory takes it all");
    (String::from_utf8(out.0).unwrap(), String::from_utf8(aside).unwrap())
}

/// Output that is kept in memory.
#[derive(Default)]
struct Memory(Vec<u8>);

impl io::Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output for Memory {
    fn backlog(&self) -> Option<(usize, BorrowedFd<'_>)> {
        None
    }
}

/// The same report at another verbosity.
pub(crate) fn at_verbosity(verbosity: u8, mut report: Report) -> Report {
    report.settings.verbosity = verbosity;
    report
}

/// What arrived and proved nothing.
pub(crate) fn ignoring<const N: usize>(
    discarded: [(halfopen::probe::DiscardReason, usize); N],
    report: Report,
) -> Report {
    Report { discarded: BTreeMap::from(discarded), ..report }
}
