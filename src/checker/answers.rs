//! What an answer means to the target that it is for.

use std::net::SocketAddr;
use std::time::Duration;

use super::Checker;
use super::pending::{Slot, Stage, nanos};
use crate::fault::Fault;
use crate::probe::{self, Answer, Ignored, Probe};
use crate::verdict::Reason;
use crate::wire::{Handshake, IcmpError, Meaning, Origin, Quote, Segment};

/// So many pending targets are searched for the SYN that a stray SYN+ACK acknowledges. More of them
/// take too long, should somebody send a flood of those.
const FEW: usize = 64;

impl Checker {
    pub(super) fn handle_segment(
        &mut self,
        segment: &Segment,
        reset_by_kernel: bool,
        now: Duration,
    ) -> Result<(), Ignored> {
        if !self.pending.is_port_of_ours(segment.destination) {
            return Err(Ignored::NotOurs);
        }
        let asked = self.asked(segment.source, segment.destination.port());
        // Where the acknowledgement number proves nothing, the endpoints must be those of a target.
        let here =
            asked.filter(|(slot, _)| self.pending.source(*slot).ip() == segment.destination.ip());
        let read = Probe::new(&self.secret, segment.destination, segment.source).read(segment);
        let answer = read.map_err(|ignored| here.map_or(Ignored::NotOurs, |_| ignored))?;
        match answer {
            Answer::SynAck => self.decide_if_pending(asked, Reason::SynAck, now),
            Answer::RstAck => self.decide_if_pending(asked, Reason::RstAck, now),
            Answer::AckWithoutSyn => self.dispute(here.ok_or(Ignored::NotOurs)?, answer, now),
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

    /// The pending target behind `remote` and those of its tries that have left from `port`, a bit
    /// each, if any has.
    fn asked(&self, remote: SocketAddr, port: u16) -> Option<(Slot, u16)> {
        let slot = self.pending.find(remote)?;
        let from = self.pending.sent_from(slot, port);
        (from != 0).then_some((slot, from))
    }

    /// A SYN+ACK that may acknowledge a SYN that went somewhere else: address translation that has
    /// lost track. It is no answer of the target's, but tells more than silence.
    fn note_answered_by(&mut self, segment: &Segment) -> Result<(), Ignored> {
        if self.pending.len() > FEW {
            return Err(Ignored::NotOurs);
        }
        let local = segment.destination;
        let slot = self.pending.slots().into_iter().find(|slot| {
            let remote = self.pending[*slot].remote;
            let probe = Probe::new(&self.secret, local, remote);
            self.asked(remote, local.port()).is_some() && probe.is_acknowledged_by(segment)
        });
        self.pending.setback(slot.ok_or(Ignored::NotOurs)?).answered_by = Some(segment.source);
        Ok(())
    }

    pub(super) fn handle_icmp(
        &mut self,
        error: IcmpError,
        quote: &Quote,
        now: Duration,
    ) -> Result<(), Ignored> {
        let asked = self.asked(quote.remote, quote.local_port);
        let (slot, from) = asked.ok_or(Ignored::IcmpNotOurs)?;
        // The quote does not tell a SYN from its retransmission: each ends one of them, the last
        // one last.
        let lost = self.pending[slot].setback.as_ref().map_or(0, |setback| setback.lost);
        let left = Some(from & !lost).filter(|left| *left != 0).unwrap_or(from);
        let number = left.trailing_zeros() as usize;
        let local = self.pending.local(slot, number);
        if Probe::new(&self.secret, local, quote.remote).sequence != quote.sequence {
            return Err(Ignored::IcmpNotOurs);
        }
        self.weigh(slot, number, error, now);
        Ok(())
    }

    pub(super) fn handle_handshake(
        &mut self,
        remote: SocketAddr,
        number: usize,
        retransmissions: usize,
        end: Handshake,
        now: Duration,
    ) {
        let slot = self.pending.find(remote).filter(|slot| self.pending.was_sent(*slot, number));
        let Some(slot) = slot else { return }; // decided before
        let mut decide =
            |reason| self.decide_retransmitted(slot, number, retransmissions, reason, now);
        match end {
            Handshake::Completed => decide(Reason::SynAck),
            Handshake::Refused => decide(Reason::RstAck),
            Handshake::Failed(error) => self.weigh(slot, number, error, now),
            Handshake::GivenUp => self.pending.setback(slot).given_up |= 1 << number,
            Handshake::Abandoned => self.take_back(slot, number, Fault::Abandoned(remote), now),
        }
    }

    /// An ICMP error that is about that try.
    fn weigh(&mut self, slot: Slot, number: usize, error: IcmpError, now: Duration) {
        match (error.origin, error.meaning) {
            (Origin::LocalFirewall, _) => {
                let fault = Fault::Firewall(self.pending[slot].remote);
                self.take_back(slot, number, fault, now);
            }
            (Origin::NoNeighbour, _) => {
                self.lose(slot, number, Reason::NoNeighbour(error), now);
            }
            (Origin::Network, Meaning::Closed | Meaning::Prohibited) => {
                self.decide(slot, number, Reason::Icmp(error), now);
            }
            (Origin::Network, Meaning::Unreachable | Meaning::HopsExceeded) => {
                self.lose(slot, number, Reason::Icmp(error), now);
            }
        }
    }

    /// A try counts as not sent: nothing will be learnt from it. Those that are still out are
    /// waited for.
    fn take_back(&mut self, slot: Slot, number: usize, fault: Fault, now: Duration) {
        let progress = &mut self.pending[slot];
        progress.sent &= !(1 << number);
        progress.setback.get_or_insert_default().fault = Some(fault);
        if number + 1 == self.tries && progress.sent == 0 {
            self.give_up(slot, now);
        }
    }

    /// A try has failed in a way that may pass: the rest still go out, and the last one to fail
    /// decides.
    fn lose(&mut self, slot: Slot, number: usize, reason: Reason, now: Duration) {
        let setback = self.pending.setback(slot);
        setback.evidence = Some(reason);
        setback.lost |= 1 << number;
        if number + 1 == self.tries {
            self.give_up(slot, now);
        }
    }

    /// These tries left from a port that stands for something else there: an old connection, or one
    /// that equipment on the way wants to see aborted. Our RST clears it (RFC 9293 §3.10.7.3), and
    /// the next try goes out at once. The last one is waited out, because such an answer is proven
    /// by its endpoints alone and a SYN+ACK may still be on its way.
    fn dispute(&mut self, (slot, from): (Slot, u16), answer: Answer, now: Duration) {
        let setback = self.pending.setback(slot);
        match answer {
            Answer::WrongSynAck => setback.misacknowledged |= from,
            _ => setback.acked |= from,
        }
        let progress = &mut self.pending[slot];
        let newest = usize::from(progress.begun) - 1;
        let is_from_there = from & (1 << newest) != 0;
        if progress.stage == Stage::Waiting && is_from_there && newest + 1 < self.tries {
            progress.stage = Stage::Due;
            progress.until = nanos(now);
            self.due.push_back(slot);
        }
    }
}
