//! Moves segments between a [`Checker`] and an [`Engine`] until every target has ended.

mod driver;
mod explanations;
mod rsts;
mod syns;

use std::net::SocketAddr;
use std::time::Duration;

pub use self::driver::{Driver, Next, PacketEvent};

use self::rsts::UnsentRsts;
use crate::checker::{Checker, Ended};
use crate::engine::Engine;
use crate::event::Event;
use crate::explain::Explainer;
use crate::local_error::LocalError;
use crate::pacer::Pacer;
use crate::verdict::{EndOfRun, NoVerdict};

/// The most SYNs that are handed to the engine at once.
const BATCH: usize = 64;

/// How long no SYN is sent then. Also the time between attempts to send RSTs again.
const PAUSE: Duration = Duration::from_millis(5);

/// The time between checks whether all RSTs have left, when nothing else is left to do.
const RST_CHECK_INTERVAL: Duration = Duration::from_millis(1);

/// How many batches are still received after the last verdict: enough for all late answers, and a
/// limit in a flood.
const LAST_BATCHES: usize = 64;

/// Runs `checker` over `engine` until every target of `driver` has ended and every RST has left, or
/// until `deadline`, if there is one. Answers that have arrived by then are still received, so that
/// every SYN+ACK among them gets its RST. The `explainer`, if there is one, finds out why those
/// targets are not open of which the driver wants to know.
///
/// # Errors
///
/// Returns the error of an engine that can receive no more. Every target that is left ends with it.
pub fn run(
    checker: &mut Checker,
    engine: &mut dyn Engine,
    pacer: &mut Pacer,
    driver: &mut impl Driver,
    explainer: Option<&mut Explainer>,
    deadline: Option<Duration>,
) -> Result<(), LocalError> {
    let mut event_loop = EventLoop {
        checker,
        engine,
        pacer,
        driver,
        explainer,
        upcoming: None,
        without_room: 0,
        is_endless: deadline.is_none(),
        drained_until: Duration::ZERO,
        events: Vec::new(),
        unsent: UnsentRsts::default(),
        resend_at: Duration::ZERO,
    };
    let ran = event_loop.until_the_end(deadline);
    let reason = match &ran {
        Ok(end) => end.map(NoVerdict::Unfinished),
        Err(error) => Some(error.clone().into()),
    };
    if let Some(reason) = reason {
        let may_be_dropped = |remote| event_loop.engine.may_have_dropped_syn(remote);
        event_loop.checker.stop(&reason, event_loop.drained_until, may_be_dropped);
        if let Some((id, remote)) = event_loop.upcoming {
            let outcome = Err(reason.before_the_first_syn());
            event_loop.driver.ended(Ended { id, remote, outcome });
        }
    }
    event_loop.report_outcomes();
    event_loop.stop_explaining();
    ran.map(|_| ())
}

/// Which SYNs are left to send.
enum Outlook {
    /// At least one, which may leave at that time.
    MoreAt(Duration),
    /// None at present. An answer, a timeout or the driver may bring more.
    Later,
    /// Some, but the engine has no room.
    Full,
    /// None, except those that answers and timeouts bring.
    Finished,
}

struct EventLoop<'a, D> {
    checker: &'a mut Checker,
    engine: &'a mut dyn Engine,
    pacer: &'a mut Pacer,
    driver: &'a mut D,
    explainer: Option<&'a mut Explainer>,
    /// The next new target, until the pacer lets its SYN leave.
    upcoming: Option<(u32, SocketAddr)>,
    /// How many SYNs in a row have found no room.
    without_room: usize,
    /// True if there is no deadline. Then nothing else ends a target whose SYN never finds room.
    is_endless: bool,
    /// The time up to which everything that arrived has been received. Silence counts up to then.
    drained_until: Duration,
    events: Vec<(Duration, Event)>,
    unsent: UnsentRsts,
    /// When to send them again, and to take more from the engine.
    resend_at: Duration,
}

impl<D: Driver> EventLoop<'_, D> {
    /// Runs until every target has ended, and receives what has arrived by then. Returns the reason
    /// if it ends with targets left.
    fn until_the_end(
        &mut self,
        deadline: Option<Duration>,
    ) -> Result<Option<EndOfRun>, LocalError> {
        let left = self.until_ended_or_stopped(deadline)?;
        for _ in 0..LAST_BATCHES {
            if self.receive(Some(Duration::ZERO))? {
                break;
            }
        }
        while left.is_none() && self.has_pending_rsts() {
            let now = self.engine.now();
            if is_over(deadline, now) || self.driver.handle_interrupts(now).is_break() {
                break;
            }
            self.receive(earliest([Some(now + RST_CHECK_INTERVAL), deadline]))?;
        }
        Ok(left)
    }

    fn until_ended_or_stopped(
        &mut self,
        deadline: Option<Duration>,
    ) -> Result<Option<EndOfRun>, LocalError> {
        loop {
            if self.driver.handle_interrupts(self.engine.now()).is_break() {
                return Ok(Some(EndOfRun::Interrupted));
            }
            let outlook = self.send_syns();
            let have_ended = self.report_outcomes();
            let ask_at = self.ask_questions();
            if is_over(deadline, self.engine.now()) {
                return Ok(Some(EndOfRun::OutOfTime));
            }
            let wake = match outlook {
                Outlook::Finished if self.checker.pending() == 0 && !self.is_explaining() => {
                    return Ok(None);
                }
                // By an error while sending: the driver may have another target now.
                _ if have_ended => Some(Duration::ZERO),
                Outlook::MoreAt(time) => Some(time),
                // SYNs that could not leave have made room again.
                Outlook::Full if self.engine.room() > 0 => Some(Duration::ZERO),
                Outlook::Full | Outlook::Later | Outlook::Finished => None,
            };
            let resend_at = self.has_pending_rsts().then_some(self.resend_at);
            let timeout = self.checker.poll_timeout();
            self.receive(earliest([wake, timeout, ask_at, resend_at, deadline]))?;
        }
    }

    /// Sends SYNs that are due, at most one batch.
    fn send_syns(&mut self) -> Outlook {
        let now = self.engine.now();
        // Verdicts do not wait for the pacer.
        let may_be_dropped = |remote| self.engine.may_have_dropped_syn(remote);
        self.checker.handle_timeout(self.drained_until, may_be_dropped);
        while let Some((remote, index)) = self.checker.poll_waited_for() {
            self.engine.timed_out(remote, index);
        }
        self.report_outcomes(); // which makes room
        let mut batch = Vec::new();
        let outlook = self.collect(now, &mut batch);
        self.send_batch(&batch);
        outlook
    }

    /// Reports the targets that have ended. Returns true if there are any.
    fn report_outcomes(&mut self) -> bool {
        let mut have_ended = false;
        while let Some(ended) = self.checker.poll_outcome() {
            self.engine.cancel(ended.remote);
            self.report(ended);
            have_ended = true;
        }
        self.report_explained();
        while let Some(remote) = self.driver.poll_unwanted() {
            self.cancel(remote);
        }
        self.driver.flush();
        have_ended
    }

    fn cancel(&mut self, remote: SocketAddr) {
        self.upcoming.take_if(|(_, upcoming)| *upcoming == remote);
        self.checker.cancel(remote);
        self.engine.cancel(remote);
        if let Some(explainer) = &mut self.explainer {
            explainer.cancel(remote);
        }
    }

    /// Waits for answers until `until`, and sends the RSTs that they call for. Returns true if
    /// nothing is left to be received.
    fn receive(&mut self, until: Option<Duration>) -> Result<bool, LocalError> {
        let drained_until =
            self.engine.receive(until, &self.driver.interrupts(), &mut self.events)?;
        self.drained_until = self.drained_until.max(drained_until.unwrap_or_default());
        for (at, event) in self.events.drain(..) {
            let answers_question =
                self.explainer.as_mut().is_some_and(|explainer| explainer.handle(&event, at));
            let handled = if answers_question { Ok(()) } else { self.checker.handle(&event, at) };
            if handled.is_ok() && !answers_question {
                self.pacer.answered();
            }
            self.driver.on_packet(at, &PacketEvent::Received(event, handled));
        }
        self.send_rsts();
        Ok(drained_until.is_some())
    }
}

/// Returns true if `deadline` has come by `now`.
fn is_over(deadline: Option<Duration>, now: Duration) -> bool {
    deadline.is_some_and(|deadline| deadline <= now)
}

fn earliest<const N: usize>(times: [Option<Duration>; N]) -> Option<Duration> {
    times.into_iter().flatten().min()
}
