//! The record of a check while it goes on.

use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::progress::Progress;
use super::{Finding, KEPT, MEASURED, Report, json};
use crate::event_loop::PacketEvent;
use crate::explain::Explanation;
use crate::non_blocking_writer::Output;
use crate::plan::Format;
use crate::status::Status;
use crate::verdict::{NoVerdict, Outcome};

/// The most packets that are kept: more than anybody reads. A flood has millions.
const PACKETS: usize = 100_000;

/// Lines are written when they have this many bytes, or earlier.
const CHUNK: usize = 1 << 16;

/// Makes a [`Report`] of the targets that end, one by one. Decides which of them are counted, which
/// are kept to be reported at the end, and which have a line of JSON written at once.
pub struct Recorder<'a> {
    report: Report,
    /// Lines of JSON that are not yet written.
    lines: Vec<u8>,
    out: &'a mut dyn Output,
    progress: Option<Progress>,
}

/// A target that has ended, to be recorded.
pub struct Entry {
    /// The index of the target on the command line or in the file.
    pub id: u32,
    /// Its address, unless its name does not resolve.
    pub address: Option<IpAddr>,
    /// Its port.
    pub port: u16,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, if that was asked for.
    pub explanation: Option<Explanation>,
    /// The other addresses of its name, and what is known of them.
    pub others: Vec<(IpAddr, Option<Outcome>)>,
}

impl<'a> Recorder<'a> {
    /// Creates the recorder of a check that begins with `report`. Writes to `out` the lines that
    /// need not wait for the end, and shows the progress of a pool by `progress`.
    pub fn new(report: Report, out: &'a mut dyn Output, progress: Option<Progress>) -> Self {
        let progress = progress.filter(|_| report.is_pool());
        Self { report, lines: Vec::new(), out, progress }
    }

    /// Returns the report so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Returns the report so far, to add what does not concern a single target.
    pub fn report_mut(&mut self) -> &mut Report {
        &mut self.report
    }

    /// Records a target that has ended. Calls `label` for its name only if it is kept or written.
    pub fn record(&mut self, entry: Entry, label: impl FnOnce() -> String) {
        let Entry { id, address, port, outcome, explanation, others } = entry;
        let mut judgement = self.report.settings.policy.judge(&outcome);
        let probed = !matches!(outcome, Err(NoVerdict::NotProbed(_)));
        // In a pool, targets that were not probed are the difference between total and count.
        let counts = probed || !self.report.is_pool();
        if counts {
            self.report.tally.count(&outcome, judgement.status);
        }
        if !self.report.is_pool() {
            // There is no summary, so the target has the status of the check.
            judgement.status = self.report.status();
        }
        if !self.has_use_for(counts, judgement.status) {
            return;
        }
        let target = label();
        let finding =
            Finding { id, target, address, port, outcome, explanation, judgement, others };
        let (format, verbosity) = (self.report.settings.format, self.report.settings.verbosity);
        if format == Format::Json {
            let engine = self.report.engine.filter(|_| probed);
            // Writing to memory does not fail.
            let _ = json::render_finding(&finding, engine, &mut self.lines);
            if self.lines.len() >= CHUNK {
                self.flush();
            }
        }
        if format != Format::Json || verbosity > 0 {
            self.report.findings.push(finding);
        }
    }

    /// Returns true if targets that were not probed are reported one by one, not as a number.
    pub fn lists_not_probed(&self) -> bool {
        !self.report.is_pool() || self.report.settings.format == Format::Json
    }

    /// Records a packet that was sent or received at `at`.
    pub fn record_packet(&mut self, at: Duration, packet: &PacketEvent) {
        if self.report.settings.verbosity < 2 {
            return;
        }
        if self.report.packets.len() < PACKETS {
            self.report.packets.push((at, *packet));
        } else {
            self.report.more_packets += 1;
        }
    }

    /// Writes the lines recorded so far.
    pub fn flush(&mut self) {
        // No verdict depends on whether the output can be written.
        let _ = self.out.write_all(&self.lines).and_then(|()| self.out.flush());
        self.lines.clear();
    }

    /// Shows the progress of the check at `now`.
    pub fn show_progress(&mut self, now: Duration) {
        if let Some(progress) = &mut self.progress {
            progress.advance(self.report.tally.targets(), self.report.total, now);
        }
    }

    /// Returns how many bytes wait for the reader of the output, if any, and a descriptor that can
    /// be written when the reader has taken some.
    pub fn backlog(&self) -> Option<(usize, BorrowedFd<'_>)> {
        self.out.backlog()
    }

    /// Returns the report of a check that took `elapsed`.
    pub fn finish(mut self, elapsed: Duration) -> Report {
        self.flush();
        self.report.findings.sort_by_key(|f| (f.id, f.address, f.port));
        self.report.elapsed = elapsed;
        self.report
    }

    /// Returns true if a target that has just been counted, or not, is written now or may be
    /// reported at the end.
    fn has_use_for(&self, counted: bool, status: Status) -> bool {
        let Report { settings, tally, total, .. } = &self.report;
        match settings.format {
            Format::Json => true,
            Format::Text => counted,
            Format::Nagios => {
                let is_ok = status == Status::Ok;
                let alike = if is_ok { tally.ok } else { tally.targets() - tally.ok };
                let shown = !is_ok || *total <= MEASURED || settings.verbosity > 0;
                counted && shown && alike <= KEPT
            }
        }
    }
}
