//! For people.

use std::io::{self, Write};

use super::{Report, milliseconds};

/// Writes the target, its state, and what told it.
pub fn render(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let finding = &report.finding;
    let status = report.status();
    let verdict = match &finding.probed.outcome {
        Ok(verdict) => verdict,
        Err(fault) => return writeln!(out, "{}  {status}  {fault}", finding.target),
    };
    write!(out, "{}  {}  ", finding.target, verdict.state())?;
    if let Some(time) = verdict.round_trip {
        write!(out, "{}  ", milliseconds(time))?;
    }
    write!(out, "{}", verdict.reason)?;
    if let Some(remark) = &finding.judgement.remark {
        write!(out, "  ({remark})")?;
    }
    writeln!(out, "  {status}")
}
