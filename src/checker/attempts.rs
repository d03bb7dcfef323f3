//! Which SYN is next, and what became of it.

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::time::Duration;

use super::Checker;
use super::pending::{Slot, nanos};
use super::target::Stage;
use super::timeouts::Wait;
use crate::attempt::Attempt;
use crate::local_error::{LocalError, SendError};
use crate::probe::Probe;
use crate::verdict::{Reason, Verdict};
use crate::wire::Segment;

/// How long a SYN that this machine had no room for is put off the first time, in nanoseconds; each
/// time after that, twice as long.
const POSTPONEMENT: u64 = 5_000_000;

/// The wait is not doubled more often: it ends at 640 ms.
const DOUBLINGS: u8 = 7;

/// A SYN that should leave now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueAttempt {
    slot: Slot,
    /// What is to leave.
    pub attempt: Attempt,
}

impl Checker {
    /// How many attempts [`Checker::poll_attempt`] has, but for those of [`Checker::has_repeats`];
    /// targets that have ended while they were due may be among them, but not alone.
    pub fn due(&mut self) -> usize {
        self.due.others(&self.pending)
    }

    /// True where the next attempt is the last one again: an answer to it may have been lost on
    /// this machine. It takes the room of the one that it repeats.
    pub fn has_repeats(&mut self) -> bool {
        self.due.repeats(&self.pending)
    }

    /// The next attempt that is due; report back with [`Checker::sent`], [`Checker::on_send_error`]
    /// or [`Checker::postpone`].
    pub fn poll_attempt(&mut self) -> Option<DueAttempt> {
        let slot = self.due.pop(&self.pending)?;
        let port = self.pending.next_port(slot);
        let target = &mut self.pending[slot];
        target.stage = Stage::Sending;
        let index = usize::from(target.begun).min(self.attempts.last());
        target.begun += u8::from(usize::from(target.begun) < self.attempts.count());
        let (remote, clock) = (target.remote.into(), target.clock);
        Some(DueAttempt { slot, attempt: Attempt { remote, index, port, clock } })
    }

    /// Returns the SYN of `attempt` if it leaves from `local`.
    pub fn syn(&self, attempt: &Attempt, local: SocketAddr) -> Segment {
        Probe::new(&self.secret, local, attempt.remote, attempt.clock).syn()
    }

    /// The SYN of `due` left from `local` at `now`.
    pub fn sent(&mut self, due: DueAttempt, local: SocketAddr, now: Duration) {
        self.pending.mark_sent(due.slot, due.attempt.index, local, now);
        self.wait(due, now);
    }

    /// The SYN of `due` could not leave. The remaining attempts still go out: a route, a buffer or
    /// room in the firewall's table may be back by then.
    pub fn on_send_error(&mut self, due: DueAttempt, error: SendError, now: Duration) {
        let target = &mut self.pending[due.slot];
        let hopeless = match error {
            SendError::NoRoute(cause) => {
                let incidents = target.incidents.get_or_insert_default();
                incidents.evidence = Some(Reason::NoRoute(cause));
                self.pending.outstanding(due.slot) == 0
            }
            SendError::LocalError(error) => {
                target.incidents.get_or_insert_default().error = Some(error);
                target.sent == 0
            }
            SendError::NoPortLeft => false,
            SendError::OwnPort => {
                return self.end(due.slot, Ok(Verdict::without_probe(Reason::OwnPort)));
            }
        };
        if hopeless && due.attempt.index == self.attempts.last() {
            self.give_up(due.slot, now);
        } else {
            self.wait(due, now);
        }
    }

    /// This machine had no room for the SYN of `this` at `now`: it is due again in a moment, and no
    /// attempt is lost. The lack may be this target's alone, so no other one waits for it.
    pub fn postpone(&mut self, due: DueAttempt, error: LocalError, now: Duration) {
        self.postponed += 1;
        // One that repeats the last attempt has begun before.
        let begun = self.pending.was_sent(due.slot, due.attempt.index);
        let target = &mut self.pending[due.slot];
        target.begun -= u8::from(!begun);
        target.stage = Stage::Postponed;
        let incidents = target.incidents.get_or_insert_default();
        incidents.error = Some(error);
        incidents.due_again = nanos(now) + (POSTPONEMENT << incidents.postponed);
        incidents.postponed = DOUBLINGS.min(incidents.postponed + 1);
        self.waiting.push(Reverse(Wait { until: incidents.due_again, slot: due.slot }));
    }

    /// The targets that are furthest along come first: where there is no room for all, some reach a
    /// verdict.
    pub(super) fn make_due(&mut self, slot: Slot) {
        let repeats = self.pending.has_begun_all(slot);
        let target = &mut self.pending[slot];
        if target.stage == Stage::Waiting && !repeats {
            // When the last attempt is repeated, silence counts from its first SYN.
            self.waited_for.push_back(slot);
        }
        target.stage = Stage::Due;
        match target.begun {
            _ if repeats => self.due.push_repeat(slot),
            0 | 1 => self.due.push_back(slot),
            _ => self.due.push_front(slot),
        }
    }

    /// Waits for the newest attempt. Waits follow one another as scheduled, so that a delay of one
    /// attempt does not postpone the verdict; but most of each is always granted.
    fn wait(&mut self, due: DueAttempt, now: Duration) {
        let target = &mut self.pending[due.slot];
        let wait = u64::from(target.first_wait) << due.attempt.index;
        target.until = (target.until + wait).max(nanos(now) + wait / 4 * 3);
        target.stage = Stage::Waiting;
        self.waiting.push(Reverse(Wait { until: target.until, slot: due.slot }));
    }
}
