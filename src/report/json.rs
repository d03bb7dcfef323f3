//! JSON Lines: an object per target as soon as it has ended, and a summary of a pool.

use std::io::{self, Write};
use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use super::{Finding, Report};
use crate::verdict::{NoVerdict, Verdict};

/// Writes a target's object on a line of its own, and flushes `out`.
///
/// # Errors
///
/// Returns the error of writing to `out`.
pub fn render_finding(
    finding: &Finding,
    engine: Option<&'static str>,
    out: &mut (impl Write + ?Sized),
) -> io::Result<()> {
    let verdict = finding.outcome.as_ref();
    let engine = engine.filter(|_| finding.address.is_some());
    let object = Object {
        target: &finding.target,
        address: finding.address,
        port: finding.port,
        state: verdict.ok().map(|verdict| verdict.state().to_string()),
        reason: verdict.map_or_else(ToString::to_string, |verdict| verdict.reason.to_string()),
        status: finding.judgement.status.to_string(),
        rtt: verdict.ok().and_then(Verdict::round_trip).map(microseconds),
        tries: match (verdict, engine) {
            (Ok(verdict), _) => Some(verdict.attempts),
            (Err(NoVerdict::NotProbed(_)), _) | (Err(_), None) => Some(0),
            (Err(_), Some(_)) => None,
        },
        engine,
        explanation: finding.explanation.as_ref().map(|explanation| Explained {
            cause: explanation.cause.name(),
            evidence: &explanation.evidence,
        }),
    };
    write_line(&object, out)
}

/// Writes the summary of a pool; nothing for a single target.
///
/// # Errors
///
/// Returns the error of writing to `out`.
pub fn render_summary(report: &Report, out: &mut impl Write) -> io::Result<()> {
    if !report.is_pool() {
        return Ok(());
    }
    let tally = &report.tally;
    let summary = Summary {
        targets: report.total,
        open: tally.open,
        closed: tally.closed,
        filtered: tally.filtered,
        unreachable: tally.unreachable,
        stale: tally.stale,
        unknown: tally.unknown,
        not_probed: report.not_probed(),
        status: report.status().to_string(),
        fault: report.error.as_ref().map(ToString::to_string),
        elapsed: microseconds(report.elapsed),
    };
    write_line(&Closing { summary }, out)
}

/// The names and meanings of the fields never change. A field without a value is `null`.
#[derive(Serialize)]
struct Object<'a> {
    target: &'a str,
    address: Option<IpAddr>,
    port: u16,
    state: Option<String>,
    reason: String,
    status: String,
    /// In seconds.
    rtt: Option<f64>,
    /// How many SYNs were sent, if that is known.
    tries: Option<usize>,
    engine: Option<&'static str>,
    /// Left out unless it was asked for and found.
    #[serde(flatten)]
    explanation: Option<Explained<'a>>,
}

#[derive(Serialize)]
struct Explained<'a> {
    cause: &'static str,
    evidence: &'a [String],
}

#[derive(Serialize)]
struct Closing {
    summary: Summary,
}

#[derive(Serialize)]
struct Summary {
    targets: u128,
    open: u128,
    closed: u128,
    filtered: u128,
    unreachable: u128,
    stale: u128,
    unknown: u128,
    not_probed: u128,
    status: String,
    /// Why nothing could be probed; left out if there was no such error.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
    /// In seconds.
    elapsed: f64,
}

fn write_line(object: &impl Serialize, out: &mut (impl Write + ?Sized)) -> io::Result<()> {
    serde_json::to_writer(&mut *out, object)?;
    writeln!(out)?;
    out.flush()
}

/// Returns `time` in seconds, rounded to the microsecond.
fn microseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e6
}
