//! Whom events are told: the reader of the journal, load balancers, hooks, and readers on other
//! threads.

use std::time::Duration;

use halfopen::non_blocking_writer::Output;
use halfopen::verdict::Outcome;
use jiff::Timestamp;

use crate::board::Writer;
use crate::event::Event;
use crate::hooks::Hooks;
use crate::journal::Journal;
use crate::lag::Lags;
use crate::live::{Cause, CheckEnd, Program, Publisher, Update};
use crate::log::Log;

/// How often the state of the program itself is published.
const PROGRAM_INTERVAL: Duration = Duration::from_secs(1);

/// How long a snapshot pauses if the readers' thread has too much to do.
const BREATH: Duration = Duration::from_millis(10);

/// All that listens to events.
pub struct Outputs<O> {
    /// The events as lines.
    pub journal: Journal<O>,
    /// What load balancers are told.
    pub board: Writer,
    /// The hooks of pools.
    pub hooks: Hooks,
    /// The table of readers on another thread.
    pub live: Publisher,
    /// How many answers found the receive queue full.
    pub answers_lost: u64,
    /// Whether the newest reload succeeded, and when the newest one that did.
    reload: (bool, Timestamp),
    /// When the state of the program is published next.
    program_at: Duration,
}

impl<O: Output> Outputs<O> {
    /// Creates the outputs of a program that has told nobody anything yet.
    pub fn new(journal: Journal<O>, board: Writer, hooks: Hooks, live: Publisher) -> Self {
        let (answers_lost, program_at) = (0, Duration::ZERO);
        let reload = (true, Timestamp::now());
        Self { journal, board, hooks, live, answers_lost, reload, program_at }
    }

    /// Tells all listeners what has happened.
    pub fn tell(&mut self, event: Event) {
        let time = Timestamp::now();
        self.journal.write(&event, time);
        self.hooks.push(&event, time);
        self.live.publish(Update::Event(Box::new(event.clone()), time));
        self.board.write(event);
    }

    /// Counts a check of the target `id` that has ended.
    pub fn count(&mut self, id: u32, outcome: &Outcome, now: Duration) {
        if let Some(check) = CheckEnd::of(id, outcome, now) {
            self.live.publish(Update::Check(check));
        }
    }

    /// Counts it for another target that it served. Its SYNs are counted once.
    pub fn count_companion(&mut self, id: u32, outcome: &Outcome, now: Duration) {
        if let Some(check) = CheckEnd::of(id, outcome, now) {
            self.live.publish(Update::Check(CheckEnd { syns: 0, ..check }));
        }
    }

    /// Tells readers why a target is down.
    pub fn explain(&mut self, cause: Cause) {
        self.live.publish(Update::Cause(Box::new(cause)));
    }

    /// Records how a reload of the configuration has ended, which is published next.
    pub fn end_reload(&mut self, succeeded: bool) {
        let since = if succeeded { Timestamp::now() } else { self.reload.1 };
        (self.reload, self.program_at) = ((succeeded, since), Duration::ZERO);
    }

    /// Returns after which time to continue a snapshot; `None` if the journal's backlog is too
    /// long, whose descriptor shows when it is shorter.
    pub fn ready_in(&self) -> Option<Duration> {
        let pause = if self.live.takes_more() { Duration::ZERO } else { BREATH };
        self.journal.takes_more().then_some(pause)
    }

    /// Passes on what waits for listeners who can take it now. Returns true if one of them needs a
    /// snapshot, because it has lost events.
    pub fn flush(&mut self) -> bool {
        self.hooks.flush();
        self.board.flush();
        let (has_table_gap, has_journal_gap) = (self.live.flush(), self.journal.flush());
        has_table_gap || has_journal_gap
    }

    /// Records which hooks have ended, and logs what they report.
    pub fn serve_hooks(&mut self, log: &mut Log<impl Output>) {
        self.hooks.handle();
        while let Some(line) = self.hooks.poll_line() {
            if line.is_problem {
                log.warn(&line.text);
            } else {
                log.info(&line.text);
            }
        }
    }

    /// Returns when to call [`Outputs::flush`] again, if the journal cannot be written now.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.journal.is_failing().then_some(self.program_at)
    }

    /// Publishes the state of the program itself, if it is time, with the number of checks that
    /// have waited for a descriptor.
    pub fn publish_program(&mut self, lags: &Lags, delayed: u64, now: Duration) {
        if now < self.program_at {
            return;
        }
        self.program_at = now + PROGRAM_INTERVAL;
        self.live.publish(Update::Program(Box::new(Program {
            lags: lags.clone(),
            delayed,
            answers_lost: self.answers_lost,
            events_lost: self.journal.lost(),
            hook_failures: self.hooks.all_failures(),
            reload: Some(self.reload),
        })));
    }
}
