//! What events mean to the targets that they are about.

use std::net::SocketAddr;
use std::time::Duration;

use super::Checker;
use super::clock::Clock;
use super::pending::{Slot, nanos};
use super::target::{OnceMore, Stage};
use crate::event::HandshakeEnd;
use crate::local_error::LocalError;
use crate::probe::{self, Answer, DiscardReason, Probe};
use crate::verdict::Reason;
use crate::wire::{IcmpError, Meaning, Origin, Quote, Segment};

/// What an acknowledgement number is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Acknowledged {
    /// A SYN of a pending target: one of these attempts, a bit each, which left from one port.
    Pending(Slot, u16),
    /// A SYN to a target that has ended, or of an earlier round of a pending one.
    Earlier,
    /// No SYN of ours.
    Nothing,
}

/// The most pending targets among which the SYN that a SYN+ACK from elsewhere acknowledges is
/// searched for. With more, a flood of such segments would take too much time.
const FEW: usize = 64;

/// Failures within this time of each other have one reason.
const TOGETHER: Duration = Duration::from_millis(100);

impl Checker {
    pub(super) fn handle_segment(
        &mut self,
        segment: &Segment,
        reset_by_kernel: bool,
        now: Duration,
    ) -> Result<(), DiscardReason> {
        if !self.pending.is_port_of_ours(segment.destination) {
            return Err(DiscardReason::NotOurs);
        }
        let slot = self.pending.find(segment.source);
        let sent = slot.and_then(|slot| self.sent_from(slot, segment.destination.port()));
        let acknowledged = self.acknowledged(segment, slot, sent, now);
        // If the acknowledgement number proves nothing, the endpoints must be those of a target.
        let here =
            sent.filter(|(slot, _)| self.pending.source(*slot).ip() == segment.destination.ip());
        let answer = Answer::read(segment, acknowledged != Acknowledged::Nothing)
            .map_err(|discarded| here.map_or(DiscardReason::NotOurs, |_| discarded))?;
        match answer {
            Answer::SynAck => self.conclude_if_pending(acknowledged, Reason::SynAck, now),
            Answer::RstAck => self.conclude_if_pending(acknowledged, Reason::RstAck, now),
            Answer::BareAck => {
                self.on_unacceptable_ack(here.ok_or(DiscardReason::NotOurs)?, answer);
            }
            Answer::WrongSynAck => match here {
                Some(here) => self.on_unacceptable_ack(here, answer),
                None => self.note_answered_by(segment)?,
            },
        }
        if answer != Answer::RstAck && !reset_by_kernel {
            let clears = matches!(answer, Answer::BareAck | Answer::WrongSynAck);
            let rsts = if clears { &mut self.clearing_rsts } else { &mut self.rsts };
            rsts.push_back(probe::rst(segment));
        }
        Ok(())
    }

    /// Returns the attempts at the target of `slot` that left from `port`, a bit each, if there is
    /// one.
    fn sent_from(&self, slot: Slot, port: u16) -> Option<(Slot, u16)> {
        let from = self.pending.sent_from(slot, port);
        (from != 0).then_some((slot, from))
    }

    /// Returns what the acknowledgement number of `segment` is about. `slot` is the pending target
    /// that it comes from, and `sent` are the attempts that left from the port that it went to.
    fn acknowledged(
        &self,
        segment: &Segment,
        slot: Option<Slot>,
        sent: Option<(Slot, u16)>,
        now: Duration,
    ) -> Acknowledged {
        let clock = self.secret.clock_acknowledged_by(segment);
        let pending = slot.map(|slot| self.pending[slot].clock);
        match sent {
            Some((slot, from)) if pending == Some(clock) => Acknowledged::Pending(slot, from),
            // The number was given to another target.
            Some(_) if pending.is_some_and(|m| Clock::is_of_this_round(clock, m)) => {
                Acknowledged::Nothing
            }
            _ if self.clock.may_have_given(clock, pending, now) => Acknowledged::Earlier,
            _ => Acknowledged::Nothing,
        }
    }

    /// Handles a SYN+ACK that may acknowledge a SYN to another endpoint, as if address translation
    /// had lost its state. It decides nothing, but is reported instead of silence.
    fn note_answered_by(&mut self, segment: &Segment) -> Result<(), DiscardReason> {
        if self.pending.len() > FEW {
            return Err(DiscardReason::NotOurs);
        }
        let local = segment.destination;
        let slot = self.pending.slots().into_iter().find(|slot| {
            let target = &self.pending[*slot];
            let probe = Probe::new(&self.secret, local, target.remote.into(), target.clock);
            self.pending.sent_from(*slot, local.port()) != 0 && probe.is_acknowledged_by(segment)
        });
        self.pending.incidents_mut(slot.ok_or(DiscardReason::NotOurs)?).answered_by =
            Some(segment.source);
        Ok(())
    }

    pub(super) fn handle_icmp(
        &mut self,
        error: IcmpError,
        quote: &Quote,
        now: Duration,
    ) -> Result<(), DiscardReason> {
        let slot = self.pending.find(quote.remote);
        let sent = slot.and_then(|slot| self.sent_from(slot, quote.local_port));
        let (slot, from) = sent.ok_or(DiscardReason::IcmpNotOurs)?;
        // A SYN and its retransmission look alike in the quote: each error ends one of them, in
        // order.
        let left = from & !self.pending.incidents(slot).lost;
        let left = Some(left).filter(|left| *left != 0).unwrap_or(from);
        let index = left.trailing_zeros() as usize;
        let local = self.pending.local(slot, index);
        let clock = self.pending[slot].clock;
        if Probe::new(&self.secret, local, quote.remote, clock).sequence != quote.sequence {
            return Err(DiscardReason::IcmpNotOurs);
        }
        self.on_icmp_error(slot, index, error, now);
        Ok(())
    }

    pub(super) fn handle_handshake(
        &mut self,
        remote: SocketAddr,
        index: usize,
        retransmissions: usize,
        end: HandshakeEnd,
        now: Duration,
    ) {
        let slot = self.pending.find(remote).filter(|slot| self.pending.was_sent(*slot, index));
        let Some(slot) = slot else { return }; // has ended
        let mut conclude =
            |reason| self.conclude_retransmitted(slot, index, retransmissions, reason, now);
        match end {
            HandshakeEnd::Completed => conclude(Reason::SynAck),
            HandshakeEnd::Refused => conclude(Reason::RstAck),
            HandshakeEnd::Failed(error) => self.on_icmp_error(slot, index, error, now),
            HandshakeEnd::GivenUp => self.pending.incidents_mut(slot).given_up |= 1 << index,
            HandshakeEnd::Aborted => {
                self.retract_attempt(slot, index, LocalError::Abandoned(remote), now);
            }
        }
    }

    /// Handles an ICMP error about that attempt.
    fn on_icmp_error(&mut self, slot: Slot, index: usize, error: IcmpError, now: Duration) {
        match (error.origin, error.meaning) {
            (Origin::LocalFirewall, _) => {
                let local_error = LocalError::Firewall(self.pending[slot].remote.into());
                self.retract_attempt(slot, index, local_error, now);
            }
            (Origin::NoNeighbour, _) => {
                self.on_transient_failure(slot, index, Reason::NoNeighbour(error), now);
            }
            (Origin::Network, Meaning::Closed | Meaning::Prohibited) => {
                self.conclude(slot, index, Reason::Icmp(error), now);
            }
            (Origin::Network, Meaning::Unreachable | Meaning::HopsExceeded) => {
                self.on_transient_failure(slot, index, Reason::Icmp(error), now);
            }
        }
    }

    /// Counts an attempt as not sent, because nothing can be learnt from it.
    fn retract_attempt(
        &mut self,
        slot: Slot,
        index: usize,
        local_error: LocalError,
        now: Duration,
    ) {
        self.pending[slot].sent &= !(1 << index);
        self.pending.incidents_mut(slot).error = Some(local_error);
        self.on_failed_attempt(slot, now);
    }

    /// Handles a failure that may be temporary: the other attempts go on, and the failure of the
    /// last one decides.
    fn on_transient_failure(&mut self, slot: Slot, index: usize, reason: Reason, now: Duration) {
        let incidents = self.pending.incidents_mut(slot);
        incidents.evidence = Some(reason);
        incidents.lost |= 1 << index;
        self.on_failed_attempt(slot, now);
    }

    /// Ends the target if no other attempt is left, or makes the last one once more if it has
    /// failed together with others.
    fn on_failed_attempt(&mut self, slot: Slot, now: Duration) {
        let before = self.pending.incidents_mut(slot).failed_at.replace(now);
        if before.is_some_and(|before| self.have_failed_together(slot, before, now)) {
            self.pending.incidents_mut(slot).once_more = OnceMore::Due;
            self.make_due(slot);
        }
        self.give_up_unless_outstanding(slot, now);
    }

    /// Returns true if all attempts have failed, the last two of them `before` and `now` for one
    /// reason, and there is time for another. The last one may have left a moment before the kernel
    /// gave up a next hop that the others had waited for.
    fn have_failed_together(&self, slot: Slot, before: Duration, now: Duration) -> bool {
        let target = &self.pending[slot];
        let last = target.progress.last();
        self.pending.has_begun_all(slot)
            && self.pending.outstanding(slot) == 0
            && self.pending.since(slot, last, before) > Duration::ZERO
            && now.abs_diff(before) < TOGETHER
            && self.pending.incidents(slot).once_more == OnceMore::NotYet
            && target.stage == Stage::Waiting
            && nanos(now) < target.until
    }

    /// Ends the target if all attempts have begun and none may still be answered.
    pub(super) fn give_up_unless_outstanding(&mut self, slot: Slot, now: Duration) {
        let is_over = self.pending.has_begun_all(slot) && self.pending.outstanding(slot) == 0;
        if is_over && self.pending.incidents(slot).once_more != OnceMore::Due {
            self.give_up(slot, now);
        }
    }

    /// Handles an ACK that does not acknowledge the SYNs from a port: the server has an old
    /// connection with that port, or equipment on the way authenticates the SYN. Our RST clears it
    /// (RFC 9293 §3.10.7.3), and the next attempt leaves at once, unless it is the last one: that
    /// leaves when the timeout has passed, because servers limit such ACKs and some packets may be
    /// lost. The timeouts end when they would have ended without the answer. Only the endpoints
    /// prove it, so a SYN+ACK may still arrive.
    fn on_unacceptable_ack(&mut self, (slot, from): (Slot, u16), answer: Answer) {
        let incidents = self.pending.incidents_mut(slot);
        match answer {
            Answer::WrongSynAck => incidents.misacknowledged |= from,
            _ => incidents.acked |= from,
        }
        let target = &mut self.pending[slot];
        let newest = target.progress.begun() - 1;
        let is_from_there = from & (1 << newest) != 0;
        if target.stage == Stage::Waiting && is_from_there && newest + 1 < target.progress.last() {
            target.stage = Stage::Due;
            self.due.push_back(slot);
        }
    }
}
