//! What `-v`, `-vv` and `-vvv` add: the details of the target, the plan, every packet.

use std::io::{self, Write};
use std::time::Duration;

use super::{Finding, Report};
use crate::checker::Arrival;
use crate::run::Crossing;

/// Writes as much as the report's verbosity asks for.
pub(super) fn render(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let finding = &report.finding;
    if report.verbosity >= 1 {
        render_target(finding, out)?;
    }
    if report.verbosity >= 2 {
        render_plan(finding, out)?;
    }
    if report.verbosity >= 3 {
        for (at, crossing) in &finding.probed.crossings {
            render_crossing(*at, crossing, out)?;
        }
    }
    Ok(())
}

fn render_target(finding: &Finding, out: &mut impl Write) -> io::Result<()> {
    write!(out, "{}", finding.target)?;
    if let Some(endpoint) = finding.addresses.first() {
        write!(out, " at {}", endpoint.ip())?;
    }
    match &finding.probed.outcome {
        Ok(verdict) => {
            write!(out, ": {}, {}, SYNs sent: {}", verdict.state(), verdict.reason, verdict.tries)?;
            if let Some(local) = verdict.local {
                write!(out, ", from {local}")?;
            }
        }
        Err(fault) => write!(out, ": {fault}")?,
    }
    for (why, count) in &finding.probed.ignored {
        write!(out, ", ignored: {count} ({why})")?;
    }
    writeln!(out)
}

fn render_plan(finding: &Finding, out: &mut impl Write) -> io::Result<()> {
    let addresses: Vec<_> = finding.addresses.iter().map(|found| found.ip().to_string()).collect();
    writeln!(out, "addresses: {}", addresses.join(" "))?;
    let mut sources: Vec<String> = Vec::new();
    for (_, crossing) in &finding.probed.crossings {
        if let Crossing::Sent(segment) = crossing {
            let source = segment.source.to_string();
            if !sources.contains(&source) {
                sources.push(source);
            }
        }
    }
    writeln!(out, "sources: {}", sources.join(" "))?;
    if let Some((engine, schedule)) = finding.probed.means {
        let waits = (0..schedule.tries()).map(|number| format!("{:?}", schedule.wait(number)));
        writeln!(out, "engine: {engine}; waits: {}", waits.collect::<Vec<_>>().join(" "))?;
    }
    Ok(())
}

/// Writes a line for a packet: when, which way, what, and why it proves nothing where it does not.
pub fn render_crossing(at: Duration, crossing: &Crossing, out: &mut impl Write) -> io::Result<()> {
    let seconds = at.as_secs_f64();
    match crossing {
        Crossing::Sent(segment) => writeln!(out, "{seconds:.6} sent {segment}"),
        Crossing::Received(arrival, handled) => {
            match arrival {
                Arrival::Segment { segment, hop_limit, reset_by_kernel } => {
                    write!(out, "{seconds:.6} received {segment} ttl {hop_limit}")?;
                    let note = if *reset_by_kernel { " (the kernel sends the RST)" } else { "" };
                    write!(out, "{note}")?;
                }
                Arrival::Icmp(error, quote) => write!(
                    out,
                    "{seconds:.6} received {error}, quoting port {} > {} seq {}",
                    quote.local_port, quote.remote, quote.sequence
                )?,
            }
            match handled {
                Ok(()) => writeln!(out),
                Err(ignored) => writeln!(out, " (ignored: {ignored})"),
            }
        }
    }
}
