//! What hooks have said, and what has gone wrong.

use std::collections::{HashMap, VecDeque};

use super::message::{End, Report};

/// The most lines that wait to be logged.
const LINES: usize = 1024;

/// Why an event did not do what its hook should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The hook has ended with another exit code than 0, or by a signal.
    Failed,
    /// It was killed because it took too long.
    TimedOut,
    /// It could not be started.
    NotStarted,
    /// The helper has ended.
    NoHelper,
    /// Too many events were waiting.
    QueueFull,
    /// The daemon has ended first.
    Stopped,
}

impl Failure {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Failed,
        Self::TimedOut,
        Self::NotStarted,
        Self::NoHelper,
        Self::QueueFull,
        Self::Stopped,
    ];

    /// Returns its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::NotStarted => "not_started",
            Self::NoHelper => "no_helper",
            Self::QueueFull => "queue_full",
            Self::Stopped => "stopped",
        }
    }
}

/// A line for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its text, without control characters.
    pub text: String,
    /// True if an event has not done what its hook should.
    pub is_problem: bool,
}

/// Failures by reason, and lines for the log.
#[derive(Debug, Default)]
pub(super) struct Record {
    failures: HashMap<Failure, u64>,
    lines: VecDeque<Line>,
}

impl Record {
    /// Returns how many events have failed for this reason.
    pub(super) fn failures(&self, reason: Failure) -> u64 {
        self.failures.get(&reason).copied().unwrap_or_default()
    }

    /// Returns the next line for the log.
    pub(super) fn poll_line(&mut self) -> Option<Line> {
        self.lines.pop_front()
    }

    /// Counts failures.
    pub(super) fn count(&mut self, failure: Failure, events: usize) {
        *self.failures.entry(failure).or_default() += events as u64;
    }

    /// Records events that have not reached their hooks, if there are any.
    pub(super) fn give_up(&mut self, failure: Failure, events: usize, why: &str) {
        if events > 0 {
            self.count(failure, events);
            self.warn(&format!("{events} events have not reached their hooks, because {why}"));
        }
    }

    /// Records what a run has said, and how it has ended.
    pub(super) fn ended(&mut self, name: &str, report: &Report) {
        for line in report.output.lines() {
            self.log(&format!("{name}: {line}"), false);
        }
        if report.omitted > 0 {
            self.log(&format!("{name}: ({} more bytes)", report.omitted), false);
        }
        let (failure, problem) = match &report.end {
            End::Exited(0) => return,
            End::Exited(code) => (Failure::Failed, format!("exit code {code}")),
            End::Signalled(signal) => (Failure::Failed, format!("killed by signal {signal}")),
            End::TimedOut => (Failure::TimedOut, "killed after 10 seconds".to_owned()),
            End::Survived => {
                (Failure::TimedOut, "killed after 10 seconds, but processes are left".to_owned())
            }
            End::NotStarted(error) => (Failure::NotStarted, format!("not started ({error})")),
            End::Unwatched => (Failure::Failed, "the process that watched it has ended".to_owned()),
        };
        self.count(failure, 1);
        self.warn(&format!("{name}: {problem}"));
    }

    /// Keeps a warning for the log.
    pub(super) fn warn(&mut self, text: &str) {
        self.log(text, true);
    }

    /// Keeps a line for the log. The oldest ones are dropped if nobody takes them.
    fn log(&mut self, text: &str, is_problem: bool) {
        let plain =
            |c: char| if c.is_control() { c.escape_default().to_string() } else { c.into() };
        if self.lines.len() >= LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(Line { text: text.chars().map(plain).collect(), is_problem });
    }
}
