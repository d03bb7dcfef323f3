//! The verdict that follows from what is known of a target.

use std::time::Duration;

use super::answers::Acknowledged;
use super::pending::Slot;
use super::target::{Incidents, Stage};
use super::{Checker, Ended};
use crate::verdict::{EndOfRun, NoVerdict, Outcome, Reason, Verdict};

impl Checker {
    /// Ends the target by a final answer to the first of these attempts, or to a retransmission of
    /// it. Does nothing if the target is not pending.
    pub(super) fn conclude_if_pending(
        &mut self,
        acknowledged: Acknowledged,
        reason: Reason,
        now: Duration,
    ) {
        if let Acknowledged::Pending(slot, from) = acknowledged {
            self.conclude(slot, from.trailing_zeros() as usize, reason, now);
        }
    }

    /// Ends the target by a final answer to that attempt.
    pub(super) fn conclude(&mut self, slot: Slot, index: usize, reason: Reason, now: Duration) {
        self.conclude_retransmitted(slot, index, 0, reason, now);
    }

    /// Does the same if the kernel has retransmitted the SYN `by_kernel` times.
    pub(super) fn conclude_retransmitted(
        &mut self,
        slot: Slot,
        index: usize,
        by_kernel: usize,
        reason: Reason,
        now: Duration,
    ) {
        let same_port = self.pending.sharing_port_with(slot, index);
        let repeats = if same_port >> self.pending[slot].progress.last() == 1 {
            self.repeats(slot)
        } else {
            0
        };
        let first = same_port.trailing_zeros() as usize;
        let mut verdict = self.verdict(slot, index, reason);
        verdict.response_time = Some(self.pending.since(slot, first, now));
        verdict.retransmissions = same_port.count_ones() as usize - 1 + repeats + by_kernel;
        verdict.attempts += by_kernel;
        self.end(slot, Ok(verdict));
    }

    /// Ends the target without a final answer: by what was learnt otherwise, or by silence.
    pub(super) fn give_up(&mut self, slot: Slot, now: Duration) {
        let target = &self.pending[slot];
        let (sent, attempts) = (target.sent, target.progress.attempts());
        let incidents = self.pending.incidents(slot).clone();
        // A server does not answer every repetition of a SYN (`tcp_oow_rate_limited()`).
        let unacceptable = self.sharing_ports_with(slot, incidents.unacceptable());
        let acked = self.sharing_ports_with(slot, incidents.acked);
        let Incidents { evidence, misacknowledged, answered_by, given_up, error, .. } = incidents;
        let reason = match (evidence, error) {
            (Some(reason), _) => reason,
            // No attempt was waited for to the end.
            (None, error) if sent & !given_up == 0 => {
                let out_of_time = NoVerdict::Unfinished(EndOfRun::OutOfTime);
                return self.end(slot, Err(error.map_or(out_of_time, NoVerdict::from)));
            }
            // Not all SYNs could leave.
            (None, Some(error)) if (sent.count_ones() as usize) < attempts => {
                return self.end(slot, Err(error.into()));
            }
            (None, _) if acked == sent && misacknowledged == 0 => Reason::BareAck,
            (None, _) if unacceptable == sent => Reason::WrongAcknowledgement,
            (None, _) => answered_by.map_or_else(
                || self.silence(slot, sent & !given_up, unacceptable, now),
                Reason::AnsweredBy,
            ),
        };
        let last = sent.checked_ilog2().unwrap_or_default() as usize;
        let verdict = self.verdict(slot, last, reason);
        self.end(slot, Ok(verdict));
    }

    /// Returns all attempts that left from the ports of these.
    fn sharing_ports_with(&self, slot: Slot, attempts: u16) -> u16 {
        let indices = (0..self.pending[slot].progress.attempts())
            .filter(|index| attempts & (1 << index) != 0);
        indices.fold(0, |all, index| all | self.pending.sharing_port_with(slot, index))
    }

    /// Returns silence since the first of the attempts that were waited for to the end.
    fn silence(&self, slot: Slot, kept: u16, unacceptable: u16, now: Duration) -> Reason {
        Reason::NoAnswer {
            syns: (kept & !unacceptable).count_ones() as usize + self.repeats(slot),
            waited: self.pending.since(slot, kept.trailing_zeros() as usize, now),
        }
    }

    pub(super) fn end(&mut self, slot: Slot, outcome: Outcome) {
        let target = &mut self.pending[slot];
        target.stage = Stage::Ended;
        let (id, remote) = (target.id, target.remote.into());
        self.pending.remove(slot);
        self.outcomes.push_back(Ended { id, remote, outcome });
    }

    fn verdict(&self, slot: Slot, index: usize, reason: Reason) -> Verdict {
        let attempts = self.pending[slot].sent.count_ones() as usize + self.repeats(slot);
        let local = (attempts > 0).then(|| self.pending.local(slot, index));
        Verdict { reason, response_time: None, retransmissions: 0, attempts, local }
    }

    fn repeats(&self, slot: Slot) -> usize {
        self.pending.incidents(slot).repeats.into()
    }
}
