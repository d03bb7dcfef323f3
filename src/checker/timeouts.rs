//! Timeouts: the next attempt becomes due, or the target ends.

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::time::Duration;

use super::pending::{Slot, nanos};
use super::target::Stage;
use super::{Checker, OUTCOMES};
use crate::verdict::{EndOfRun, NoVerdict};

impl Checker {
    /// Handles the timeouts that have passed by `now`: the next attempts become due, or targets
    /// end. Stops when 1024 outcomes wait to be polled, so that many targets that end together take
    /// no more memory.
    ///
    /// If `may_be_dropped` says that this machine may have dropped the last SYN to a silent target,
    /// the SYN is sent again instead of a verdict.
    pub fn handle_timeout(
        &mut self,
        now: Duration,
        mut may_be_dropped: impl FnMut(SocketAddr) -> bool,
    ) {
        while self.outcomes.len() < OUTCOMES
            && let Some(wait) = self.first_wait().filter(|wait| wait.until <= nanos(now))
        {
            if self.is_over(wait.slot, now, &mut may_be_dropped) {
                self.give_up(wait.slot, now);
            } else {
                self.make_due(wait.slot);
            }
        }
    }

    /// Returns the target and the index of the next attempt that has timed out in
    /// [`Checker::handle_timeout`] and is not the last one. An answer to it still counts.
    pub fn poll_waited_for(&mut self) -> Option<(SocketAddr, usize)> {
        while let Some(slot) = self.waited_for.pop_front() {
            let target = &self.pending[slot];
            if target.stage == Stage::Due && target.progress.begun() > 0 {
                return Some((target.remote.into(), target.progress.begun() - 1));
            }
        }
        None
    }

    /// Returns when to call [`Checker::handle_timeout`] next, or `None` if no timeout is running.
    pub fn poll_timeout(&mut self) -> Option<Duration> {
        self.first_wait().map(|wait| Duration::from_nanos(wait.until))
    }

    /// Ends all targets at `now`: with a verdict if the last timeout has passed, as in
    /// [`Checker::handle_timeout`], and otherwise for `reason`, or for the error that kept the SYNs
    /// from leaving.
    pub fn stop(
        &mut self,
        reason: &NoVerdict,
        now: Duration,
        mut may_be_dropped: impl FnMut(SocketAddr) -> bool,
    ) {
        for slot in self.pending.slots() {
            if self.is_over(slot, now, &mut may_be_dropped) {
                self.give_up(slot, now);
                continue;
            }
            let target = &self.pending[slot];
            let own = self.pending.incidents(slot).error.clone();
            let out_of_time = *reason == NoVerdict::Unfinished(EndOfRun::OutOfTime);
            let own = own.filter(|_| out_of_time && target.sent == 0);
            let reason = if target.progress.begun() == 0 {
                reason.before_the_first_syn()
            } else {
                reason.clone()
            };
            self.end(slot, Err(own.map_or(reason, NoVerdict::from)));
        }
    }

    /// Returns true if the last attempt has timed out, and neither its SYN nor an answer to it can
    /// have been lost on this machine.
    fn is_over(
        &self,
        slot: Slot,
        now: Duration,
        may_be_dropped: &mut impl FnMut(SocketAddr) -> bool,
    ) -> bool {
        let target = &self.pending[slot];
        let index = target.progress.last();
        let waited = target.stage == Stage::Waiting
            && self.pending.has_begun_all(slot)
            && target.until <= nanos(now);
        let repeated_at = self.pending.incidents(slot).repeated_at;
        let sent_at = nanos(now.saturating_sub(self.pending.since(slot, index, now)));
        let sent_at = sent_at.max(repeated_at);
        let missed = self.lost_at.is_some_and(|lost_at| sent_at <= lost_at);
        waited
            && !(self.pending.was_sent(slot, index)
                && (missed || may_be_dropped(target.remote.into())))
    }

    /// Returns the wait that ends first. Removes entries of targets that no longer wait.
    fn first_wait(&mut self) -> Option<Wait> {
        while let Some(&Reverse(wait)) = self.waiting.peek() {
            if self.pending.waits_until(wait.slot) == Some(wait.until) {
                return Some(wait);
            }
            self.waiting.pop();
        }
        None
    }
}

/// When the timeout of a target's newest attempt ends, or its postponement, in nanoseconds. It is
/// packed to take 12 bytes instead of 16.
#[repr(Rust, packed(4))]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wait {
    pub(super) until: u64,
    pub(super) slot: Slot,
}
