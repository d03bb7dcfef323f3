//! The text format, for people.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::plain::plain;
use super::{Finding, Report, milliseconds, nagios, syns};
use crate::explain::Explanation;
use crate::status::Status;

/// Writes aligned columns, one line per target, and a summary.
///
/// # Errors
///
/// Returns the error of writing to `out`.
pub fn render(report: &Report, colour: bool, out: &mut impl Write) -> io::Result<()> {
    let style = |status| if colour { style(status) } else { Style::new() };
    let names: Vec<_> = report.findings.iter().map(|finding| plain(finding.name())).collect();
    let widths = names.iter().map(String::len);
    let width = widths.max().unwrap_or_default().max("TARGET".len());
    writeln!(out, "{:width$}  {:11}  {:>10}  REASON", "TARGET", "STATE", "TIME")?;
    for (name, finding) in names.iter().zip(&report.findings) {
        let judgement = &finding.judgement;
        let style = style(judgement.status);
        let (state, time, reason) = columns(finding);
        write!(out, "{name:width$}  {style}{state:11}{style:#}  {time:>10}  {reason}")?;
        if let Some(remark) = &judgement.remark {
            write!(out, " ({remark})")?;
        }
        writeln!(out)?;
        if let Some(Explanation { cause, evidence }) = &finding.explanation {
            let indent = width + 27;
            writeln!(out, "{:indent$}{}", "", plain(cause))?;
            for fact in evidence {
                writeln!(out, "{:indent$}- {}", "", plain(fact))?;
            }
        }
    }
    let status = report.status();
    let style = style(status);
    if let Some(error) = &report.error {
        return writeln!(out, "{style}{status}{style:#}: {}", plain(error));
    }
    let seconds = report.elapsed.as_secs_f64();
    writeln!(out, "{style}{status}{style:#}: {} in {seconds:.1} s", nagios::summary(report))
}

fn columns(finding: &Finding) -> (String, String, String) {
    match &finding.outcome {
        Ok(verdict) => (
            verdict.state().to_string(),
            verdict.response_time.map_or("-".to_owned(), milliseconds),
            match syns(verdict) {
                Some(syns) => format!("{} ({syns})", verdict.reason),
                None => verdict.reason.to_string(),
            },
        ),
        Err(error) => ("unknown".to_owned(), "-".to_owned(), plain(error)),
    }
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
