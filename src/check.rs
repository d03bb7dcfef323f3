//! A check, from the plan to the report.

mod names;

use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rand::TryRng;
use rand::rngs::SysRng;

use crate::alternatives::Alternatives;
use crate::checker::{Checker, Ended};
use crate::engine::{Interrupt, OpenEngine};
use crate::event_loop::{Driver, Next, PacketEvent, run};
use crate::local_error::{LocalError, SendError};
use crate::non_blocking_writer::Output;
use crate::pacer::Pacer;
use crate::plan::{Format, Plan, PlanError, last_call};
use crate::probe::Secret;
use crate::report::progress::Progress;
use crate::report::{Finding, Report, json};
use crate::resolve::Lookups;
use crate::schedule::Schedule;
use crate::signals::Signals;
use crate::target_set::TargetSet;
use crate::verdict::{EndOfRun, LookupFailure, NoVerdict, Outcome, Reason, Verdict};

/// How much later than the deadline the last verdict may come, for delays on this machine.
const GRACE: Duration = Duration::from_millis(25);

/// Packets kept to be shown: more than anybody reads. A flood has millions.
const PACKETS: usize = 100_000;

/// Targets left at the end that are told of one by one; the rest are counted. An end that was asked
/// for, or is due, does not wait until the addresses of a large block are written down.
const LISTED: usize = 100_000;

/// Lines that are kept before they are written, bytes.
const CHUNK: usize = 1 << 16;

/// While more than that waits for the reader of the output, bytes, no target begins: each has a
/// line to come.
const BACKLOG: usize = 1 << 20;

/// Carries out `plan` by `engine`, if there is one, in a program that began at `start`, until a
/// signal comes. What can be said before the end goes to `out` at once, and how far it is to
/// `progress`. Fails where the plan cannot be carried out as it stands.
pub fn check(
    mut plan: Plan,
    engine: Result<&mut OpenEngine, LocalError>,
    signals: &Signals,
    start: Instant,
    out: &mut dyn Output,
    progress: Option<Progress>,
) -> Result<Report, PlanError> {
    plan.verify()?;
    let total = plan.total();
    let target_set = TargetSet::new(mem::take(&mut plan.targets)).map_err(PlanError::Interface)?;
    let report = Report::new(plan, total);
    let progress = progress.filter(|_| report.is_pool());
    let mut session = Session {
        target_set,
        report,
        retries: 0,
        alternatives: Alternatives::default(),
        unwanted: Vec::new(),
        lookups: None,
        unasked: Vec::new(),
        barred: [None, None],
        listed: 0,
        signals,
        lines: Vec::new(),
        out,
        progress,
    };
    if let Err(error) = engine.and_then(|engine| session.probe(engine)) {
        session.fail(&error);
    }
    session.flush();
    session.report.findings.sort_by_key(|f| (f.id, f.address, f.port));
    session.report.elapsed = start.elapsed();
    Ok(session.report)
}

/// The client of the loop: knows the targets by name and keeps the report.
struct Session<'a> {
    target_set: TargetSet,
    report: Report,
    /// As many as the engine was opened for.
    retries: u8,
    /// Names with several addresses.
    alternatives: Alternatives,
    /// Endpoints that are pending and need not be.
    unwanted: Vec<SocketAddr>,
    lookups: Option<Lookups>,
    /// Names that were never looked up, or that this machine was short of something for.
    unasked: Vec<(u32, Option<LocalError>)>,
    /// Why IPv4 and IPv6 addresses are of no use.
    barred: [Option<LocalError>; 2],
    /// Targets left at the end that were told of.
    listed: usize,
    signals: &'a Signals,
    /// Lines of JSON that are to be written.
    lines: Vec<u8>,
    out: &'a mut dyn Output,
    progress: Option<Progress>,
}

impl Session<'_> {
    fn probe(&mut self, engine: &mut OpenEngine) -> Result<(), LocalError> {
        let plan = &self.report.plan;
        let (v4, v6) = self.target_set.families(plan.family);
        engine.check_families(v4, v6)?;
        self.barred = [(true, false), (false, true)]
            .map(|(v4, v6)| engine.check_families(v4, v6).err().filter(LocalError::bars_family));
        let window = if self.report.is_pool() { engine.enable_batching() } else { usize::MAX };
        let mut pacer = Pacer::new(plan.rate, window);
        self.retries = engine.retries();
        let schedule = Schedule::fit(self.retries, plan.timeout);
        let mut checker = Checker::new(secret()?, schedule.attempts());
        let deadline = plan.timeout + GRACE;
        self.report.engine = Some(engine.name());
        self.report.schedule = Some(schedule);
        let names = self.target_set.names_to_resolve();
        if !names.is_empty() {
            let lookups = Lookups::start(names, plan.family);
            self.lookups = Some(lookups?);
        }
        run(&mut checker, engine.as_engine(), &mut pacer, self, Some(deadline))?;
        self.report.discarded = checker.discarded().clone();
        self.report.lost = checker.lost();
        self.report.postponed = checker.postponed();
        let interrupted = self.report.interrupted;
        self.close_lookups();
        self.take_in_names();
        let end = if interrupted { EndOfRun::Interrupted } else { EndOfRun::OutOfTime };
        let unprobed = NoVerdict::NotProbed(end);
        for id in self.target_set.take_unresolved() {
            let timed_out = Reason::NameNotResolved(LookupFailure::TimedOut);
            let outcome = Ok(Verdict::without_probe(timed_out));
            let outcome = if interrupted { Err(unprobed.clone()) } else { outcome };
            self.found_all_ports(id, &outcome);
        }
        self.end_rest(&unprobed);
        Ok(())
    }

    /// Nothing can be learnt of any target that is left.
    fn fail(&mut self, error: &LocalError) {
        self.report.error = Some(error.clone());
        if self.report.is_pool() && self.report.plan.format != Format::Json {
            return; // the fault is all there is to say
        }
        for id in self.target_set.take_unresolved() {
            self.found_all_ports(id, &Err(error.clone().into()));
        }
        self.end_rest(&error.clone().into());
    }

    /// Ends the targets that are left, of which nothing was learnt for the reason `unprobed`.
    fn end_rest(&mut self, unprobed: &NoVerdict) {
        while let Some((id, ending)) = self.alternatives.give_up(unprobed, &self.report.plan.policy)
        {
            self.end_alternatives(id, ending);
        }
        for (id, error) in mem::take(&mut self.unasked) {
            self.found_all_ports(id, &Err(error.map_or_else(|| unprobed.clone(), NoVerdict::from)));
        }
        if self.report.is_pool() && self.report.plan.format != Format::Json {
            return; // they are counted
        }
        while self.listed < LISTED
            && let Some((_, remote)) = self.target_set.poll_endpoint()
        {
            let outcome = Err(unprobed.clone());
            for id in self.target_set.end(remote, &outcome) {
                self.listed += 1;
                self.found(id, remote.port(), Some(remote), outcome.clone(), Vec::new());
            }
            if self.lines.len() >= CHUNK {
                self.flush();
            }
        }
    }

    fn found_all_ports(&mut self, id: u32, outcome: &Outcome) {
        for port in self.target_set.target(id).ports.iter() {
            if outcome.is_err() && self.listed >= LISTED {
                return;
            }
            self.listed += usize::from(outcome.is_err());
            self.found(id, port, None, outcome.clone(), Vec::new());
        }
    }

    fn found(
        &mut self,
        id: u32,
        port: u16,
        endpoint: Option<SocketAddr>,
        outcome: Outcome,
        others: Vec<(IpAddr, Option<Outcome>)>,
    ) {
        let judgement = self.report.plan.policy.judge(&outcome);
        let probed = !matches!(outcome, Err(NoVerdict::NotProbed(_)));
        let wanted = if probed || !self.report.is_pool() {
            self.report.count(&outcome, judgement.status)
        } else {
            self.report.plan.format == Format::Json
        };
        if !wanted {
            return;
        }
        let target = self.target_set.target(id).label(port, endpoint);
        let address = endpoint.map(|endpoint| endpoint.ip());
        let finding = Finding { id, target, address, port, outcome, judgement, others };
        if self.report.plan.format == Format::Json {
            let engine = self.report.engine.filter(|_| probed);
            // Writing to memory does not fail.
            let _ = json::render_finding(&finding, engine, &mut self.lines);
        }
        if self.report.plan.format != Format::Json || self.report.plan.verbosity > 0 {
            self.report.findings.push(finding);
        }
    }
}

impl Driver for Session<'_> {
    fn next(&mut self, now: Duration) -> Next {
        // An answer to a later SYN still counts; for a pool, the time that is left belongs to the
        // answers to earlier ones.
        let in_time = now <= last_call(self.report.plan.timeout) || !self.report.is_pool();
        if in_time && self.out.backlog().is_some_and(|(bytes, _)| bytes > BACKLOG) {
            return Next::Later;
        }
        match in_time.then(|| self.target_set.poll_endpoint()).flatten() {
            Some((id, remote)) => Next::Target(id, remote),
            None if self.lookups.is_some() => Next::Later,
            None => Next::Nothing,
        }
    }

    fn schedule(&self, now: Duration) -> Schedule {
        let timeout = self.report.plan.timeout;
        // Neither the pacer nor a late name may cut the waits short: silence that was not heard out
        // is no verdict.
        let begun = now.min(last_call(timeout)) + self.report.telling();
        Schedule::fit(self.retries, timeout.saturating_sub(begun))
    }

    fn ended(&mut self, ended: Ended) {
        let Ended { remote, outcome, .. } = ended;
        for id in self.target_set.end(remote, &outcome) {
            self.conclude(id, remote, outcome.clone());
        }
    }

    fn on_send_error(&mut self, remote: SocketAddr, error: &SendError) {
        if let SendError::NoRoute(cause) = error {
            self.pass_over(remote, *cause);
        }
    }

    fn poll_unwanted(&mut self) -> Option<SocketAddr> {
        self.unwanted.pop()
    }

    fn flush(&mut self) {
        // Whether anybody reads them does not change a verdict.
        let _ = self.out.write_all(&self.lines).and_then(|()| self.out.flush());
        self.lines.clear();
    }

    fn on_packet(&mut self, at: Duration, packet: &PacketEvent) {
        if let Some(remote) = packet.syn_to() {
            for id in self.target_set.waiting_for(remote) {
                self.alternatives.sent(id, remote);
            }
        }
        if self.report.plan.verbosity < 2 {
            return;
        }
        if self.report.packets.len() < PACKETS {
            self.report.packets.push((at, *packet));
        } else {
            self.report.more_packets += 1;
        }
    }

    fn interrupts(&self) -> Vec<Interrupt<'_>> {
        let lookups = self.lookups.iter().map(|lookups| Interrupt::Readable(lookups.as_fd()));
        let output = self.out.backlog().map(|(_, output)| Interrupt::Writable(output));
        lookups.chain(output).chain([Interrupt::Readable(self.signals.as_fd())]).collect()
    }

    fn handle_interrupts(&mut self, now: Duration) -> ControlFlow<()> {
        if self.lookups.is_some() {
            if now > last_call(self.report.plan.timeout) {
                self.close_lookups();
            }
            self.take_in_names();
        }
        if let Some(progress) = &mut self.progress {
            progress.advance(self.report.tally.targets(), self.report.total, now);
        }
        self.report.interrupted |= self.signals.take();
        if self.report.interrupted { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

fn secret() -> Result<Secret, LocalError> {
    let mut key = [0; 16];
    SysRng.try_fill_bytes(&mut key).map_err(|_| LocalError::Random)?;
    Ok(Secret::new(key))
}
