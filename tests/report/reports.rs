//! Reports to render: one of an open port, and what makes others of it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use halfopen::local_error::LocalError;
use halfopen::plan::{Format, Plan};
use halfopen::report::{Finding, Report, Tally, json};
use halfopen::schedule::Schedule;
use halfopen::status::{Expected, Judgement, MinOpen, Policy, Status};
use halfopen::verdict::{Outcome, PortState, Reason, Verdict};
use halfopen::wire::IcmpError;

const V4: &str = "192.0.2.7";
const V6: &str = "2001:db8::7";

/// The contract's first example.
pub(crate) fn open() -> Report {
    of_verdict(V4, 25, answered(Reason::SynAck, 360))
}

/// The same, answered after so many microseconds and judged by these thresholds.
pub(crate) fn open_after(microseconds: u64, warning: &str, critical: &str) -> Report {
    let mut report = of_verdict(V4, 25, answered(Reason::SynAck, microseconds));
    let range =
        |text: &str| Some(text).filter(|text| !text.is_empty()).map(|text| text.parse().unwrap());
    report.plan.policy.warning = range(warning);
    report.plan.policy.critical = range(critical);
    judged(report, OPEN)
}

/// A target by address.
pub(crate) fn of_verdict(address: &str, port: u16, verdict: Verdict) -> Report {
    let endpoint = SocketAddr::new(address.parse().unwrap(), port);
    of_outcome(&endpoint.to_string(), Some(endpoint.ip()), Ok(verdict))
}

/// A target that no answer decided: silence, or what was learnt short of one.
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
    let mut report = Report::new(plan(), found.len() as u128);
    report.engine = Some("raw");
    report.schedule = Some(Schedule::fit(2, report.plan.timeout));
    for (id, (target, address, outcome)) in (0..).zip(found) {
        let port = target.rsplit(':').next().unwrap().parse().unwrap();
        let judgement = Judgement { status: Status::Unknown, remark: None };
        let others = Vec::new();
        report.findings.push(Finding { id, target, address, port, outcome, judgement, others });
    }
    judged(report, OPEN)
}

/// The report of an operator who is content with so many open targets.
pub(crate) fn wanting(min_open: MinOpen, mut report: Report) -> Report {
    report.plan.min_open = Some(min_open);
    report
}

/// What nobody has asked for anything else of.
fn plan() -> Plan {
    let endpoint = SocketAddr::new(V4.parse().unwrap(), 25);
    Plan { targets: Vec::new(), ..Plan::of(endpoint.into()) }
}

/// A verdict on the first SYN, so many microseconds after it.
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

/// The report, judged by an operator who expects this.
pub(crate) fn judged(mut report: Report, expected: Expected) -> Report {
    report.plan.policy = Policy { expected, ..report.plan.policy };
    report.tally = Tally::default();
    for finding in &mut report.findings {
        finding.judgement = report.plan.policy.judge(&finding.outcome);
    }
    for (outcome, status) in ends(&report) {
        report.count(&outcome, status);
    }
    report
}

fn ends(report: &Report) -> Vec<(Outcome, Status)> {
    let end = |finding: &Finding| (finding.outcome.clone(), finding.judgement.status);
    report.findings.iter().map(end).collect()
}

/// What a format makes of a report, target by target as they end: the result, and what goes aside.
pub(crate) fn render(report: &Report, format: Format, colour: bool) -> (String, String) {
    let (mut out, mut aside) = (Vec::new(), Vec::new());
    let plan = Plan { format, ..report.plan.clone() };
    let mut growing =
        Report { plan, tally: Tally::default(), findings: Vec::new(), ..report.clone() };
    for finding in &report.findings {
        let wanted = growing.count(&finding.outcome, finding.judgement.status);
        if format == Format::Json {
            json::render_finding(finding, report.engine, &mut out).expect("memory takes it all");
        }
        if wanted {
            growing.findings.push(finding.clone());
        }
    }
    growing.render(colour, &mut out, &mut aside).expect("memory takes it all");
    (String::from_utf8(out).unwrap(), String::from_utf8(aside).unwrap())
}

/// The same report for somebody who wants to know more, or less.
pub(crate) fn at_verbosity(verbosity: u8, mut report: Report) -> Report {
    report.plan.verbosity = verbosity;
    report
}

/// What arrived and proved nothing.
pub(crate) fn ignoring<const N: usize>(
    discarded: [(halfopen::probe::DiscardReason, usize); N],
    report: Report,
) -> Report {
    Report { discarded: BTreeMap::from(discarded), ..report }
}
