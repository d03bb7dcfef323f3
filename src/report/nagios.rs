//! The status line, performance data, and more lines for pools and details (Monitoring Plugins
//! guidelines, "Plugin Output for Nagios").

use std::fmt::Display;
use std::io::{self, Write};

use super::plain::{self, plain};
use super::{Finding, MEASURED, Report, details, milliseconds, syns};
use crate::status::{Expected, Range, Remark, Status};
use crate::verdict::PortState;

/// The first words of every line that a monitor reads.
pub const SERVICE: &str = "TCP HALF-OPEN";

/// How many bytes Nagios reads from a plugin (`MAX_PLUGIN_OUTPUT_LENGTH`).
const LONGEST: usize = 8192;

/// The most bytes of the first line.
const LONGEST_LINE: usize = 4096;

/// How many targets that are not OK the first line names.
const NAMED: usize = 3;

/// Writes the status line, and the lines that a pool and the verbosity add.
///
/// # Errors
///
/// Returns the error of writing to `out`.
pub fn render(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let mut text = Vec::new();
    match (&report.error, report.findings.as_slice()) {
        (None, [finding]) if !report.is_pool() => render_single(report, finding, &mut text)?,
        (None, findings) => render_pool(report, findings, &mut text)?,
        (Some(error), _) => line(Status::Unknown, error, &mut text)?,
    }
    details::render(report, &mut text)?;
    if report.is_pool() {
        shorten(&mut text);
    }
    out.write_all(&text)
}

/// Writes a line with a status and a message.
///
/// # Errors
///
/// Returns the error of writing to `out`.
pub fn line(status: Status, message: impl Display, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{SERVICE} {status} - {}", plain(message))
}

fn render_single(report: &Report, finding: &Finding, out: &mut impl Write) -> io::Result<()> {
    let data = time(report, finding).map(|data| format!("|time={data}")).unwrap_or_default();
    let cause = cause(finding);
    match &finding.outcome {
        Ok(_) => {
            let said = plain(said(finding) + &cause);
            writeln!(out, "{SERVICE} {} - {said}{data}", report.status())?;
        }
        Err(error) => line(report.status(), format_args!("{error}{cause}"), out)?,
    }
    render_evidence(finding, out)
}

/// Writes the evidence behind the cause, if there is any.
fn render_evidence(finding: &Finding, out: &mut impl Write) -> io::Result<()> {
    match &finding.explanation {
        Some(explanation) if !explanation.evidence.is_empty() => {
            writeln!(out, "(evidence: {})", plain(explanation.evidence.join("; ")))
        }
        _ => Ok(()),
    }
}

/// Returns the cause, after a colon, if it was asked for and found.
fn cause(finding: &Finding) -> String {
    let explanation = finding.explanation.as_ref();
    explanation.map(|explanation| format!(": {}", explanation.cause)).unwrap_or_default()
}

fn render_pool(report: &Report, findings: &[Finding], out: &mut impl Write) -> io::Result<()> {
    let (open, total) = (report.tally.open, report.total);
    let bad = findings.iter().filter(|finding| finding.judgement.status != Status::Ok);
    let named: Vec<_> = bad.take(NAMED).map(brief_and_why).collect();
    let named = match report.tally.targets() - report.tally.ok - named.len() as u128 {
        _ if named.is_empty() => String::new(),
        0 => format!(": {}", named.join(", ")),
        more => format!(": {} and {more} more", named.join(", ")),
    };
    let wanted = report.wanted_open().map(|wanted| format!("{wanted}:")).unwrap_or_default();
    let mut first = format!(
        "{SERVICE} {} - {}{}|open={open};;{wanted};0;{total}",
        report.status(),
        summary(report),
        plain(named)
    );
    for finding in findings.iter().filter(|_| total <= MEASURED) {
        let Some(time) = time(report, finding) else { continue };
        // The label stays the same, whichever address answers.
        let label =
            if report.settings.every_address { finding.name() } else { finding.target.clone() };
        let datum = format!(" {}={time}", plain::label(&label));
        if first.len() + datum.len() < LONGEST_LINE {
            first.push_str(&datum);
        }
    }
    writeln!(out, "{first}")?;
    // With details, each target has a line of its own below.
    let is_told = |finding: &&Finding| {
        let has_line = report.settings.verbosity > 0 || finding.judgement.status == Status::Ok;
        finding.explanation.is_some() || !has_line
    };
    for finding in findings.iter().filter(is_told) {
        writeln!(out, "{}", plain(said(finding) + &cause(finding)))?;
        render_evidence(finding, out)?;
    }
    Ok(())
}

/// Returns how many targets are in the wanted state, and what qualifies this count.
pub(super) fn summary(report: &Report) -> String {
    let (tally, total) = (&report.tally, report.total);
    let (count, state) = match report.settings.policy.expected {
        Expected::State(PortState::Closed) => (tally.closed, PortState::Closed),
        Expected::State(PortState::Filtered) => (tally.filtered, PortState::Filtered),
        Expected::State(_) | Expected::Open { .. } => (tally.open, PortState::Open),
    };
    let wanted = report.wanted_open().map(|wanted| format!(" ({wanted} wanted)"));
    let rest = Some(report.not_probed()).filter(|count| *count > 0);
    let rest = rest.map(|count| format!(", {count} not probed"));
    let interrupted = if report.was_cut_short() { ", interrupted" } else { "" };
    format!(
        "{count} of {total} {state}{}{}{interrupted}",
        wanted.unwrap_or_default(),
        rest.unwrap_or_default()
    )
}

/// Returns a target and its state.
fn brief(finding: &Finding) -> String {
    match &finding.outcome {
        Ok(verdict) => format!("{} {}", finding.name(), verdict.state()),
        Err(_) => format!("{} unknown", finding.name()),
    }
}

/// Returns the same, and why an open port is not OK.
fn brief_and_why(finding: &Finding) -> String {
    match &finding.judgement.remark {
        Some(slow @ Remark::Threshold(_)) => format!("{} ({slow})", brief(finding)),
        _ => brief(finding),
    }
}

/// Returns a target, its state, and the evidence.
fn said(finding: &Finding) -> String {
    let brief = brief(finding);
    let verdict = match &finding.outcome {
        Ok(verdict) => verdict,
        Err(error) => return format!("{brief} ({error})"),
    };
    let time = verdict.response_time.map(|time| format!(" in {}", milliseconds(time)));
    let time = time.unwrap_or_default();
    let remark = finding.judgement.remark.as_ref().map(ToString::to_string);
    let more: Vec<_> = syns(verdict).into_iter().chain(remark).collect();
    match (verdict.state(), more.join("; ")) {
        (PortState::Open, more) if more.is_empty() => format!("{brief}{time}"),
        (PortState::Open, more) => format!("{brief}{time} ({more})"),
        (_, more) if more.is_empty() => format!("{brief} ({}{time})", verdict.reason),
        (_, more) => format!("{brief} ({}{time}; {more})", verdict.reason),
    }
}

/// Returns the response time as performance data; `None` if the port is not open.
fn time(report: &Report, finding: &Finding) -> Option<String> {
    let verdict = finding.outcome.as_ref().ok()?;
    let open = verdict.state() == PortState::Open;
    let seconds = verdict.response_time.filter(|_| open)?.as_secs_f64();
    let bound = |range: &Option<Range>| range.as_ref().map(Range::to_string).unwrap_or_default();
    let (warning, critical) =
        (bound(&report.settings.policy.warning), bound(&report.settings.policy.critical));
    let longest = report.settings.timeout.as_secs_f64();
    Some(format!("{seconds:.6}s;{warning};{critical};0;{longest}"))
}

/// Cuts `text` at a line break to what a monitor reads, and says so.
fn shorten(text: &mut Vec<u8>) {
    const NOTE: &[u8] = b"(more lines than a monitor reads are left out)\n";
    if text.len() >= LONGEST {
        text.truncate(LONGEST - 1 - NOTE.len());
        let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        text.truncate(end);
        text.extend_from_slice(NOTE);
    }
}
