//! The driver of the loop: takes checks from the fleet, tells it how they end, and passes its
//! events on.

use std::iter;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use halfopen::checker::Ended;
use halfopen::engine::Interrupt;
use halfopen::event::Event;
use halfopen::event_loop::{Driver, Next, PacketEvent};
use halfopen::explain::Explanation;
use halfopen::non_blocking_writer::Output;
use halfopen::schedule::Schedule;

use crate::answers::is_from_the_network;
use crate::causes::Causes;
use crate::egress;
use crate::event::EventKind;
use crate::faults::Faults;
use crate::fleet::{Check, Fleet, Wanted, is_visit};
use crate::hooks;
use crate::http::Requests;
use crate::inventory::Inventory;
use crate::lag::Lags;
use crate::live::Cause;
use crate::log::Log;
use crate::notify::Supervisor;
use crate::outputs::Outputs;
use crate::signals::{Request, Signals};
use crate::slots::Slots;
use crate::snapshot::Snapshot;
use crate::visitors::{self, Visitors};

/// The time between two parts of a long job, such as a snapshot.
const TURN: Duration = Duration::from_millis(1);

/// The resident checker.
pub struct Daemon<'a, O, L> {
    fleet: Fleet,
    outputs: Outputs<O>,
    http: Requests,
    supervisor: Supervisor,
    log: &'a mut Log<L>,
    faults: Faults,
    causes: Causes,
    inventory: Inventory,
    snapshot: Snapshot,
    visitors: Visitors,
    signals: &'a Signals,
    slots: Slots,
    /// The newest time that the loop has given.
    now: Duration,
}

impl<'a, O: Output, L: Output> Daemon<'a, O, L> {
    /// Creates the driver of checks of this fleet, which has the targets of that inventory.
    pub fn new(
        (fleet, inventory): (Fleet, Inventory),
        outputs: Outputs<O>,
        http: Requests,
        supervisor: Supervisor,
        log: &'a mut Log<L>,
        signals: &'a Signals,
    ) -> Self {
        let (slots, snapshot, now) = (Slots::default(), Snapshot::default(), Duration::ZERO);
        let (faults, causes) = Default::default();
        let visitors = Visitors::new(Arc::clone(&http.desk));
        let mut daemon = Self {
            fleet,
            outputs,
            http,
            supervisor,
            log,
            faults,
            causes,
            inventory,
            snapshot,
            visitors,
            signals,
            slots,
            now,
        };
        daemon.accept_visits();
        daemon
    }

    /// Returns how late checks began so far.
    pub fn lags(&self) -> &Lags {
        self.slots.lags()
    }

    /// Waits for hooks under way, until another signal comes.
    pub fn finish(mut self) {
        self.outputs.hooks.finish(self.signals);
        self.outputs.serve_hooks(self.log);
    }

    fn pass_on_events(&mut self) {
        if self.outputs.ready_in() == Some(Duration::ZERO) {
            self.snapshot.tell_some(&mut self.fleet);
        }
        while let Some((id, outcome)) = self.fleet.poll_unprobed() {
            self.outputs.count(id, &outcome, self.now);
        }
        while let Some(event) = self.fleet.poll_event() {
            if let Some(line) = self.faults.line(&event, self.now) {
                self.log.warn(&line);
            }
            if let (EventKind::Removed, Some(target)) = (event.kind, &event.target) {
                self.causes.forget(target.id);
            }
            self.outputs.tell(event);
        }
        if self.outputs.flush() {
            self.snapshot.start();
        }
        if let Some(line) = self.outputs.journal.poll_line(self.now) {
            self.log.warn(&line);
        }
        self.log.flush();
    }

    fn reload(&mut self) {
        self.supervisor.reloading();
        self.inventory.reload();
    }

    /// Makes the targets what the configuration and the name service say.
    fn update_targets(&mut self, now: Duration) {
        self.inventory.work(&mut self.fleet, now);
        if self.inventory.take_new_pools() {
            self.outputs.hooks.add_commands(hooks::commands(self.inventory.pools()));
        }
        if self.inventory.take_snapshot_wish() {
            self.pass_on_events(); // also those of pools that are gone
            self.outputs.hooks.set_commands(hooks::commands(self.inventory.pools()));
            self.outputs.board.show(self.inventory.pools());
            self.snapshot.start();
        }
        while let Some(report) = self.inventory.poll_report() {
            self.http.in_force.set(self.inventory.text());
            self.accept_visits();
            self.http.reloads.ended(&report);
            self.outputs.end_reload(report.is_ok());
            let (Ok(text) | Err(text)) = &report;
            self.supervisor.ready(text);
            match report {
                Ok(done) => self.log.info(&done),
                Err(failed) => self.log.warn(&failed),
            }
        }
    }

    /// Lets visitors have checked what the configuration allows.
    fn accept_visits(&mut self) {
        self.http.probes.set_terms(self.inventory.terms());
    }

    /// Returns when the loop has to wake even if no check is due.
    fn poll_timeout(&self) -> Option<Duration> {
        let tells = self.outputs.ready_in().filter(|_| self.snapshot.is_under_way());
        let times = [
            self.outputs.board.poll_timeout(self.now),
            self.outputs.poll_timeout(),
            self.supervisor.poll_timeout(),
            self.inventory.poll_timeout(),
            tells.map(|pause| self.now + pause),
        ];
        times.into_iter().flatten().map(|at| at.max(self.now + TURN)).min()
    }
}

impl<O: Output, L: Output> Driver for Daemon<'_, O, L> {
    fn next(&mut self, now: Duration) -> Next {
        self.now = now;
        if let Some(end) = self.slots.closed_until(now) {
            return visitors::next(&mut self.fleet, now, Some(end));
        }
        let wake = match self.fleet.next(now) {
            Wanted::Check(Check { id, endpoint, engine, due }) => {
                self.slots.admit(due);
                return Next::Target(egress::id_with_engine(id, engine), endpoint);
            }
            Wanted::At(time) => Some(time),
            Wanted::Nothing => None,
        };
        let wake = wake.into_iter().chain(self.poll_timeout()).min();
        let wake = wake.map(|wake| self.slots.close(now, wake));
        visitors::next(&mut self.fleet, now, wake)
    }

    fn poll_unwanted(&mut self) -> Option<SocketAddr> {
        self.fleet.poll_unwanted()
    }

    fn schedule(&mut self, id: u32, now: Duration) -> Schedule {
        let id = egress::target_of(id);
        if is_visit(id) {
            return self.fleet.visit_schedule(id);
        }
        self.slots.begin(now);
        self.fleet.schedule(id, now)
    }

    fn ended(&mut self, ended: Ended) {
        let id = egress::target_of(ended.id);
        if is_visit(id) {
            return self.fleet.visit_ended(id, ended.outcome, self.now);
        }
        let companions = self.fleet.companions(id);
        for companion in &companions {
            self.outputs.count_companion(*companion, &ended.outcome, self.now);
        }
        self.outputs.count(id, &ended.outcome, self.now);
        self.fleet.ended(id, ended.outcome.clone(), self.now);
        for id in iter::once(id).chain(companions) {
            self.causes.ended(id, &ended, self.fleet.is_surely_down(id));
        }
    }

    fn poll_inquiry(&mut self) -> Option<Ended> {
        self.causes.poll()
    }

    fn explained(&mut self, remote: SocketAddr, explanation: Explanation) {
        let Some((id, found)) = self.causes.explained(remote) else { return };
        if self.fleet.is_surely_down(id) {
            self.outputs.explain(Cause { id, remote, found, explanation });
        } else {
            self.causes.forget(id);
        }
    }

    fn flush(&mut self) {
        self.visitors.answer(&mut self.fleet);
        self.pass_on_events();
    }

    fn on_packet(&mut self, at: Duration, packet: &PacketEvent) {
        match packet {
            PacketEvent::Received(Event::SegmentsLost(count), _) => {
                self.outputs.answers_lost += u64::from(*count);
            }
            PacketEvent::Received(event, Ok(())) if is_from_the_network(event) => {
                self.fleet.answered(at);
            }
            _ => {}
        }
    }

    fn interrupts(&self) -> Vec<Interrupt<'_>> {
        let outputs = [self.outputs.journal.backlog(), self.log.backlog()];
        let outputs = outputs.into_iter().flatten().map(Interrupt::Writable);
        let Requests { reloads, notices, .. } = &self.http;
        let requests =
            [self.signals.as_fd(), reloads.as_fd(), notices.as_fd(), self.visitors.as_fd()];
        let requests = requests.map(Interrupt::Readable);
        let inputs = requests.into_iter().chain(self.inventory.interrupts());
        outputs.chain(self.outputs.hooks.interrupts()).chain(inputs).collect()
    }

    fn handle_interrupts(&mut self, now: Duration) -> ControlFlow<()> {
        self.now = now;
        self.supervisor.turn(now);
        let delayed = self.fleet.delayed();
        self.outputs.publish_program(self.slots.lags(), delayed, now);
        if let Some(line) = self.faults.delayed(delayed, now) {
            self.log.warn(&line);
        }
        self.outputs.serve_hooks(self.log);
        if self.http.reloads.take() {
            self.http.reloads.wait(self.inventory.is_reloading());
            self.reload();
        }
        for line in self.http.notices.take() {
            self.log.warn(&line);
        }
        match self.signals.take() {
            Some(Request::Stop) => {
                self.supervisor.stopping();
                return ControlFlow::Break(());
            }
            Some(Request::Reload) => self.reload(),
            None => {}
        }
        self.update_targets(now);
        self.visitors.serve(&mut self.fleet, now);
        ControlFlow::Continue(())
    }
}
