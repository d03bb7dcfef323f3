//! JSON Lines: an object for each target as soon as it has ended, and one that sums a pool up.

use std::io::{self, Write};
use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use super::{Finding, Report};
use crate::verdict::Verdict;

/// Writes a target's object on a line of its own, and makes sure that a reader has it.
pub fn render_finding(
    finding: &Finding,
    engine: Option<&'static str>,
    out: &mut (impl Write + ?Sized),
) -> io::Result<()> {
    let verdict = finding.outcome.as_ref();
    let object = Object {
        target: &finding.target,
        address: finding.address,
        port: finding.port,
        state: verdict.ok().map(|verdict| verdict.state().to_string()),
        reason: verdict.map_or_else(ToString::to_string, |verdict| verdict.reason.to_string()),
        status: finding.judgement.status.to_string(),
        rtt: verdict.ok().and_then(Verdict::round_trip).map(microseconds),
        tries: verdict.map_or(0, |verdict| verdict.attempts),
        engine: engine.filter(|_| finding.address.is_some()),
    };
    write_line(&object, out)
}

/// Writes what the targets of a pool come to; nothing for a single one.
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

/// The fields keep their names and meanings for good; `null` where there is nothing to say.
#[derive(Serialize)]
struct Object<'a> {
    target: &'a str,
    address: Option<IpAddr>,
    port: u16,
    state: Option<String>,
    reason: String,
    status: String,
    /// Seconds.
    rtt: Option<f64>,
    tries: usize,
    engine: Option<&'static str>,
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
    /// What kept the whole program from learning anything; left out where nothing did.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
    /// Seconds.
    elapsed: f64,
}

fn write_line(object: &impl Serialize, out: &mut (impl Write + ?Sized)) -> io::Result<()> {
    serde_json::to_writer(&mut *out, object)?;
    writeln!(out)?;
    out.flush()
}

/// Seconds to the microsecond.
fn microseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e6
}
