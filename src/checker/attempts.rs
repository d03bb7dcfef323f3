//! Attempts that are due, and what became of them.

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::time::Duration;

use super::Checker;
use super::pending::{Slot, nanos};
use super::target::{OnceMore, Stage};
use super::timeouts::Wait;
use crate::attempt::Attempt;
use crate::local_error::{LocalError, SendError};
use crate::probe::Probe;
use crate::verdict::{Reason, Verdict};
use crate::wire::Segment;

/// A millisecond in nanoseconds.
const MILLISECOND: u64 = 1_000_000;

/// How long a SYN is postponed for the first time, in nanoseconds. Each later time is twice as
/// long.
const POSTPONEMENT: u64 = 5_000_000;

/// How often that time is doubled: up to 640 ms.
const DOUBLINGS: u8 = 7;

/// How often it is postponed in a run without deadline: for five seconds in all.
const POSTPONEMENTS: u8 = 14;

/// A SYN that should leave now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueAttempt {
    slot: Slot,
    /// What to send.
    pub attempt: Attempt,
}

impl Checker {
    /// Returns how many attempts [`Checker::poll_attempt`] will return, without those of
    /// [`Checker::has_repeats`]. Targets that have ended since may be counted, but if none is due,
    /// the number is 0.
    pub fn due(&mut self) -> usize {
        self.due.others(&self.pending)
    }

    /// Returns true if the next attempt repeats the last one of a target, because its SYN or an
    /// answer may have been lost on this machine. It takes the room of the one that it repeats.
    pub fn has_repeats(&mut self) -> bool {
        self.due.repeats(&self.pending)
    }

    /// Returns the next attempt that is due. Report what became of it by [`Checker::sent`],
    /// [`Checker::on_send_error`] or [`Checker::postpone`].
    pub fn poll_attempt(&mut self) -> Option<DueAttempt> {
        let slot = self.due.pop(&self.pending)?;
        let port = self.pending.next_port(slot);
        let target = &mut self.pending[slot];
        target.stage = Stage::Sending;
        let index = target.progress.begin();
        let (id, remote, clock) = (target.id, target.remote.into(), target.clock);
        Some(DueAttempt { slot, attempt: Attempt { id, remote, index, port, clock } })
    }

    /// Returns the SYN of `attempt` if it leaves from `local`.
    pub fn syn(&self, attempt: &Attempt, local: SocketAddr) -> Segment {
        Probe::new(&self.secret, local, attempt.remote, attempt.clock).syn()
    }

    /// Reports that the SYN of `due` left from `local` at `now`. If it was the last one, returns
    /// when the target ends unless something answers.
    pub fn sent(&mut self, due: DueAttempt, local: SocketAddr, now: Duration) -> Option<Duration> {
        self.pending.mark_sent(due.slot, due.attempt.index, local, now);
        self.wait(due, now);
        let until = Duration::from_nanos(self.pending[due.slot].until);
        self.pending.has_begun_all(due.slot).then_some(until)
    }

    /// Reports that the SYN of `due` could not leave. The other attempts go on: by then there may
    /// be a route or room in the firewall's table again.
    pub fn on_send_error(&mut self, due: DueAttempt, error: SendError, now: Duration) {
        let incidents = self.pending.incidents_mut(due.slot);
        match error {
            SendError::NoRoute(cause) => incidents.evidence = Some(Reason::NoRoute(cause)),
            SendError::LocalError(error) => incidents.error = Some(error),
            SendError::NoPortLeft => {}
            SendError::OwnPort => {
                return self.end(due.slot, Ok(Verdict::without_probe(Reason::OwnPort)));
            }
        }
        self.wait(due, now);
        self.give_up_unless_outstanding(due.slot, now);
    }

    /// Reports that there was no room for the SYN of `due` at `now`. It becomes due again a few
    /// milliseconds later, and counts as no attempt. Other targets do not wait for it, because the
    /// shortage may concern only this one.
    pub fn postpone(&mut self, due: DueAttempt, error: LocalError, now: Duration) {
        if self.pending.incidents(due.slot).once_more == OnceMore::Due {
            return self.give_up(due.slot, now); // by the failure before
        }
        self.postponed += 1;
        let is_repeated = self.pending.was_sent(due.slot, due.attempt.index);
        let target = &mut self.pending[due.slot];
        if !is_repeated {
            target.progress.take_back();
        }
        target.stage = Stage::Postponed;
        let incidents = self.pending.incidents_mut(due.slot);
        incidents.error = Some(error);
        incidents.due_again = nanos(now) + (POSTPONEMENT << incidents.postponed.min(DOUBLINGS));
        incidents.postponed = POSTPONEMENTS.min(incidents.postponed + 1);
        self.waiting.push(Reverse(Wait { until: incidents.due_again, slot: due.slot }));
    }

    /// Returns true if the SYN of `due`, or the one before it, has been postponed for five seconds.
    pub fn was_postponed_often(&self, due: &DueAttempt) -> bool {
        self.pending.incidents(due.slot).postponed == POSTPONEMENTS
    }

    /// Reports that the SYN of `due` is not postponed any more: it could not leave. If it was to
    /// repeat an earlier one, whose answer may have been lost on this machine, the target ends.
    pub fn give_up_postponed(&mut self, due: DueAttempt, error: LocalError, now: Duration) {
        if self.pending.was_sent(due.slot, due.attempt.index) {
            self.end(due.slot, Err(error.into()));
        } else {
            self.on_send_error(due, SendError::LocalError(error), now);
        }
    }

    /// Makes the next attempt of a target due. Targets with the most attempts behind them come
    /// first, so that some reach a verdict if there is no room for all.
    pub(super) fn make_due(&mut self, slot: Slot) {
        let repeats = self.pending.has_begun_all(slot);
        let target = &mut self.pending[slot];
        if target.stage == Stage::Waiting && !repeats {
            // If the last attempt is repeated, silence counts from its first SYN.
            self.waited_for.push_back(slot);
        }
        target.stage = Stage::Due;
        match target.progress.begun() {
            _ if repeats => self.due.push_repeat(slot),
            0 | 1 => self.due.push_back(slot),
            _ => self.due.push_front(slot),
        }
    }

    /// Starts the timeout of an attempt. It ends when it would have ended without delays, so that a
    /// late SYN does not postpone the verdict, but no earlier than after three quarters of its
    /// length. The timeouts after it make up for that, so that an early SYN does not postpone it
    /// either. That of an attempt that is made once more goes on.
    fn wait(&mut self, due: DueAttempt, now: Duration) {
        if self.pending.incidents(due.slot).once_more == OnceMore::Due {
            self.pending.incidents_mut(due.slot).once_more = OnceMore::Done;
        } else {
            let target = &mut self.pending[due.slot];
            let wait = u64::from(target.first_wait) << due.attempt.index;
            let planned = target.until - u64::from(target.late) * MILLISECOND + wait;
            let late = (nanos(now) + wait / 4 * 3).saturating_sub(planned).div_ceil(MILLISECOND);
            target.late = u16::try_from(late).unwrap_or(u16::MAX);
            target.until = planned + late * MILLISECOND;
        }
        let target = &mut self.pending[due.slot];
        target.stage = Stage::Waiting;
        self.waiting.push(Reverse(Wait { until: target.until, slot: due.slot }));
    }
}
