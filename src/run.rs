//! The loop: moves segments between a [`Checker`] and an [`Engine`] until every target has ended.

mod client;

use std::collections::VecDeque;
use std::iter;
use std::net::SocketAddr;
use std::time::Duration;

pub use self::client::{Client, Crossing, Next};

use crate::checker::{Checker, Ended, Try};
use crate::engine::{Departure, Engine};
use crate::fault::{Fault, Refusal};
use crate::pacer::Pacer;
use crate::wire::{Arrival, Segment};

/// SYNs handed to the engine together, when so many are due.
const BATCH: usize = 64;

/// When this machine has no room for so many SYNs in a row, the shortage is not one target's alone.
const SHORTAGE: usize = BATCH;

/// How long nothing is sent then.
const PAUSE: Duration = Duration::from_millis(5);

/// RSTs kept for want of room at most; a server asks again for one that it never had.
const UNSENT: usize = 65_536;

/// How many of them are sent together, when it is time.
const RESENT: usize = 4 * BATCH;

/// How often it is looked whether all RSTs have left, when nothing else is left to do.
const LAST_RESETS: Duration = Duration::from_millis(1);

/// How often what has arrived after the last verdict is looked for: enough for any crowd of late
/// answers, and an end to any flood.
const LAST_LOOKS: usize = 64;

/// Runs `checker` over `engine` until every target of `client` has ended and every RST has left, to
/// `deadline` at the latest. Answers that have arrived by then are still taken in, so that no
/// SYN+ACK among them goes without its RST. A fault of the engine ends every target that is left.
pub fn run(
    checker: &mut Checker,
    engine: &mut dyn Engine,
    pacer: &mut Pacer,
    client: &mut impl Client,
    deadline: Duration,
) -> Result<(), Fault> {
    let mut exchange = Exchange {
        checker,
        engine,
        pacer,
        client,
        ahead: None,
        short: 0,
        heard: Duration::ZERO,
        arrivals: Vec::new(),
        unsent: VecDeque::new(),
        resend_at: Duration::ZERO,
    };
    let ran = exchange.until_the_end(deadline);
    if let Err(fault) | Ok(Some(fault)) = &ran {
        exchange.checker.stop(fault, exchange.heard);
        if let Some((label, remote)) = exchange.ahead {
            let outcome = Err(fault.before_the_first_syn());
            exchange.client.ended(Ended { label, remote, outcome });
        }
    }
    exchange.tell();
    ran.map(|_| ())
}

/// What is left to send.
enum Outlook {
    /// Something, and it may go then.
    MoreAt(Duration),
    /// Nothing, until an answer, a wait or the client brings more.
    Later,
    /// Nothing, until the engine has room.
    Full,
    /// Nothing but what answers and waits bring.
    Finished,
}

struct Exchange<'a, C> {
    checker: &'a mut Checker,
    engine: &'a mut dyn Engine,
    pacer: &'a mut Pacer,
    client: &'a mut C,
    /// The next new target, which waits for the pacer.
    ahead: Option<(u32, SocketAddr)>,
    /// How many SYNs in a row there was no room for.
    short: usize,
    /// Until when everything that arrived has been taken in: silence counts no further than that.
    heard: Duration,
    arrivals: Vec<(Duration, Arrival)>,
    /// RSTs that there was no room for, and when to try again, or to ask the engine for more.
    unsent: VecDeque<Segment>,
    resend_at: Duration,
}

impl<C: Client> Exchange<'_, C> {
    /// Goes on until every target has ended, and takes in what has arrived by then; says why where
    /// targets are left.
    fn until_the_end(&mut self, deadline: Duration) -> Result<Option<Fault>, Fault> {
        let left = self.until_there_is_a_reason_to_end(deadline)?;
        for _ in 0..LAST_LOOKS {
            if self.take_in(Duration::ZERO)? {
                break;
            }
        }
        while left.is_none() && self.owes_resets() {
            let now = self.engine.now();
            if now >= deadline || self.client.attend(now) {
                break;
            }
            self.take_in((now + LAST_RESETS).min(deadline))?;
        }
        Ok(left)
    }

    fn owes_resets(&self) -> bool {
        !self.unsent.is_empty() || self.engine.owes_resets()
    }

    fn until_there_is_a_reason_to_end(
        &mut self,
        deadline: Duration,
    ) -> Result<Option<Fault>, Fault> {
        loop {
            if self.client.attend(self.engine.now()) {
                return Ok(Some(Fault::Interrupted));
            }
            let outlook = self.send_syns();
            self.tell();
            if self.engine.now() >= deadline {
                return Ok(Some(Fault::OutOfTime));
            }
            let wake = match outlook {
                Outlook::Finished if self.checker.pending() == 0 => return Ok(None),
                Outlook::MoreAt(time) => Some(time),
                // Some that could not leave have left room.
                Outlook::Full if self.engine.room() > 0 => Some(Duration::ZERO),
                Outlook::Full | Outlook::Later | Outlook::Finished => None,
            };
            let resend_at = self.owes_resets().then_some(self.resend_at);
            let wake = wake.into_iter().chain(self.checker.next_deadline()).chain(resend_at).min();
            self.take_in(wake.unwrap_or(deadline).min(deadline))?;
        }
    }

    /// Sends SYNs that are due, a batch at most.
    fn send_syns(&mut self) -> Outlook {
        let now = self.engine.now();
        let ending = self.checker.next_deadline().is_some_and(|wait| wait <= self.heard);
        if ending && self.engine.held_back() {
            self.checker.distrust_silence(self.heard);
        }
        self.checker.expire(self.heard); // verdicts do not wait for the pacer
        while let Some((remote, number)) = self.checker.poll_waited_for() {
            self.engine.waited_for(remote, number);
        }
        self.tell(); // and make room
        let mut batch = Vec::new();
        let outlook = self.collect(now, &mut batch);
        self.send_batch(&batch);
        outlook
    }

    /// Adds tries that may begin now; stops after a while in any case, so that answers need not
    /// wait.
    fn collect(&mut self, now: Duration, batch: &mut Vec<Try>) -> Outlook {
        for _ in 0..2 * BATCH {
            let room = self.engine.room().saturating_sub(batch.len());
            let repeats = self.checker.has_repeats();
            if room == 0 && !repeats {
                return Outlook::Full; // who begins, and whether in time, is asked when there is room
            }
            let due = self.checker.due();
            // Those that are silent do not take the room of those that may answer.
            let begin = !repeats && (due == 0 || due >= room || self.short > 0);
            if begin && self.ahead.is_none() {
                match self.client.next(now) {
                    Next::Target(label, remote) => self.ahead = Some((label, remote)),
                    Next::Later if due == 0 => return Outlook::Later,
                    Next::Nothing if due == 0 => return Outlook::Finished,
                    Next::Later | Next::Nothing => {}
                }
            }
            let ready = self.pacer.ready_at(now);
            if batch.len() == BATCH || ready > now {
                return Outlook::MoreAt(ready);
            }
            if begin && let Some((label, remote)) = self.ahead.take() {
                self.checker.admit(label, remote, self.client.schedule(now), now);
            }
            if let Some(this) = self.checker.poll_try() {
                self.pacer.sent(now);
                batch.push(this);
            }
        }
        Outlook::MoreAt(now)
    }

    fn send_batch(&mut self, batch: &[Try]) {
        let attempts: Vec<_> = batch.iter().map(|this| this.attempt).collect();
        let syn = |local, remote| self.checker.syn(local, remote);
        let results = self.engine.send_syns(&attempts, &syn);
        for (this, result) in batch.iter().zip(results) {
            let now = self.engine.now();
            if result.is_err() {
                self.pacer.answered(); // nothing is about to come
            }
            match result {
                Ok(Departure { at, local, syn }) => {
                    self.short = 0;
                    self.checker.sent(*this, local, at);
                    let by_kernel = Crossing::SentByKernel { local, remote: this.attempt.remote };
                    self.client.crossed(at, &syn.map_or(by_kernel, Crossing::Sent));
                }
                Err(Refusal::Fault(fault)) if fault.is_shortage() => {
                    self.checker.postpone(*this, fault, now);
                    self.short += 1;
                    if self.short.is_multiple_of(SHORTAGE) {
                        self.pacer.pause(now + PAUSE);
                    }
                }
                Err(refusal) => {
                    self.client.refused(this.attempt.remote, &refusal);
                    self.checker.refused(*this, refusal, now);
                }
            }
        }
    }

    fn tell(&mut self) {
        while let Some(ended) = self.checker.poll_outcome() {
            self.engine.release(ended.remote);
            self.client.ended(ended);
        }
        while let Some(remote) = self.client.poll_unwanted() {
            self.cancel(remote);
        }
        self.client.told();
    }

    fn cancel(&mut self, remote: SocketAddr) {
        self.ahead.take_if(|(_, ahead)| *ahead == remote);
        self.checker.cancel(remote);
        self.engine.release(remote);
    }

    /// Waits for answers until `until` and sends the RSTs that they call for; true when nothing was
    /// left behind.
    fn take_in(&mut self, until: Duration) -> Result<bool, Fault> {
        let heard = self.engine.receive(until, &self.client.interrupts(), &mut self.arrivals)?;
        self.heard = self.heard.max(heard.unwrap_or_default());
        for (at, arrival) in self.arrivals.drain(..) {
            let handled = self.checker.handle(&arrival, at);
            if handled.is_ok() {
                self.pacer.answered();
            }
            self.client.crossed(at, &Crossing::Received(arrival, handled));
        }
        self.send_resets();
        Ok(heard.is_some())
    }

    /// Sends the RSTs that are called for, and now and then some of those that there was no room
    /// for.
    fn send_resets(&mut self) {
        let resets: Vec<_> = iter::from_fn(|| self.checker.poll_reset()).collect();
        self.hand_over(&resets);
        self.unsent.extend(self.engine.take_returned());
        let now = self.engine.now();
        if now >= self.resend_at && self.owes_resets() {
            let resets: Vec<_> = self.unsent.drain(..RESENT.min(self.unsent.len())).collect();
            self.hand_over(&resets);
            self.resend_at = now + PAUSE;
        }
    }

    fn hand_over(&mut self, resets: &[Segment]) {
        let results = self.engine.send_resets(resets);
        for (reset, result) in resets.iter().zip(results) {
            match result {
                Ok(()) => self.client.crossed(self.engine.now(), &Crossing::Sent(*reset)),
                Err(fault) if fault.is_shortage() => self.unsent.push_back(*reset),
                Err(_) => {} // the server's next SYN+ACK asks for it again
            }
        }
        self.unsent.truncate(UNSENT);
    }
}
