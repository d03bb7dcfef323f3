//! What an answer means to the target that it is for.

use std::net::SocketAddr;
use std::time::Duration;

use super::Checker;
use super::pending::{Slot, Stage, nanos};
use crate::event::HandshakeEnd;
use crate::local_error::LocalError;
use crate::probe::{self, Answer, DiscardReason, Probe};
use crate::verdict::Reason;
use crate::wire::{IcmpError, Meaning, Origin, Quote, Segment};

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
        let asked = self.asked(segment.source, segment.destination.port());
        // Where the acknowledgement number proves nothing, the endpoints must be those of a target.
        let here =
            asked.filter(|(slot, _)| self.pending.source(*slot).ip() == segment.destination.ip());
        let read = Probe::new(&self.secret, segment.destination, segment.source).read(segment);
        let answer =
            read.map_err(|discarded| here.map_or(DiscardReason::NotOurs, |_| discarded))?;
        match answer {
            Answer::SynAck => self.conclude_if_pending(asked, Reason::SynAck, now),
            Answer::RstAck => self.conclude_if_pending(asked, Reason::RstAck, now),
            Answer::BareAck => self.dispute(here.ok_or(DiscardReason::NotOurs)?, answer, now),
            Answer::WrongSynAck => match here {
                Some(here) => self.dispute(here, answer, now),
                None => self.note_answered_by(segment)?,
            },
        }
        if answer != Answer::RstAck && !reset_by_kernel {
            self.resets.push_back(probe::reset(segment));
        }
        Ok(())
    }

    /// The pending target behind `remote` and those of its attempts that have left from `port`, a
    /// bit each, if any has.
    fn asked(&self, remote: SocketAddr, port: u16) -> Option<(Slot, u16)> {
        let slot = self.pending.find(remote)?;
        let from = self.pending.sent_from(slot, port);
        (from != 0).then_some((slot, from))
    }

    /// A SYN+ACK that may acknowledge a SYN that went somewhere else: address translation that has
    /// lost track. It is no answer of the target's, but tells more than silence.
    fn note_answered_by(&mut self, segment: &Segment) -> Result<(), DiscardReason> {
        if self.pending.len() > FEW {
            return Err(DiscardReason::NotOurs);
        }
        let local = segment.destination;
        let slot = self.pending.slots().into_iter().find(|slot| {
            let remote = self.pending[*slot].remote;
            let probe = Probe::new(&self.secret, local, remote);
            self.asked(remote, local.port()).is_some() && probe.is_acknowledged_by(segment)
        });
        self.pending.failures(slot.ok_or(DiscardReason::NotOurs)?).answered_by =
            Some(segment.source);
        Ok(())
    }

    pub(super) fn handle_icmp(
        &mut self,
        error: IcmpError,
        quote: &Quote,
        now: Duration,
    ) -> Result<(), DiscardReason> {
        let asked = self.asked(quote.remote, quote.local_port);
        let (slot, from) = asked.ok_or(DiscardReason::IcmpNotOurs)?;
        // The quote does not tell a SYN from its retransmission: each ends one of them, the last
        // one last.
        let lost = self.pending[slot].failures.as_ref().map_or(0, |failures| failures.lost);
        let left = Some(from & !lost).filter(|left| *left != 0).unwrap_or(from);
        let index = left.trailing_zeros() as usize;
        let local = self.pending.local(slot, index);
        if Probe::new(&self.secret, local, quote.remote).sequence != quote.sequence {
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
            HandshakeEnd::GivenUp => self.pending.failures(slot).given_up |= 1 << index,
            HandshakeEnd::Aborted => {
                self.retract_attempt(slot, index, LocalError::Abandoned(remote), now);
            }
        }
    }

    /// An ICMP error that is about that attempt.
    fn on_icmp_error(&mut self, slot: Slot, index: usize, error: IcmpError, now: Duration) {
        match (error.origin, error.meaning) {
            (Origin::LocalFirewall, _) => {
                let local_error = LocalError::Firewall(self.pending[slot].remote);
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
        target.failures.get_or_insert_default().error = Some(local_error);
        if index + 1 == self.attempts && target.sent == 0 {
            self.give_up(slot, now);
        }
    }

    /// An attempt has failed in a way that may pass: the rest still go out, and the last one to
    /// fail decides.
    fn on_transient_failure(&mut self, slot: Slot, index: usize, reason: Reason, now: Duration) {
        let failures = self.pending.failures(slot);
        failures.evidence = Some(reason);
        failures.lost |= 1 << index;
        if index + 1 == self.attempts {
            self.give_up(slot, now);
        }
    }

    /// These attempts left from a port that stands for something else there: an old connection, or
    /// one that equipment on the way wants to see aborted. Our RST clears it (RFC 9293 §3.10.7.3),
    /// and the next attempt goes out at once. The last one is waited out, because such an answer is
    /// proven by its endpoints alone and a SYN+ACK may still be on its way.
    fn dispute(&mut self, (slot, from): (Slot, u16), answer: Answer, now: Duration) {
        let failures = self.pending.failures(slot);
        match answer {
            Answer::WrongSynAck => failures.misacknowledged |= from,
            _ => failures.acked |= from,
        }
        let target = &mut self.pending[slot];
        let newest = usize::from(target.begun) - 1;
        let is_from_there = from & (1 << newest) != 0;
        if target.stage == Stage::Waiting && is_from_there && newest + 1 < self.attempts {
            target.stage = Stage::Due;
            target.until = nanos(now);
            self.due.push_back(slot);
        }
    }
}
