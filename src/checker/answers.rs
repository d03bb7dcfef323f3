//! What an answer means to the target that it is for.

use std::net::SocketAddr;
use std::time::Duration;

use super::Checker;
use super::pending::{Slot, Stage, nanos};
use crate::fault::Fault;
use crate::probe::{self, Answer, Ignored, Probe};
use crate::verdict::{Reason, Verdict};
use crate::wire::{Handshake, IcmpError, Meaning, Origin, Quote, Segment};

impl Checker {
    pub(super) fn handle_segment(
        &mut self,
        segment: &Segment,
        reset_by_kernel: bool,
        now: Duration,
    ) -> Result<(), Ignored> {
        let number = self.pending.number(segment.destination).ok_or(Ignored::NotOurs)?;
        let slot =
            self.pending.find(segment.source).filter(|slot| self.pending.was_sent(*slot, number));
        let read = Probe::new(&self.secret, segment.destination, segment.source).read(segment);
        let answer = match (read, slot) {
            // Proven by its endpoints alone, or not at all: they must be those of a target.
            (Ok(Answer::AckWithoutSyn) | Err(_), None) => return Err(Ignored::NotOurs),
            (Err(_), Some(slot)) if self.pending.local(slot, number) != segment.destination => {
                return Err(Ignored::NotOurs);
            }
            (read, _) => read?,
        };
        if answer != Answer::RstAck && !reset_by_kernel {
            self.resets.push_back(probe::reset(segment));
        }
        match (answer, slot) {
            (_, None) => {} // decided before
            (Answer::SynAck, Some(slot)) => self.decide(slot, number, Reason::SynAck, now),
            (Answer::RstAck, Some(slot)) => self.decide(slot, number, Reason::RstAck, now),
            (Answer::AckWithoutSyn, Some(slot)) => self.try_another_port(slot, number, now),
        }
        Ok(())
    }

    pub(super) fn handle_icmp(
        &mut self,
        error: IcmpError,
        quote: &Quote,
        now: Duration,
    ) -> Result<(), Ignored> {
        let port = SocketAddr::new(quote.remote.ip(), quote.local_port);
        let number = self.pending.number(port).ok_or(Ignored::IcmpNotOurs)?;
        let slot =
            self.pending.find(quote.remote).filter(|slot| self.pending.was_sent(*slot, number));
        let slot = slot.ok_or(Ignored::IcmpNotOurs)?;
        let local = self.pending.local(slot, number);
        if Probe::new(&self.secret, local, quote.remote).sequence != quote.sequence {
            return Err(Ignored::IcmpNotOurs);
        }
        self.weigh(slot, number, error, now);
        Ok(())
    }

    pub(super) fn handle_handshake(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        end: Handshake,
        now: Duration,
    ) -> Result<(), Ignored> {
        let number = self.pending.number(local).ok_or(Ignored::NotOurs)?;
        let slot = self.pending.find(remote).filter(|slot| self.pending.was_sent(*slot, number));
        let Some(slot) = slot else { return Ok(()) }; // decided before
        match end {
            Handshake::Completed => self.decide(slot, number, Reason::SynAck, now),
            Handshake::Refused => self.decide(slot, number, Reason::RstAck, now),
            Handshake::Failed(error) => self.weigh(slot, number, error, now),
            Handshake::Abandoned => self.take_back(slot, number, Fault::Abandoned(remote), now),
        }
        Ok(())
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

    /// A try counts as not sent: nothing will be learnt from it. Those that are still out are waited for.
    fn take_back(&mut self, slot: Slot, number: usize, fault: Fault, now: Duration) {
        let progress = &mut self.pending[slot];
        progress.sent &= !(1 << number);
        progress.setback.get_or_insert_default().fault = Some(fault);
        if number + 1 == self.tries && progress.sent == 0 {
            self.give_up(slot, now);
        }
    }

    /// An answer that is final.
    fn decide(&mut self, slot: Slot, number: usize, reason: Reason, now: Duration) {
        let round_trip = Some(self.pending.since(slot, number, now));
        let verdict = self.verdict(slot, number, reason, round_trip);
        self.end(slot, Ok(verdict));
    }

    pub(super) fn verdict(
        &self,
        slot: Slot,
        number: usize,
        reason: Reason,
        round_trip: Option<Duration>,
    ) -> Verdict {
        let progress = &self.pending[slot];
        let tries = progress.sent.count_ones() as usize;
        let local = (tries > 0).then(|| self.pending.local(slot, number));
        Verdict { reason, round_trip, tries, local }
    }

    /// A try has failed in a way that may pass: the rest still go out, and the last one to fail decides.
    fn lose(&mut self, slot: Slot, number: usize, reason: Reason, now: Duration) {
        let progress = &mut self.pending[slot];
        progress.setback.get_or_insert_default().evidence = Some(reason);
        if number + 1 == self.tries {
            self.give_up(slot, now);
        }
    }

    /// An old connection is in the way. Our RST clears it, and the next try goes out at once; the last try is waited
    /// out, because an ACK is proven by its endpoints alone and a SYN+ACK may still be on its way.
    fn try_another_port(&mut self, slot: Slot, number: usize, now: Duration) {
        let progress = &mut self.pending[slot];
        progress.setback.get_or_insert_default().acked |= 1 << number;
        let newest = progress.stage == Stage::Waiting && usize::from(progress.begun) == number + 1;
        if newest && number + 1 < self.tries {
            progress.stage = Stage::Due;
            progress.until = nanos(now);
            self.due.push_back(slot);
        }
    }
}
