//! How a target ends: the verdict that what is known of it amounts to.

use std::time::Duration;

use super::pending::{Setback, Slot, Stage};
use super::{Checker, Ended};
use crate::fault::Fault;
use crate::verdict::{Outcome, Reason, Verdict};

impl Checker {
    /// An answer that is final, to the first of these tries or to a retransmission of it, if the
    /// target is pending.
    pub(super) fn decide_if_pending(
        &mut self,
        asked: Option<(Slot, u16)>,
        reason: Reason,
        now: Duration,
    ) {
        if let Some((slot, from)) = asked {
            self.decide(slot, from.trailing_zeros() as usize, reason, now);
        }
    }

    /// An answer that is final, to that try.
    pub(super) fn decide(&mut self, slot: Slot, number: usize, reason: Reason, now: Duration) {
        self.decide_retransmitted(slot, number, 0, reason, now);
    }

    /// The same, where the kernel has sent the SYN again so many times.
    pub(super) fn decide_retransmitted(
        &mut self,
        slot: Slot,
        number: usize,
        by_kernel: usize,
        reason: Reason,
        now: Duration,
    ) {
        let alike = self.pending.alike(slot, number);
        let repeats = if alike >> (self.tries - 1) == 1 { self.repeats(slot) } else { 0 };
        let first = alike.trailing_zeros() as usize;
        let mut verdict = self.verdict(slot, number, reason);
        verdict.response_time = Some(self.pending.since(slot, first, now));
        verdict.retransmissions = alike.count_ones() as usize - 1 + repeats + by_kernel;
        verdict.tries += by_kernel;
        self.end(slot, Ok(verdict));
    }

    /// No try is left: what was learnt short of an answer decides, or silence.
    pub(super) fn give_up(&mut self, slot: Slot, now: Duration) {
        let progress = &self.pending[slot];
        let sent = progress.sent;
        let setback = progress.setback.as_deref().cloned().unwrap_or_default();
        let Setback { evidence, acked, misacknowledged, answered_by, given_up, fault, .. } =
            setback;
        let disputed = acked | misacknowledged;
        let reason = match (evidence, fault) {
            (Some(reason), _) => reason,
            // Nothing has been heard out.
            (None, fault) if sent & !given_up == 0 => {
                return self.end(slot, Err(fault.unwrap_or(Fault::OutOfTime)));
            }
            // Not all that was to be asked has been asked.
            (None, Some(fault)) if (sent.count_ones() as usize) < self.tries => {
                return self.end(slot, Err(fault));
            }
            (None, _) if acked == sent => Reason::AckWithoutSyn,
            (None, _) if disputed == sent => Reason::WrongAcknowledgement,
            (None, _) => answered_by.map_or_else(
                || self.silence(slot, sent & !given_up, disputed, now),
                Reason::AnsweredBy,
            ),
        };
        let last = sent.checked_ilog2().unwrap_or_default() as usize;
        let verdict = self.verdict(slot, last, reason);
        self.end(slot, Ok(verdict));
    }

    /// Silence counts from the first of the tries that were `heard` to the end.
    fn silence(&self, slot: Slot, heard: u16, disputed: u16, now: Duration) -> Reason {
        Reason::NoAnswer {
            syns: (heard & !disputed).count_ones() as usize + self.repeats(slot),
            waited: self.pending.since(slot, heard.trailing_zeros() as usize, now),
        }
    }

    pub(super) fn end(&mut self, slot: Slot, outcome: Outcome) {
        let progress = &mut self.pending[slot];
        progress.stage = Stage::Ended;
        let (label, remote) = (progress.label, progress.remote);
        self.pending.remove(slot);
        self.outcomes.push_back(Ended { label, remote, outcome });
    }

    fn verdict(&self, slot: Slot, number: usize, reason: Reason) -> Verdict {
        let tries = self.pending[slot].sent.count_ones() as usize + self.repeats(slot);
        let local = (tries > 0).then(|| self.pending.local(slot, number));
        Verdict { reason, response_time: None, retransmissions: 0, tries, local }
    }

    fn repeats(&self, slot: Slot) -> usize {
        self.pending[slot].setback.as_ref().map_or(0, |setback| setback.repeats).into()
    }
}
