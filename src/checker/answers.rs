//! What an answer means to the target that it is for.

use std::net::SocketAddr;
use std::time::Duration;

use super::Checker;
use super::pending::{Slot, nanos};
use super::target::Stage;
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

/// So many pending targets are searched for the SYN that a stray SYN+ACK acknowledges. More of them
/// take too long, should somebody send a flood of those.
const FEW: usize = 64;

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
        // Where the acknowledgement number proves nothing, the endpoints must be those of a target.
        let here =
            sent.filter(|(slot, _)| self.pending.source(*slot).ip() == segment.destination.ip());
        let answer = Answer::read(segment, acknowledged != Acknowledged::Nothing)
            .map_err(|discarded| here.map_or(DiscardReason::NotOurs, |_| discarded))?;
        match answer {
            Answer::SynAck => self.conclude_if_pending(acknowledged, Reason::SynAck, now),
            Answer::RstAck => self.conclude_if_pending(acknowledged, Reason::RstAck, now),
            Answer::BareAck => {
                self.on_unacceptable_ack(here.ok_or(DiscardReason::NotOurs)?, answer, now);
            }
            Answer::WrongSynAck => match here {
                Some(here) => self.on_unacceptable_ack(here, answer, now),
                None => self.note_answered_by(segment)?,
            },
        }
        if answer != Answer::RstAck && !reset_by_kernel {
            self.resets.push_back(probe::reset(segment));
        }
        Ok(())
    }

    /// Returns those attempts at the target of `slot` that have left from `port`, a bit each, if
    /// any has.
    fn sent_from(&self, slot: Slot, port: u16) -> Option<(Slot, u16)> {
        let from = self.pending.sent_from(slot, port);
        (from != 0).then_some((slot, from))
    }

    /// Returns what the acknowledgement number of `segment` is about, which comes from the target
    /// of `slot`, if that is pending, and went to the port that the attempts of `sent` left from.
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
            _ if self.clock.may_have_given(clock, pending, now) => Acknowledged::Earlier,
            _ => Acknowledged::Nothing,
        }
    }

    /// A SYN+ACK that may acknowledge a SYN that went somewhere else: address translation that has
    /// lost track. It is no answer of the target's, but tells more than silence.
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
        self.pending.incidents(slot.ok_or(DiscardReason::NotOurs)?).answered_by =
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
        // The quote does not tell a SYN from its retransmission: each ends one of them, the last
        // one last.
        let lost = self.pending[slot].incidents.as_ref().map_or(0, |incidents| incidents.lost);
        let left = Some(from & !lost).filter(|left| *left != 0).unwrap_or(from);
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
        let Some(slot) = slot else { return }; // decided before
        let mut conclude =
            |reason| self.conclude_retransmitted(slot, index, retransmissions, reason, now);
        match end {
            HandshakeEnd::Completed => conclude(Reason::SynAck),
            HandshakeEnd::Refused => conclude(Reason::RstAck),
            HandshakeEnd::Failed(error) => self.on_icmp_error(slot, index, error, now),
            HandshakeEnd::GivenUp => self.pending.incidents(slot).given_up |= 1 << index,
            HandshakeEnd::Aborted => {
                self.retract_attempt(slot, index, LocalError::Abandoned(remote), now);
            }
        }
    }

    /// An ICMP error that is about that attempt.
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

    /// An attempt counts as not sent: nothing will be learnt from it. Those that are still out are
    /// waited for.
    fn retract_attempt(
        &mut self,
        slot: Slot,
        index: usize,
        local_error: LocalError,
        now: Duration,
    ) {
        let target = &mut self.pending[slot];
        target.sent &= !(1 << index);
        target.incidents.get_or_insert_default().error = Some(local_error);
        if index == self.attempts.last() && target.sent == 0 {
            self.give_up(slot, now);
        }
    }

    /// An attempt has failed in a way that may pass: the rest still go out, those that are out are
    /// waited for, and the last one to fail decides.
    fn on_transient_failure(&mut self, slot: Slot, index: usize, reason: Reason, now: Duration) {
        let incidents = self.pending.incidents(slot);
        incidents.evidence = Some(reason);
        incidents.lost |= 1 << index;
        if self.pending.has_begun_all(slot) && self.pending.outstanding(slot) == 0 {
            self.give_up(slot, now);
        }
    }

    /// These attempts left from a port that stands for something else there: an old connection, or
    /// one that equipment on the way wants to see aborted. Our RST clears it (RFC 9293 §3.10.7.3),
    /// and the next attempt goes out at once. The last one is waited out, because such an answer is
    /// proven by its endpoints alone and a SYN+ACK may still be on its way.
    fn on_unacceptable_ack(&mut self, (slot, from): (Slot, u16), answer: Answer, now: Duration) {
        let incidents = self.pending.incidents(slot);
        match answer {
            Answer::WrongSynAck => incidents.misacknowledged |= from,
            _ => incidents.acked |= from,
        }
        let target = &mut self.pending[slot];
        let newest = usize::from(target.begun) - 1;
        let is_from_there = from & (1 << newest) != 0;
        if target.stage == Stage::Waiting && is_from_there && newest < self.attempts.last() {
            target.stage = Stage::Due;
            target.until = nanos(now);
            self.due.push_back(slot);
        }
    }
}
