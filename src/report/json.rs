//! JSON Lines: one object a target.

use std::io::{self, Write};
use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use super::Report;

/// Writes one object on a line of its own.
pub fn render(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let finding = &report.finding;
    let verdict = finding.probed.outcome.as_ref();
    let object = Object {
        target: &finding.target,
        address: finding.addresses.first().map(std::net::SocketAddr::ip),
        port: finding.port,
        state: verdict.ok().map(|verdict| verdict.state().to_string()),
        reason: verdict.map_or_else(ToString::to_string, |verdict| verdict.reason.to_string()),
        status: report.status().to_string(),
        rtt: verdict.ok().and_then(|verdict| verdict.round_trip).map(microseconds),
        tries: verdict.map_or(0, |verdict| verdict.tries),
        engine: finding.probed.means.map(|(engine, _)| engine),
    };
    serde_json::to_writer(&mut *out, &object)?;
    writeln!(out)
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

/// Seconds to the microsecond.
fn microseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e6
}
