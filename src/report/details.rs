//! What `-v`, `-vv` and `-vvv` add: the details of the target, the plan, every packet.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use super::plain::plain;
use super::{Finding, Report, Waits};
use crate::event::{Event, HandshakeEnd};
use crate::event_loop::PacketEvent;
use crate::schedule::Schedule;
use crate::status::Status;
use crate::verdict::Outcome;

/// Writes the details for the report's verbosity.
pub(super) fn render(report: &Report, out: &mut impl Write) -> io::Result<()> {
    if report.settings.verbosity >= 1 {
        // What is not OK first: a monitor may cut the rest.
        let (bad, good): (Vec<_>, Vec<_>) =
            report.findings.iter().partition(|finding| finding.judgement.status != Status::Ok);
        for finding in bad.into_iter().chain(good) {
            render_finding(finding, report.engine, out)?;
        }
        let discarded = report.discarded.iter().map(|(why, count)| format!("{count} × {why}"));
        render_list("ignored", ", ", discarded, out)?;
        let short = [(report.lost, "answers lost"), (report.postponed, "SYNs postponed")];
        let short = short.into_iter().filter(|(count, _)| *count > 0);
        let short = short.map(|(count, what)| format!("{count} {what}"));
        render_list("short of buffers on this machine", ", ", short, out)?;
    }
    if report.settings.verbosity >= 2 {
        render_plan(report, out)?;
    }
    if report.settings.verbosity >= 3 {
        for (at, packet) in &report.packets {
            render_packet(*at, packet, out)?;
        }
        if report.more_packets > 0 {
            writeln!(out, "and {} packets more", report.more_packets)?;
        }
    }
    Ok(())
}

fn render_finding(finding: &Finding, engine: Option<&str>, out: &mut impl Write) -> io::Result<()> {
    write!(out, "{}: ", plain(finding.name()))?;
    render_outcome(&finding.outcome, engine, out)?;
    for (address, outcome) in &finding.others {
        write!(out, "{} at {address} too: ", plain(&finding.target))?;
        match outcome {
            Some(outcome) => render_outcome(outcome, engine, out)?,
            None => writeln!(out, "not waited for")?,
        }
    }
    Ok(())
}

fn render_outcome(outcome: &Outcome, engine: Option<&str>, out: &mut impl Write) -> io::Result<()> {
    match outcome {
        Ok(verdict) => {
            write!(
                out,
                "{}, {}, SYNs sent: {}",
                verdict.state(),
                verdict.reason,
                verdict.attempts
            )?;
            if let Some(local) = verdict.local {
                write!(out, ", from {local}")?;
                engine.map_or(Ok(()), |engine| write!(out, " ({engine})"))?;
            }
        }
        Err(error) => write!(out, "{}", plain(error))?,
    }
    writeln!(out)
}

fn render_plan(report: &Report, out: &mut impl Write) -> io::Result<()> {
    for (name, addresses) in &report.addresses {
        let addresses = addresses.iter().map(|found| found.ip().to_string());
        render_list(&format!("addresses of {}", plain(name)), " ", addresses, out)?;
    }
    let sources = report.packets.iter().filter_map(|(_, packet)| match packet {
        PacketEvent::Sent(segment) => Some(segment.source),
        PacketEvent::SentByKernel { local, .. } => Some(*local),
        PacketEvent::Received(..) => None,
    });
    let sources: BTreeSet<_> = sources.collect();
    render_list("sources", " ", sources.iter().map(SocketAddr::to_string), out)?;
    if let Some(engine) = report.engine {
        let waits = report.waits.map(render_waits).unwrap_or_default();
        writeln!(out, "engine: {engine}; rate: {}{waits}", report.settings.rate)?;
    }
    Ok(())
}

/// Returns the waits of the first target, and of the last if they were others.
fn render_waits(Waits { first, last }: Waits) -> String {
    let (first, last) = (list_waits(first), list_waits(last));
    let last = Some(last).filter(|last| *last != first);
    let last = last.map(|last| format!(", of the last target {last}")).unwrap_or_default();
    format!("; waits: {first}{last}")
}

/// Returns the waits of a schedule to the millisecond, or to the microsecond if they are short.
fn list_waits(schedule: Schedule) -> String {
    let unit = if schedule.first_wait() < 10_000_000 { 1000 } else { 1_000_000 };
    let rounded = |wait: Duration| {
        let nanos = wait.subsec_nanos() / unit * unit;
        Duration::new(wait.as_secs(), nanos)
    };
    let waits = schedule.waits().map(|wait| format!("{:?}", rounded(wait)));
    waits.collect::<Vec<_>>().join(" ")
}

/// Writes a line with all of `items`; nothing if there are none.
fn render_list(
    name: &str,
    separator: &str,
    items: impl Iterator<Item = String>,
    out: &mut impl Write,
) -> io::Result<()> {
    let items: Vec<_> = items.collect();
    if items.is_empty() {
        return Ok(());
    }
    writeln!(out, "{name}: {}", items.join(separator))
}

/// Writes a line for a packet: its time, direction and content, and why it was discarded, if it
/// was.
///
/// # Errors
///
/// Returns the error of writing to `out`.
pub fn render_packet(at: Duration, packet: &PacketEvent, out: &mut impl Write) -> io::Result<()> {
    let seconds = at.as_secs_f64();
    match packet {
        PacketEvent::Sent(segment) => writeln!(out, "{seconds:.6} sent {segment}"),
        PacketEvent::SentByKernel { local, remote } => {
            writeln!(out, "{seconds:.6} sent {local} > {remote} SYN (by the kernel)")
        }
        PacketEvent::Received(event, handled) => {
            match event {
                Event::Segment { segment, hop_limit, reset_by_kernel } => {
                    write!(out, "{seconds:.6} received {segment} ttl {hop_limit}")?;
                    let note = if *reset_by_kernel { " (the kernel sends the RST)" } else { "" };
                    write!(out, "{note}")?;
                }
                Event::WrongChecksum { source, destination } => {
                    write!(out, "{seconds:.6} received {source} > {destination}")?;
                }
                Event::EchoReply { remote, hop_limit, .. } => {
                    write!(out, "{seconds:.6} received {remote} echo reply ttl {hop_limit}")?;
                }
                Event::Handshake { local, remote, end, .. } => {
                    write!(out, "{seconds:.6} received {remote} > {local} {}", end_of(end))?;
                }
                Event::SegmentsLost(count) => {
                    write!(out, "{seconds:.6} lost {count} (receive queue full)")?;
                }
                Event::Icmp(error, quote) => write!(
                    out,
                    "{seconds:.6} received {error}, quoting port {} > {} seq {}",
                    quote.local_port, quote.remote, quote.sequence
                )?,
            }
            match handled {
                Ok(()) => writeln!(out),
                Err(discarded) => writeln!(out, " (ignored: {discarded})"),
            }
        }
    }
}

/// Returns what the kernel received, in words.
fn end_of(handshake: &HandshakeEnd) -> String {
    match handshake {
        HandshakeEnd::Completed => "SYN+ACK (the kernel sends the RST)".to_owned(),
        HandshakeEnd::Refused => "RST+ACK".to_owned(),
        HandshakeEnd::Failed(error) => error.to_string(),
        HandshakeEnd::Aborted => "something that the kernel does not report".to_owned(),
        HandshakeEnd::GivenUp => "nothing, and given up for another attempt".to_owned(),
    }
}
