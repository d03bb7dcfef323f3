//! One line and performance data (Monitoring Plugins guidelines, "Plugin Output for Nagios").

use std::fmt::Display;
use std::io::{self, Write};

use super::{Report, milliseconds};
use crate::status::Status;
use crate::verdict::PortState;

/// The first words of every line that a monitor reads.
pub const SERVICE: &str = "TCP HALF-OPEN";

/// Writes the status line.
pub fn render(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let finding = &report.finding;
    let status = report.status();
    let verdict = match &finding.probed.outcome {
        Ok(verdict) => verdict,
        Err(fault) => return line(Status::Unknown, fault, out),
    };
    let remark = finding.judgement.remark.as_ref().map(ToString::to_string);
    let time = verdict.round_trip.map(milliseconds);
    write!(out, "{SERVICE} {status} - {} {}", finding.target, verdict.state())?;
    if verdict.state() == PortState::Open {
        write!(out, " in {}", time.unwrap_or_default())?;
        if let Some(remark) = remark {
            write!(out, " ({remark})")?;
        }
        let seconds = verdict.round_trip.unwrap_or_default().as_secs_f64();
        let bound = |range: &Option<_>| range.as_ref().map(ToString::to_string).unwrap_or_default();
        let (warning, critical) = (bound(&report.warning), bound(&report.critical));
        let longest = report.timeout.as_secs_f64();
        writeln!(out, "|time={seconds:.6}s;{warning};{critical};0;{longest}")
    } else {
        write!(out, " ({}", verdict.reason)?;
        if let Some(time) = time {
            write!(out, " in {time}")?;
        }
        if let Some(remark) = remark {
            write!(out, "; {remark}")?;
        }
        writeln!(out, ")")
    }
}

/// Writes a line that is a status and what is to say of it.
pub fn line(status: Status, message: impl Display, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{SERVICE} {status} - {message}")
}
