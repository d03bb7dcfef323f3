//! Which SYN is next, and what became of it.

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::time::Duration;

use super::pending::{Slot, Stage, nanos};
use super::{Checker, Wait};
use crate::attempt::Attempt;
use crate::fault::{Fault, Refusal};
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
pub struct Try {
    slot: Slot,
    /// What is to leave.
    pub attempt: Attempt,
}

impl Checker {
    /// How many tries [`Checker::poll_try`] has, but for those of [`Checker::has_repeats`]; targets
    /// that have ended while they were due may be among them, but not alone.
    pub fn due(&mut self) -> usize {
        self.due.others(&self.pending)
    }

    /// True where the next try is the last one again: an answer to it may have been lost on this
    /// machine. It takes the room of the one that it repeats.
    pub fn has_repeats(&mut self) -> bool {
        self.due.repeats(&self.pending)
    }

    /// The next try that is due; report back with [`Checker::sent`], [`Checker::refused`] or
    /// [`Checker::postpone`].
    pub fn poll_try(&mut self) -> Option<Try> {
        let slot = self.due.pop(&self.pending)?;
        let port = self.pending.next_port(slot);
        let progress = &mut self.pending[slot];
        progress.stage = Stage::Sending;
        let number = usize::from(progress.begun).min(self.tries - 1);
        progress.begun += u8::from(usize::from(progress.begun) < self.tries);
        Some(Try { slot, attempt: Attempt { remote: progress.remote, number, port } })
    }

    /// The SYN of a try that leaves from `local`.
    pub fn syn(&self, local: SocketAddr, remote: SocketAddr) -> Segment {
        Probe::new(&self.secret, local, remote).syn()
    }

    /// The SYN of `this` left from `local` at `now`.
    pub fn sent(&mut self, this: Try, local: SocketAddr, now: Duration) {
        self.pending.mark_sent(this.slot, this.attempt.number, local, now);
        self.wait(this, now);
    }

    /// The SYN of `this` could not leave. The remaining tries still go out: a route, a buffer or
    /// room in the firewall's table may be back by then.
    pub fn refused(&mut self, this: Try, refusal: Refusal, now: Duration) {
        let progress = &mut self.pending[this.slot];
        let hopeless = match refusal {
            Refusal::NoRoute(cause) => {
                let setback = progress.setback.get_or_insert_default();
                setback.evidence = Some(Reason::NoRoute(cause));
                true
            }
            Refusal::Fault(fault) => {
                progress.setback.get_or_insert_default().fault = Some(fault);
                progress.sent == 0
            }
            Refusal::NoPortLeft => false,
            Refusal::OwnPort => {
                return self.end(this.slot, Ok(Verdict::without_probe(Reason::OwnPort)));
            }
        };
        if hopeless && this.attempt.number + 1 == self.tries {
            self.give_up(this.slot, now);
        } else {
            self.wait(this, now);
        }
    }

    /// This machine had no room for the SYN of `this` at `now`: it is due again in a moment, and no
    /// try is lost. The lack may be this target's alone, so no other one waits for it.
    pub fn postpone(&mut self, this: Try, fault: Fault, now: Duration) {
        self.postponed += 1;
        // One that repeats the last try has begun before.
        let begun = self.pending.was_sent(this.slot, this.attempt.number);
        let progress = &mut self.pending[this.slot];
        progress.begun -= u8::from(!begun);
        progress.stage = Stage::Postponed;
        let setback = progress.setback.get_or_insert_default();
        setback.fault = Some(fault);
        setback.due_again = nanos(now) + (POSTPONEMENT << setback.postponed);
        setback.postponed = DOUBLINGS.min(setback.postponed + 1);
        self.waiting.push(Reverse(Wait { until: setback.due_again, slot: this.slot }));
    }

    /// The targets that are furthest along come first: where there is no room for all, some reach a
    /// verdict.
    pub(super) fn make_due(&mut self, slot: Slot) {
        let repeats = self.pending.has_begun_all(slot);
        let progress = &mut self.pending[slot];
        if progress.stage == Stage::Waiting && !repeats {
            // When the last attempt is repeated, silence counts from its first SYN.
            self.waited_for.push_back(slot);
        }
        progress.stage = Stage::Due;
        match progress.begun {
            _ if repeats => self.due.push_repeat(slot),
            0 | 1 => self.due.push_back(slot),
            _ => self.due.push_front(slot),
        }
    }

    /// Waits for the newest try. Waits follow one another as scheduled, so that a delay of one try
    /// does not postpone the verdict; but most of each is always granted.
    fn wait(&mut self, this: Try, now: Duration) {
        let progress = &mut self.pending[this.slot];
        let wait = u64::from(progress.first_wait) << this.attempt.number;
        progress.until = (progress.until + wait).max(nanos(now) + wait / 4 * 3);
        progress.stage = Stage::Waiting;
        self.waiting.push(Reverse(Wait { until: progress.until, slot: this.slot }));
    }
}
