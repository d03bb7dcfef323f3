//! What the ends of checks say about targets, pools and this machine.

use std::time::Duration;

use halfopen::verdict::{NoVerdict, Outcome};

use super::Fleet;
use super::cross_checks::critical_time;
use super::health::{Change, Finding, State};
use super::isolation::Network;
use super::target::finding;
use crate::event::{EventKind, TargetView};

impl Fleet {
    /// Records how a check has ended, unless it was cancelled. It counts for its companions, too.
    pub fn ended(&mut self, id: u32, outcome: Outcome, now: Duration) {
        let target = self.targets.get(id as usize).and_then(Option::as_ref);
        let Some(endpoint) = target.and_then(|target| target.place.endpoint()) else { return };
        if !self.endpoints.is_checked_for(endpoint, id) {
            return;
        }
        self.capacity.release(self.engine(id));
        let companions = self.endpoints.take_companions(endpoint);
        let begun = self.target(id).timing.begun();
        let visits = self.visits.served(endpoint, begun);
        let answer = (!visits.is_empty()).then(|| outcome.clone());
        self.release(endpoint, id, now);
        for companion in companions {
            self.end(companion, outcome.clone(), now);
        }
        self.end(id, outcome, now);
        // Only now is it known what silence is worth.
        if let Some(outcome) = answer {
            self.answer_visits(visits, &outcome, self.target(id).health.is_in_doubt());
        }
    }

    fn end(&mut self, id: u32, outcome: Outcome, now: Duration) {
        match outcome {
            Err(NoVerdict::AlreadyPending) => {
                let timing = &mut self.target_mut(id).timing;
                timing.end(now);
                timing.postpone(timing.rested());
                self.wait(id);
            }
            // This program ends: nothing was found.
            Err(NoVerdict::Unfinished(_) | NoVerdict::NotProbed(_)) => {
                self.target_mut(id).timing.end(now);
            }
            outcome => self.conclude(id, outcome, now),
        }
    }

    /// Records the outcome for a target that was due.
    pub(super) fn conclude(&mut self, id: u32, outcome: Outcome, now: Duration) {
        let found = finding(&outcome);
        self.cross_checks.ended(id);
        let target = self.target_mut(id);
        target.timing.end(now);
        let endpoint = target.place.endpoint();
        if let (Ok(verdict), Some(endpoint)) = (&outcome, endpoint) {
            target.is_own = verdict.local.is_some_and(|local| local.ip() == endpoint.ip());
        }
        target.trouble = (found != Finding::Open).then(|| Box::new(outcome));
        let is_local = target.is_local();
        if let (Some(endpoint), Finding::Open | Finding::Refused) = (endpoint, found)
            && !is_local
        {
            self.cross_checks.heard(Network::of(endpoint.ip()), id);
        }
        self.observe(id, found, now);
        self.wait_as_found(id);
    }

    /// Records that the network has answered at `at`, whoever it was: it works.
    pub fn answered(&mut self, at: Duration) {
        if self.isolation.answered(at) {
            self.tell_all(EventKind::Released);
        }
    }

    /// Records what a check has found.
    pub(super) fn observe(&mut self, id: u32, found: Finding, now: Duration) {
        let found = if found == Finding::Silent { self.weigh_silence(id) } else { found };
        let before = self.advertised(id);
        let held = self.target(id).health.is_held().then(|| self.target_view(id, None));
        let target = self.targets[id as usize].as_mut().expect("a target");
        // A witness is as good if it refuses.
        let found = match found {
            Finding::Refused if target.is_witness => Finding::Open,
            found => found,
        };
        let rules = self.pools[target.pool as usize].settings.rules;
        let changes = target.health.observe(found, rules, now);
        let is_witness = target.is_witness;
        self.expect_or_not(id);
        match changes {
            _ if is_witness => {}
            [None, None] if self.advertised(id) != before => {
                self.tell(id, EventKind::FailOpen, None);
            }
            [Some(Change::Released), Some(change)] => {
                // In this order, because the newest event matters most; each as things were then.
                let pool = Some(self.view(self.target(id).pool));
                let held = held.map(|view| TargetView { is_held: false, ..view });
                self.push(EventKind::Released, pool, held);
                self.apply(id, change, now);
            }
            changes => {
                changes.into_iter().flatten().for_each(|change| self.apply(id, change, now));
            }
        }
        if found == Finding::Unproven && self.isolation.begins(now) {
            self.tell_all(EventKind::Isolated);
        }
    }

    /// Returns what the silence of a target is worth: nothing if it may be that of this machine's
    /// own network.
    fn weigh_silence(&mut self, id: u32) -> Finding {
        let target = self.target(id);
        if target.is_local() {
            return Finding::Silent;
        }
        let settings = &self.pools[target.pool as usize].settings;
        let (begun, holds) = (target.timing.begun(), settings.holds_if_isolated);
        let critical = critical_time(settings.schedule, begun);
        let is_proof =
            self.isolation.silence_is_proof(begun, &critical, target.health.is_at_stake());
        if is_proof || !holds { Finding::Silent } else { Finding::Unproven }
    }

    fn apply(&mut self, id: u32, change: Change, now: Duration) {
        match change {
            Change::Held => self.tell(id, EventKind::Held, None),
            Change::Released => self.tell(id, EventKind::Released, None),
            Change::State(from, count) => {
                let target = self.target(id);
                let (to, pool) = (target.health.state(), target.pool);
                self.pools[pool as usize].count_change(from, to);
                let kind = match to {
                    State::Up => EventKind::Up,
                    State::Down => EventKind::Down,
                    State::Unknown => EventKind::Unknown,
                };
                let switches = self.update_fail_open(pool, now);
                self.tell(id, kind, Some((from, count)));
                if switches {
                    self.tell_fail_open(pool, id);
                }
            }
        }
    }

    /// Counts a target among those that are expected to answer, if it should.
    pub(super) fn expect_or_not(&mut self, id: u32) {
        let target = self.target(id);
        let expected = target.health.state() != State::Down && !target.is_local();
        if expected != target.is_expected && target.place.endpoint().is_some() {
            self.set_expected(id, expected);
        }
    }

    /// Counts a target that has an endpoint among those that are expected to answer, or no more.
    /// Endpoints count once, however many targets have them.
    pub(super) fn set_expected(&mut self, id: u32, expected: bool) {
        self.target_mut(id).is_expected = expected;
        let endpoint = self.endpoint_of(id).expect("an endpoint");
        let is_expected = |other| other != id && self.target(other).is_expected;
        if !self.targets_at(endpoint).any(is_expected) {
            self.isolation.expect(endpoint.ip(), expected);
        }
    }
}
