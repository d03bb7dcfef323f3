//! Reports to render: one of an open port, and what makes others of it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use halfopen::check::Probed;
use halfopen::fault::Fault;
use halfopen::report::{Finding, Format, Report};
use halfopen::schedule::Schedule;
use halfopen::status::{Expected, Judgement, Policy, Status};
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
    let mut report = open();
    report.finding.probed.outcome = Ok(answered(Reason::SynAck, microseconds));
    report.warning =
        Some(warning).filter(|text| !text.is_empty()).map(|text| text.parse().unwrap());
    report.critical =
        Some(critical).filter(|text| !text.is_empty()).map(|text| text.parse().unwrap());
    judged(report, OPEN)
}

/// A target by address.
pub(crate) fn of_verdict(address: &str, port: u16, verdict: Verdict) -> Report {
    let endpoint = SocketAddr::new(address.parse().unwrap(), port);
    of_outcome(&endpoint.to_string(), vec![endpoint], port, Ok(verdict))
}

/// A target that no answer decided: silence, or what was learnt short of one.
pub(crate) fn of_reason(reason: Reason) -> Report {
    let tries = if let Reason::NoRoute(_) = reason { 0 } else { 3 };
    let address = match &reason {
        Reason::Icmp(error) | Reason::NoNeighbour(error) if error.offender.is_ipv6() => V6,
        _ => V4,
    };
    of_verdict(address, 25, Verdict { tries, ..Verdict::without_probe(reason) })
}

/// A target whose name does not resolve.
pub(crate) fn nameless(reason: Reason) -> Report {
    let mut report = of_outcome("mail:25", vec![], 25, Ok(Verdict::without_probe(reason)));
    report.finding.probed.means = None;
    report
}

/// A target of which nothing could be learnt.
pub(crate) fn of_fault(fault: Fault) -> Report {
    let mut report = of_outcome("192.0.2.7:25", vec![([192, 0, 2, 7], 25).into()], 25, Err(fault));
    report.finding.probed.means = None;
    report
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

pub(crate) fn of_outcome(
    target: &str,
    addresses: Vec<SocketAddr>,
    port: u16,
    outcome: Outcome,
) -> Report {
    let report = Report {
        finding: Finding {
            target: target.to_owned(),
            port,
            addresses,
            probed: Probed {
                outcome,
                means: Some(("raw", Schedule::fit(2, Duration::from_secs(10)))),
                ignored: BTreeMap::new(),
                crossings: Vec::new(),
            },
            judgement: Judgement { status: Status::Unknown, remark: None },
        },
        warning: None,
        critical: None,
        timeout: Duration::from_secs(10),
        verbosity: 0,
    };
    judged(report, OPEN)
}

/// A verdict on the first SYN, so many microseconds after it.
pub(crate) fn answered(reason: Reason, microseconds: u64) -> Verdict {
    Verdict {
        reason,
        round_trip: Some(Duration::from_micros(microseconds)),
        tries: 1,
        local: Some(([198, 51, 100, 4], 40_000).into()),
    }
}

pub(crate) const OPEN: Expected = Expected::Open { refused: Status::Critical };
pub(crate) const FILTERED: Expected = Expected::State(PortState::Filtered);
pub(crate) const CLOSED: Expected = Expected::State(PortState::Closed);

/// The report, judged by an operator who expects this.
pub(crate) fn judged(mut report: Report, expected: Expected) -> Report {
    let (warning, critical) = (report.warning.clone(), report.critical.clone());
    let policy = Policy { expected, warning, critical };
    report.finding.judgement = policy.judge(&report.finding.probed.outcome);
    report
}

/// What a format makes of a report: the result, and what goes aside.
pub(crate) fn render(report: &Report, format: Format, colour: bool) -> (String, String) {
    let (mut out, mut aside) = (Vec::new(), Vec::new());
    report.render(format, colour, &mut out, &mut aside).expect("memory takes it all");
    (String::from_utf8(out).unwrap(), String::from_utf8(aside).unwrap())
}
