//! For people.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::{Report, milliseconds};
use crate::status::Status;

/// Writes a line of aligned columns, target, state, time and reason, and a summary.
pub fn render(report: &Report, colour: bool, out: &mut impl Write) -> io::Result<()> {
    let finding = &report.finding;
    let status = report.status();
    let style = if colour { style(status) } else { Style::new() };
    let width = finding.target.len().max("TARGET".len());
    let (state, time, reason) = match &finding.probed.outcome {
        Ok(verdict) => (
            verdict.state().to_string(),
            verdict.round_trip.map(milliseconds),
            verdict.reason.to_string(),
        ),
        Err(fault) => ("-".to_owned(), None, fault.to_string()),
    };
    let time = time.as_deref().unwrap_or("-");
    let target = &finding.target;
    writeln!(out, "{:width$}  {:11}  {:>10}  REASON", "TARGET", "STATE", "TIME")?;
    writeln!(out, "{target:width$}  {style}{state:11}{style:#}  {time:>10}  {reason}")?;
    write!(out, "{style}{status}{style:#}")?;
    if let Some(remark) = &finding.judgement.remark {
        write!(out, ": {remark}")?;
    }
    writeln!(out)
}

fn style(status: Status) -> Style {
    let colour = match status {
        Status::Ok => AnsiColor::Green,
        Status::Warning => AnsiColor::Yellow,
        Status::Critical => AnsiColor::Red,
        Status::Unknown => AnsiColor::Magenta,
    };
    colour.on_default()
}
