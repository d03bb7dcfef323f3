//! Events as JSON Lines, for a reader that may be slow.

use std::io;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use halfopen::local_error::in_words;
use halfopen::non_blocking_writer::Output;
use jiff::Timestamp;
use serde::Serialize;

use crate::event::{Event, EventKind};

/// How many bytes may wait for the reader. Events beyond that are lost.
const BACKLOG: usize = 1 << 20;

/// The shortest time between two lines of the log about events that are lost.
const PAUSE: Duration = Duration::from_mins(1);

/// Writes events. A slow reader delays no check: it loses events, and is told all that is known as
/// soon as it has read the rest. A full disk loses events, too, until one can be written again.
pub struct Journal<O> {
    out: O,
    engine: &'static str,
    /// True while this machine is isolated.
    is_isolated: bool,
    /// How many events were lost so far, besides those that `out` has discarded.
    lost: u64,
    /// True if events were lost since the last snapshot.
    has_gap: bool,
    /// Why nothing can be written, if nothing can.
    failure: Option<io::Error>,
    /// What the log was told last: a failure, and how many events were lost until then or before
    /// it.
    told: (bool, u64),
    /// Until when nothing more is logged.
    quiet_until: Duration,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    isolated: Option<bool>,
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
        Self {
            out,
            engine,
            is_isolated: false,
            lost: 0,
            has_gap: false,
            failure: None,
            told: (false, 0),
            quiet_until: Duration::ZERO,
        }
    }

    /// Writes an event that happened at `time`, or loses it if the reader is too slow.
    pub fn write(&mut self, event: &Event, time: Timestamp) {
        match (event.kind, &event.target) {
            (EventKind::Isolated, None) => self.is_isolated = true,
            (EventKind::Released, None) => self.is_isolated = false,
            _ => {}
        }
        let isolated = (event.kind == EventKind::Snapshot).then_some(self.is_isolated);
        let is_full = self.out.backlog().is_some_and(|(bytes, _)| bytes > BACKLOG);
        let line = || render(event, time, self.engine, isolated, self.lost()) + "\n";
        if is_full || self.out.write_all(line().as_bytes()).is_err() {
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
        self.lost + self.out.discarded()
    }

    /// Passes on what the reader takes. Returns true if it has read everything and lost something:
    /// then it needs a snapshot.
    pub fn flush(&mut self) -> bool {
        self.failure = self.out.flush().err();
        self.backlog().is_none() && !self.is_failing() && std::mem::take(&mut self.has_gap)
    }

    /// Returns true if nothing can be written. Call [`Journal::flush`] now and then until it can.
    pub fn is_failing(&self) -> bool {
        self.failure.is_some()
    }

    /// Returns what to log at `now`: that events are lost, or that this is over.
    pub fn poll_line(&mut self, now: Duration) -> Option<String> {
        let (was_failing, before) = self.told;
        let lost = self.lost() - before;
        let line = match &self.failure {
            None if was_failing && lost == 0 => "events are written again; none was lost".into(),
            None if was_failing => format!("events are written again; {lost} were lost"),
            None if lost > 0 && now >= self.quiet_until => {
                format!("{lost} events were lost, because their reader is slow")
            }
            Some(error) if !was_failing && now >= self.quiet_until => {
                format!("events are lost until they can be written: {}", in_words(error))
            }
            _ => return None,
        };
        if !was_failing {
            self.quiet_until = now + PAUSE;
        }
        self.told = if self.is_failing() { (true, before) } else { (false, self.lost()) };
        Some(line)
    }

    /// Returns what can be written when the reader has taken some, if something waits for it.
    pub fn backlog(&self) -> Option<BorrowedFd<'_>> {
        self.out.backlog().map(|(_, out)| out)
    }
}

/// Returns an event as one line of JSON.
/// The line says whether this machine is `isolated` if that is given.
pub(crate) fn render(
    event: &Event,
    time: Timestamp,
    engine: &'static str,
    isolated: Option<bool>,
    lost: u64,
) -> String {
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
        isolated,
        lost,
    };
    serde_json::to_string(&line).expect("names and numbers")
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde wants")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::OwnedFd;

    use super::*;
    use crate::line_output::LineOutput;

    /// A disk that may be full.
    #[derive(Default)]
    struct Disk {
        is_full: bool,
        written: Vec<u8>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.flush()?;
            self.written.extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            if self.is_full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        }
    }

    impl Output for Disk {
        fn backlog(&self) -> Option<(usize, BorrowedFd<'_>)> {
            None
        }
    }

    fn write(journal: &mut Journal<impl Output>, kind: EventKind) {
        let event = Event { sequence: 1, kind, pool: None, target: None };
        journal.write(&event, Timestamp::UNIX_EPOCH);
    }

    #[test]
    fn what_a_full_disk_loses_is_told_once_and_again_when_it_has_room() {
        let mut journal = Journal::new(Disk::default(), "raw");
        let second = Duration::from_secs(1);
        write(&mut journal, EventKind::Up);
        assert!(!journal.flush());
        assert_eq!(journal.poll_line(second), None);
        journal.out.is_full = true;
        (0..3).for_each(|_| write(&mut journal, EventKind::Up));
        assert!(!journal.flush() && journal.is_failing());
        let line = journal.poll_line(second).expect("a line");
        assert!(line.starts_with("events are lost until they can be written: "), "{line}");
        write(&mut journal, EventKind::Up);
        assert_eq!(journal.poll_line(2 * second), None);
        journal.out.is_full = false;
        assert!(journal.flush(), "a snapshot follows, though nothing happens");
        let line = journal.poll_line(3 * second);
        assert_eq!(line.as_deref(), Some("events are written again; 4 were lost"));
        assert!(!journal.flush());
        // Once a minute.
        journal.out.is_full = true;
        write(&mut journal, EventKind::Up);
        journal.flush();
        assert_eq!(journal.poll_line(4 * second), None);
        assert!(journal.poll_line(61 * second).is_some());
    }

    #[test]
    fn events_are_lost_and_counted_if_their_reader_goes_away_or_the_device_is_full() {
        let second = Duration::from_secs(1);
        let (reader, pipe) = io::pipe().unwrap();
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let journal = |out| Journal::new(LineOutput::new(out).unwrap(), "raw");
        let (mut of_pipe, of_full) = (journal(OwnedFd::from(pipe)), journal(full.into()));
        write(&mut of_pipe, EventKind::Up);
        assert!(!of_pipe.flush());
        assert_eq!((of_pipe.lost(), of_pipe.poll_line(second)), (0, None));
        drop(reader);
        for (mut journal, why) in [(of_pipe, "Broken pipe"), (of_full, "No space left on device")] {
            for lost in [2, 4] {
                (0..2).for_each(|_| write(&mut journal, EventKind::Up));
                assert!(!journal.flush());
                assert_eq!(journal.lost(), lost, "{why}");
            }
            let line = journal.poll_line(second).expect("a line").to_lowercase();
            assert!(line.starts_with("events are lost until they can be written: "), "{line}");
            assert!(line.contains(&why.to_lowercase()), "{line}");
            write(&mut journal, EventKind::Up);
            assert!(!journal.flush());
            assert_eq!((journal.lost(), journal.poll_line(120 * second)), (5, None));
        }
    }

    #[test]
    fn a_disk_that_was_full_while_nothing_happened_has_lost_nothing() {
        let mut journal = Journal::new(Disk { is_full: true, ..Disk::default() }, "raw");
        journal.flush();
        assert!(journal.poll_line(Duration::ZERO).is_some());
        journal.out.is_full = false;
        journal.flush();
        let line = journal.poll_line(Duration::ZERO);
        assert_eq!(line.as_deref(), Some("events are written again; none was lost"));
    }

    #[test]
    fn a_snapshot_says_whether_this_machine_is_isolated() {
        let mut journal = Journal::new(Disk::default(), "raw");
        for kind in [EventKind::Isolated, EventKind::Released] {
            write(&mut journal, kind);
            write(&mut journal, EventKind::Snapshot);
        }
        let lines = String::from_utf8(journal.out.written).unwrap();
        let isolated =
            |line| serde_json::from_str::<serde_json::Value>(line).unwrap()["isolated"].clone();
        let told: Vec<_> = lines.lines().map(isolated).collect();
        let null = serde_json::Value::Null;
        assert_eq!(told, [null.clone(), true.into(), null, false.into()]);
    }
}
