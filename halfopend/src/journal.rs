//! Events as JSON Lines, for a reader that may be slow.

use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use halfopen::non_blocking_writer::Output;
use jiff::Timestamp;
use serde::Serialize;

use crate::event::Event;

/// How many bytes may wait for the reader. Events beyond that are lost.
const BACKLOG: usize = 1 << 20;

/// Writes events. A slow reader delays no check: it loses events, and is told all that is known as
/// soon as it has read the rest. A full disk loses events, too, until one can be written again.
pub struct Journal<O> {
    out: O,
    engine: &'static str,
    /// How many events were lost so far.
    lost: u64,
    /// True if events were lost since the last snapshot.
    has_gap: bool,
    /// True if the newest event could not be written.
    is_failing: bool,
}

/// An event as an object.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    sequence: u64,
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<&'a str>,
    #[serde(flatten)]
    target: Option<TargetFields<'a>>,
    #[serde(flatten)]
    counts: Option<PoolFields>,
    engine: &'static str,
    #[serde(skip_serializing_if = "is_zero")]
    lost: u64,
}

#[derive(Serialize)]
struct TargetFields<'a> {
    target: &'a str,
    address: Option<IpAddr>,
    port: Option<u16>,
    from: &'static str,
    to: &'static str,
    state: Option<&'static str>,
    reason: Option<&'a str>,
    count: u8,
    advertised: &'static str,
    held: bool,
}

#[derive(Serialize)]
struct PoolFields {
    pool_up: u32,
    pool_targets: u32,
    fail_open: bool,
}

impl<O: Output> Journal<O> {
    /// Creates a journal of checks by this engine.
    pub fn new(out: O, engine: &'static str) -> Self {
        Self { out, engine, lost: 0, has_gap: false, is_failing: false }
    }

    /// Writes an event that happened at `time`, or loses it if the reader is too slow.
    pub fn write(&mut self, event: &Event, time: Timestamp) {
        let is_full = self.out.backlog().is_some_and(|(bytes, _)| bytes > BACKLOG);
        if !is_full {
            let line = render(event, time, self.engine, self.lost) + "\n";
            self.is_failing = self.out.write_all(line.as_bytes()).is_err();
        }
        if is_full || self.is_failing {
            self.lost += 1;
            self.has_gap = true;
        }
    }

    /// Returns true if the reader takes what it is given soon enough that more can be written.
    pub fn takes_more(&self) -> bool {
        self.out.backlog().is_none_or(|(bytes, _)| bytes < BACKLOG / 4)
    }

    /// Returns how many events were lost so far.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Passes on what the reader takes. Returns true if it has read everything and lost something:
    /// then it needs a snapshot.
    pub fn flush(&mut self) -> bool {
        let _ = self.out.flush();
        self.backlog().is_none() && !self.is_failing && std::mem::take(&mut self.has_gap)
    }

    /// Returns what can be written when the reader has taken some, if something waits for it.
    pub fn backlog(&self) -> Option<BorrowedFd<'_>> {
        self.out.backlog().map(|(_, out)| out)
    }
}

/// Returns an event as one line of JSON.
pub(crate) fn render(event: &Event, time: Timestamp, engine: &'static str, lost: u64) -> String {
    let target = event.target.as_ref().map(|target| TargetFields {
        target: &target.label,
        address: target.endpoint.map(|endpoint| endpoint.ip()),
        port: target.endpoint.map(|endpoint| endpoint.port()),
        from: target.from.name(),
        to: target.to.name(),
        state: target.finding,
        reason: target.reason.as_deref(),
        count: target.count,
        advertised: target.advertised.name(),
        held: target.is_held,
    });
    let counts = event.pool.as_ref().map(|pool| PoolFields {
        pool_up: pool.up,
        pool_targets: pool.targets,
        fail_open: pool.fails_open,
    });
    let line = Line {
        time: format!("{time:.3}"),
        sequence: event.sequence,
        event: event.kind.name(),
        pool: event.pool.as_ref().map(|pool| &*pool.name),
        target,
        counts,
        engine,
        lost,
    };
    serde_json::to_string(&line).expect("names and numbers")
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde wants")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}
