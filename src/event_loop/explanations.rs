//! Asks why targets are not open, beside the checks.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Driver, EventLoop, PacketEvent};
use crate::checker::Ended;
use crate::question::CannotAsk;
use crate::verdict::{Reason, Verdict};

impl<D: Driver> EventLoop<'_, D> {
    /// Begins to explain the silence of the target `id` at `remote`, whose last SYN has left from
    /// `local` and whose last timeout ends at `until`, if the driver wants that.
    pub(super) fn explain_silence(
        &mut self,
        (id, remote): (u32, SocketAddr),
        local: SocketAddr,
        now: Duration,
        until: Duration,
    ) {
        let Some(explainer) = &mut self.explainer else { return };
        let silence = Reason::NoAnswer { syns: 0, waited: Duration::ZERO };
        if self.driver.wants_explanation(&Ok(Verdict::without_probe(silence))) {
            let surroundings = || self.engine.surroundings(id, remote, Some(local));
            explainer.begin((id, remote), surroundings, now, until);
        }
    }

    /// Reports how a target ended: at once, or when it has been explained.
    pub(super) fn report(&mut self, ended: Ended) {
        let (id, remote) = (ended.id, ended.remote);
        match &mut self.explainer {
            Some(explainer) if self.driver.wants_explanation(&ended.outcome) => {
                let local = ended.outcome.as_ref().ok().and_then(|verdict| verdict.local);
                let now = self.engine.now();
                let surroundings = || self.engine.surroundings(id, remote, local);
                explainer.conclude(ended, surroundings, now);
            }
            Some(explainer) => {
                explainer.cancel(remote);
                self.driver.ended(ended);
                self.inquire();
            }
            None => self.driver.ended(ended),
        }
    }

    /// Begins to explain targets that have ended, as the driver wants it.
    fn inquire(&mut self) {
        let Some(explainer) = &mut self.explainer else { return };
        while let Some(ended) = self.driver.poll_inquiry() {
            let now = self.engine.now();
            let local = ended.outcome.as_ref().ok().and_then(|verdict| verdict.local);
            let surroundings = self.engine.surroundings(ended.id, ended.remote, local);
            explainer.inquire(ended, surroundings, now);
        }
    }

    /// Reports the targets that have been explained.
    pub(super) fn report_explained(&mut self) {
        let Some(explainer) = &mut self.explainer else { return };
        explainer.forget_answers();
        while let Some((ended, explanation)) = explainer.poll_explained() {
            if let Some(explanation) = explanation {
                self.driver.explained(ended.remote, explanation);
            }
            self.driver.ended(ended);
        }
        while let Some((remote, explanation)) = explainer.poll_found() {
            self.driver.explained(remote, explanation);
        }
    }

    /// Returns true if a target waits for its explanation.
    pub(super) fn is_explaining(&self) -> bool {
        self.explainer.as_ref().is_some_and(|explainer| !explainer.is_idle())
    }

    /// Reports the targets that wait for their explanation, explained by what is known now.
    pub(super) fn stop_explaining(&mut self) {
        if let Some(explainer) = &mut self.explainer {
            explainer.stop(self.engine.now());
        }
        self.report_explained();
        self.driver.flush();
    }

    /// Sends questions as fast as the pacer allows. Returns when to call again.
    pub(super) fn ask_questions(&mut self) -> Option<Duration> {
        let explainer = self.explainer.as_mut()?;
        explainer.handle_timeout(self.engine.now());
        loop {
            let now = self.engine.now();
            let ready = self.pacer.ready_at(now);
            if ready > now {
                return Some(ready);
            }
            let Some(question) = explainer.poll_question() else { break };
            match self.engine.ask(&question) {
                Ok(asked) => {
                    self.pacer.sent(now);
                    self.pacer.answered(); // none is waited for
                    explainer.asked(question, asked.local, asked.at);
                    if let Some(local) = asked.local {
                        let segment = question.segment(local);
                        self.driver.on_packet(asked.at, &PacketEvent::Sent(segment));
                    }
                }
                Err(CannotAsk::ThisOne) => {}
                Err(CannotAsk::Kind(why)) => explainer.not_asked(question.kind, why, now),
            }
        }
        explainer.poll_timeout()
    }
}
