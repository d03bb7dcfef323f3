//! A check, from the plan to the report.

mod names;

use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rand::TryRng;
use rand::rngs::SysRng;

use crate::alternatives::Alternatives;
use crate::checker::{Checker, Ended};
use crate::engine::{Engine, Interrupt};
use crate::fault::{Fault, Refusal, last_call};
use crate::outlet::Output;
use crate::pacer::Pacer;
use crate::plan::{Format, Plan};
use crate::probe::Secret;
use crate::report::progress::Progress;
use crate::report::{Finding, Report, json};
use crate::resolve::Lookups;
use crate::roster::Roster;
use crate::run::{Client, Crossing, Next, run};
use crate::schedule::Schedule;
use crate::signals::Signals;
use crate::target::Target;
use crate::verdict::{LookupFailure, Outcome, Reason, Verdict};

/// How much later than the deadline the last verdict may come, for delays on this machine.
const GRACE: Duration = Duration::from_millis(25);

/// Packets kept to be shown: more than anybody reads. A flood has millions.
const CROSSINGS: usize = 100_000;

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
    engine: Result<&mut dyn Engine, Fault>,
    signals: &Signals,
    start: Instant,
    out: &mut dyn Output,
    progress: Option<Progress>,
) -> Result<Report, Fault> {
    let targets = mem::take(&mut plan.targets);
    let total = targets.iter().map(Target::count).fold(0, u128::saturating_add);
    let least = total.saturating_sub(1).saturating_mul(1000).checked_div(plan.rate.into());
    if total > 1 && least.is_some_and(|least| least >= last_call(plan.timeout).as_millis()) {
        let (rate, timeout) = (plan.rate, plan.timeout);
        return Err(Fault::TooManyTargets { targets: total, rate, timeout });
    }
    let roster = Roster::new(targets, plan.family)?;
    let report = Report::new(plan, total);
    let progress = progress.filter(|_| report.is_pool());
    let mut session = Session {
        roster,
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
    if let Err(fault) = engine.and_then(|engine| session.probe(engine)) {
        session.fail(&fault);
    }
    session.told();
    session.report.findings.sort_by_key(|f| (f.place, f.address, f.port));
    session.report.elapsed = start.elapsed();
    Ok(session.report)
}

/// The client of the loop: knows the targets by name and keeps the report.
struct Session<'a> {
    roster: Roster,
    report: Report,
    /// As many as the engine was opened for.
    retries: u8,
    /// Names with several addresses.
    alternatives: Alternatives,
    /// Endpoints that are pending and need not be.
    unwanted: Vec<SocketAddr>,
    lookups: Option<Lookups>,
    /// Names that were never looked up, or that this machine was short of something for.
    unasked: Vec<(u32, Option<Fault>)>,
    /// Why IPv4 and IPv6 addresses are of no use.
    barred: [Option<Fault>; 2],
    /// Targets left at the end that were told of.
    listed: usize,
    signals: &'a Signals,
    /// Lines of JSON that are to be written.
    lines: Vec<u8>,
    out: &'a mut dyn Output,
    progress: Option<Progress>,
}

impl Session<'_> {
    fn probe(&mut self, engine: &mut dyn Engine) -> Result<(), Fault> {
        let plan = &self.report.plan;
        let (v4, v6) = self.roster.families(plan.family);
        engine.ready(v4, v6)?;
        self.barred = [(true, false), (false, true)]
            .map(|(v4, v6)| engine.ready(v4, v6).err().filter(Fault::bars_family));
        let window = if self.report.is_pool() { engine.widen() } else { usize::MAX };
        let mut pacer = Pacer::new(plan.rate, window);
        self.retries = engine.retries();
        let schedule = Schedule::fit(self.retries, plan.timeout);
        let mut checker = Checker::new(secret()?, schedule.tries());
        let deadline = plan.timeout + GRACE;
        self.report.engine = Some(engine.name());
        self.report.schedule = Some(schedule);
        let names = self.roster.names();
        if !names.is_empty() {
            let lookups = Lookups::start(names, plan.family);
            self.lookups = Some(lookups?);
        }
        run(&mut checker, engine, &mut pacer, self, deadline)?;
        self.report.ignored = checker.ignored().clone();
        self.report.lost = checker.lost();
        self.report.postponed = checker.postponed();
        let interrupted = self.report.interrupted;
        self.close_lookups();
        self.take_in_names();
        let cause = if interrupted { Fault::Interrupted } else { Fault::OutOfTime };
        let unprobed = cause.before_the_first_syn();
        for place in self.roster.take_unresolved() {
            let timed_out = Reason::NameNotResolved(LookupFailure::TimedOut);
            let outcome = Ok(Verdict::without_probe(timed_out));
            let outcome = if interrupted { Err(unprobed.clone()) } else { outcome };
            self.found_all_ports(place, &outcome);
        }
        self.end_rest(&unprobed);
        Ok(())
    }

    /// Nothing can be learnt of any target that is left.
    fn fail(&mut self, fault: &Fault) {
        self.report.fault = Some(fault.clone());
        if self.report.is_pool() && self.report.plan.format != Format::Json {
            return; // the fault is all there is to say
        }
        for place in self.roster.take_unresolved() {
            self.found_all_ports(place, &Err(fault.clone()));
        }
        self.end_rest(fault);
    }

    /// Ends the targets that are left, of which nothing was learnt for the reason `unprobed`.
    fn end_rest(&mut self, unprobed: &Fault) {
        while let Some((place, ending)) =
            self.alternatives.give_up(unprobed, &self.report.plan.policy)
        {
            self.end_alternatives(place, ending);
        }
        for (place, fault) in mem::take(&mut self.unasked) {
            self.found_all_ports(place, &Err(fault.unwrap_or_else(|| unprobed.clone())));
        }
        if self.report.is_pool() && self.report.plan.format != Format::Json {
            return; // they are counted
        }
        while self.listed < LISTED
            && let Some((_, remote)) = self.roster.poll()
        {
            let outcome = Err(unprobed.clone());
            for place in self.roster.named(remote, &outcome) {
                self.listed += 1;
                self.found(place, remote.port(), Some(remote), outcome.clone(), Vec::new());
            }
            if self.lines.len() >= CHUNK {
                self.told();
            }
        }
    }

    fn found_all_ports(&mut self, place: u32, outcome: &Outcome) {
        for port in self.roster.target(place).ports.iter() {
            if outcome.is_err() && self.listed >= LISTED {
                return;
            }
            self.listed += usize::from(outcome.is_err());
            self.found(place, port, None, outcome.clone(), Vec::new());
        }
    }

    fn found(
        &mut self,
        place: u32,
        port: u16,
        endpoint: Option<SocketAddr>,
        outcome: Outcome,
        others: Vec<(IpAddr, Option<Outcome>)>,
    ) {
        let judgement = self.report.plan.policy.judge(&outcome);
        let probed = !matches!(outcome, Err(Fault::NotProbed { .. }));
        let wanted = if probed || !self.report.is_pool() {
            self.report.count(&outcome, judgement.status)
        } else {
            self.report.plan.format == Format::Json
        };
        if !wanted {
            return;
        }
        let target = self.roster.target(place).label(port, endpoint);
        let address = endpoint.map(|endpoint| endpoint.ip());
        let finding = Finding { place, target, address, port, outcome, judgement, others };
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

impl Client for Session<'_> {
    fn next(&mut self, now: Duration) -> Next {
        // An answer to a later SYN still counts; for a pool, the time that is left belongs to the
        // answers to earlier ones.
        let in_time = now <= last_call(self.report.plan.timeout) || !self.report.is_pool();
        if in_time && self.out.backlog().is_some_and(|(bytes, _)| bytes > BACKLOG) {
            return Next::Later;
        }
        match in_time.then(|| self.roster.poll()).flatten() {
            Some((place, remote)) => Next::Target(place, remote),
            None if self.lookups.is_some() => Next::Later,
            None => Next::Nothing,
        }
    }

    fn schedule(&self, now: Duration) -> Schedule {
        let timeout = self.report.plan.timeout;
        // Neither the pacer nor a late name may cut the waits short: silence that was not heard out is no verdict.
        let begun = now.min(last_call(timeout)) + self.report.telling();
        Schedule::fit(self.retries, timeout.saturating_sub(begun))
    }

    fn ended(&mut self, ended: Ended) {
        let Ended { remote, outcome, .. } = ended;
        for place in self.roster.named(remote, &outcome) {
            self.conclude(place, remote, outcome.clone());
        }
    }

    fn refused(&mut self, remote: SocketAddr, refusal: &Refusal) {
        if let Refusal::NoRoute(cause) = refusal {
            self.pass_over(remote, *cause);
        }
    }

    fn poll_unwanted(&mut self) -> Option<SocketAddr> {
        self.unwanted.pop()
    }

    fn told(&mut self) {
        // Whether anybody reads them does not change a verdict.
        let _ = self.out.write_all(&self.lines).and_then(|()| self.out.flush());
        self.lines.clear();
    }

    fn crossed(&mut self, at: Duration, crossing: &Crossing) {
        if let Some(remote) = crossing.syn_to() {
            for place in self.roster.waiting(remote) {
                self.alternatives.sent(place, remote);
            }
        }
        if self.report.plan.verbosity < 2 {
            return;
        }
        if self.report.crossings.len() < CROSSINGS {
            self.report.crossings.push((at, *crossing));
        } else {
            self.report.more_crossings += 1;
        }
    }

    fn interrupts(&self) -> Vec<Interrupt<'_>> {
        let lookups = self.lookups.iter().map(|lookups| Interrupt::Readable(lookups.as_fd()));
        let output = self.out.backlog().map(|(_, output)| Interrupt::Writable(output));
        lookups.chain(output).chain([Interrupt::Readable(self.signals.as_fd())]).collect()
    }

    fn attend(&mut self, now: Duration) -> bool {
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
        self.report.interrupted
    }
}

fn secret() -> Result<Secret, Fault> {
    let mut key = [0; 16];
    SysRng.try_fill_bytes(&mut key).map_err(|_| Fault::Random)?;
    Ok(Secret::new(key))
}
