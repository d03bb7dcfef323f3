//! Whom to ask whether this machine's network works, and when.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::ops::RangeInclusive;
use std::time::Duration;

use halfopen::schedule::Schedule;

use super::isolation::Network;

/// How many are asked at once.
const ASKED: usize = 3;

/// How many are remembered that have answered.
const REMEMBERED: usize = 32;

/// How many of them may be in one network, which may be dead as a whole.
const OF_ONE_NETWORK: usize = 2;

/// Watches checks that may turn out silent, and remembers who has answered.
///
/// A check that is still unanswered after three quarters of its first timeout needs a cross-check:
/// if nothing else has answered by then, other targets are checked at once, the ones that answered
/// last first.
#[derive(Debug, Default)]
pub(super) struct CrossChecks {
    /// The checks that began, by the time at which they need a cross-check.
    watched: BinaryHeap<Reverse<Watched>>,
    /// By id: false if the check of that target has ended. Most have, and then the target need not
    /// be looked at, which is not in the processor's cache any more.
    unanswered: Vec<bool>,
    /// Who has answered, the last one at the end.
    heard: VecDeque<(Network, u32)>,
    /// When others were asked last.
    asked_at: Option<Duration>,
}

/// A check that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Watched {
    /// When it needs a cross-check.
    pub(super) at: Duration,
    pub(super) id: u32,
    pub(super) begun: Duration,
}

/// Returns the time in which an answer of others shows that a target should have answered a check
/// too that began at `begun`: from half of the first timeout, when its own answer should be there,
/// to the last SYN. With a single SYN it is the rest of its timeout.
///
/// If this machine was cut off at first, the last SYN has left later; if it is later on, the answer
/// to the first SYN arrived before. A single SYN may be lost as the network comes back.
pub(super) fn critical_time(schedule: Schedule, begun: Duration) -> RangeInclusive<Duration> {
    let first = Duration::from_nanos(schedule.first_wait().into());
    let retries = schedule.attempts().count() - 1;
    let last_syn: Duration = schedule.waits().take(retries).sum();
    begun + first / 2..=begun + last_syn.max(first)
}

impl CrossChecks {
    /// Watches a check that begins at `begun`.
    pub(super) fn watch(&mut self, id: u32, schedule: Schedule, begun: Duration) {
        let step = Duration::from_nanos(schedule.first_wait().into()) / 4;
        self.watched.push(Reverse(Watched { at: begun + 3 * step, id, begun }));
        let index = id as usize;
        self.unanswered.resize(self.unanswered.len().max(index + 1), false);
        self.unanswered[index] = true;
    }

    /// Records that the check of a target has ended.
    pub(super) fn ended(&mut self, id: u32) {
        if let Some(unanswered) = self.unanswered.get_mut(id as usize) {
            *unanswered = false;
        }
    }

    /// Watches a check for which nobody could be asked, as long as an answer would be of use.
    pub(super) fn watch_on(&mut self, watched: Watched, critical: &RangeInclusive<Duration>) {
        let step = critical.start().saturating_sub(watched.begun) / 2;
        let at = watched.at + step.max(Duration::from_millis(1));
        if critical.contains(&at) {
            self.watched.push(Reverse(Watched { at, ..watched }));
        }
    }

    /// Returns the next check that may need a cross-check: `is_pending` says whether it has not
    /// ended.
    pub(super) fn peek(&mut self, is_pending: impl Fn(&Watched) -> bool) -> Option<Watched> {
        while let Some(Reverse(watched)) = self.watched.peek() {
            if self.unanswered[watched.id as usize] && is_pending(watched) {
                return Some(*watched);
            }
            self.watched.pop();
        }
        None
    }

    /// Removes it.
    pub(super) fn pop(&mut self) {
        self.watched.pop();
    }

    /// Remembers that a target has answered.
    pub(super) fn heard(&mut self, network: Network, id: u32) {
        if let Some(known) = self.heard.iter().position(|(_, other)| *other == id) {
            self.heard.remove(known);
        } else if self.heard.iter().filter(|(other, _)| *other == network).count() >= OF_ONE_NETWORK
        {
            let oldest = self.heard.iter().position(|(other, _)| *other == network);
            self.heard.remove(oldest.unwrap_or_default());
        } else if self.heard.len() >= REMEMBERED {
            self.heard.pop_front();
        }
        self.heard.push_back((network, id));
    }

    /// Returns true if others were asked in this time. They serve all checks for which it is
    /// critical.
    pub(super) fn have_asked(&self, time: &RangeInclusive<Duration>) -> bool {
        self.asked_at.is_some_and(|at| time.contains(&at))
    }

    /// Returns whom to ask at `now` about a target in `network`: those that `can_be_asked`, in
    /// other networks first.
    pub(super) fn choose(
        &mut self,
        network: Network,
        now: Duration,
        can_be_asked: impl Fn(u32) -> bool,
    ) -> Vec<u32> {
        let (near, far): (Vec<_>, Vec<_>) =
            self.heard.iter().rev().copied().partition(|(other, _)| *other == network);
        let ids = far.into_iter().chain(near).map(|(_, id)| id);
        let chosen: Vec<_> = ids.filter(|id| can_be_asked(*id)).take(ASKED).collect();
        if !chosen.is_empty() {
            self.asked_at = Some(now);
        }
        chosen
    }
}
