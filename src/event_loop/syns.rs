//! Sends the SYNs that are due.

use std::net::SocketAddr;
use std::time::Duration;

use super::{BATCH, Driver, EventLoop, Next, Outlook, PAUSE, PacketEvent};
use crate::attempt::Attempt;
use crate::checker::{DueAttempt, Ended};
use crate::engine::SentSyn;
use crate::local_error::{LocalError, SendError};
use crate::verdict::NoVerdict;

/// After this many SYNs in a row without room, the shortage is taken to be that of the whole
/// machine and not of one target.
const SHORTAGE: usize = BATCH;

impl<D: Driver> EventLoop<'_, D> {
    /// Adds attempts that may begin now to `batch`. The number of steps is limited, so that answers
    /// do not wait.
    pub(super) fn collect(&mut self, now: Duration, batch: &mut Vec<DueAttempt>) -> Outlook {
        for _ in 0..2 * BATCH {
            let room = self.engine.room().saturating_sub(batch.len());
            let repeats = self.checker.has_repeats();
            if room == 0 && !repeats {
                // The driver is asked for a target when there is room for it.
                return Outlook::Full;
            }
            let due = self.checker.due();
            // New targets, which may answer, come before retransmissions to silent ones.
            let begin = !repeats && (due == 0 || due >= room || self.without_room > 0);
            if begin && self.upcoming.is_none() {
                match self.driver.next(now) {
                    Next::Target(id, remote) => self.upcoming = Some((id, remote)),
                    Next::At(time) if due == 0 => return Outlook::MoreAt(time),
                    Next::Later if due == 0 => return Outlook::Later,
                    Next::Nothing if due == 0 => return Outlook::Finished,
                    Next::At(_) | Next::Later | Next::Nothing => {}
                }
            }
            let ready = self.pacer.ready_at(now);
            if batch.len() == BATCH || ready > now {
                return Outlook::MoreAt(ready);
            }
            if begin && let Some((id, remote)) = self.upcoming.take() {
                self.admit(id, remote, now);
            }
            if let Some(due) = self.checker.poll_attempt() {
                let remote = due.attempt.remote;
                if self.unsent.contains(remote) {
                    self.postpone(due, LocalError::NoRoomForRst(remote), now);
                    continue;
                }
                self.pacer.sent(now);
                batch.push(due);
            }
        }
        Outlook::MoreAt(now)
    }

    fn admit(&mut self, id: u32, remote: SocketAddr, now: Duration) {
        let schedule = self.driver.schedule(id, now);
        if !self.checker.admit(id, remote, schedule, now) {
            let outcome = Err(NoVerdict::AlreadyPending);
            self.driver.ended(Ended { id, remote, outcome });
        }
    }

    pub(super) fn send_batch(&mut self, batch: &[DueAttempt]) {
        let attempts: Vec<_> = batch.iter().map(|due| due.attempt).collect();
        let syn = |attempt: &Attempt, local| self.checker.syn(attempt, local);
        let results = self.engine.send_syns(&attempts, &syn);
        for (due, result) in batch.iter().zip(results) {
            let now = self.engine.now();
            if result.is_err() {
                self.pacer.answered(); // no answer is outstanding
            }
            match result {
                Ok(SentSyn { at, local, syn }) => {
                    self.without_room = 0;
                    let silent_at = self.checker.sent(*due, local, at);
                    let by_kernel = PacketEvent::SentByKernel { local, remote: due.attempt.remote };
                    self.driver.on_packet(at, &syn.map_or(by_kernel, PacketEvent::Sent));
                    if let Some(until) = silent_at {
                        let Attempt { id, remote, .. } = due.attempt;
                        self.explain_silence((id, remote), local, at, until);
                    }
                }
                Err(SendError::LocalError(error)) if error.is_shortage() => {
                    self.postpone(*due, error, now);
                    self.without_room += 1;
                    if self.without_room.is_multiple_of(SHORTAGE) {
                        self.pacer.pause(now + PAUSE);
                    }
                }
                Err(error) => {
                    self.driver.on_send_error(due.attempt.remote, &error);
                    self.checker.on_send_error(*due, error, now);
                }
            }
        }
    }

    /// Postpones a SYN that found no room, or gives it up if there is no deadline and it has been
    /// postponed often.
    fn postpone(&mut self, due: DueAttempt, error: LocalError, now: Duration) {
        if self.is_endless && self.checker.was_postponed_often(&due) {
            self.checker.give_up_postponed(due, error, now);
        } else {
            self.checker.postpone(due, error, now);
        }
    }
}
