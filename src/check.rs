//! A check, from the plan to the report.

use std::io::Write;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rand::TryRng;
use rand::rngs::SysRng;

use crate::checker::{Checker, Ended};
use crate::engine::Engine;
use crate::fault::{Fault, last_call};
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

/// How much later than the deadline the last verdict may fall, for delays on this machine.
const GRACE: Duration = Duration::from_millis(25);

/// Packets kept to be shown: more than anybody reads. A flood has millions.
const CROSSINGS: usize = 100_000;

/// Endpoints of which it is said that a fault of this machine kept them unknown; the rest are counted.
const TOLD_OF_FAULT: usize = 500;

/// Carries out `plan` by `engine`, if there is one, in a program that began at `start`, until a signal comes. What can be said before the end goes to
/// `out` as it falls, and how far it is to `progress`. Fails where the plan cannot be carried out as it stands.
pub fn check(
    mut plan: Plan,
    engine: Result<&mut dyn Engine, Fault>,
    signals: &Signals,
    start: Instant,
    out: &mut dyn Write,
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
        lookups: None,
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
    /// As many as the engine has source ports for.
    retries: u8,
    lookups: Option<Lookups>,
    signals: &'a Signals,
    /// Lines of JSON that are to be written.
    lines: Vec<u8>,
    out: &'a mut dyn Write,
    progress: Option<Progress>,
}

impl Session<'_> {
    fn probe(&mut self, engine: &mut dyn Engine) -> Result<(), Fault> {
        let plan = &self.report.plan;
        let (v4, v6) = self.roster.families(plan.family);
        engine.ready(v4, v6)?;
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
        for place in self.roster.take_unresolved() {
            let outcome = if self.report.interrupted {
                Err(Fault::Interrupted)
            } else {
                Ok(Verdict::without_probe(Reason::NameNotResolved(LookupFailure::TimedOut)))
            };
            self.found_all_ports(place, &outcome);
        }
        if !self.report.is_pool()
            && let Some((place, remote)) = self.roster.poll()
        {
            let interrupted = self.report.interrupted;
            let fault = if interrupted { Fault::Interrupted } else { Fault::OutOfTime };
            self.found(place, remote.port(), Some(remote), Err(fault));
        }
        Ok(())
    }

    /// Nothing can be learnt of any target that is left.
    fn fail(&mut self, fault: &Fault) {
        self.report.fault = Some(fault.clone());
        if self.report.is_pool() && self.report.plan.format != Format::Json {
            return; // the fault is all there is to say
        }
        for _ in 0..TOLD_OF_FAULT {
            let Some((place, remote)) = self.roster.poll() else { break };
            self.found(place, remote.port(), Some(remote), Err(fault.clone()));
        }
        for place in self.roster.take_unresolved() {
            self.found_all_ports(place, &Err(fault.clone()));
        }
    }

    fn found_all_ports(&mut self, place: u32, outcome: &Outcome) {
        for port in self.roster.target(place).ports.iter() {
            self.found(place, port, None, outcome.clone());
        }
    }

    fn found(&mut self, place: u32, port: u16, endpoint: Option<SocketAddr>, outcome: Outcome) {
        if self.report.is_pool() && outcome == Err(Fault::Interrupted) {
            return; // as good as not probed
        }
        let judgement = self.report.plan.policy.judge(&outcome);
        if !self.report.count(&outcome, judgement.status) {
            return;
        }
        let target = self.roster.target(place).label(port, endpoint);
        let address = endpoint.map(|endpoint| endpoint.ip());
        let finding = Finding { place, target, address, port, outcome, judgement };
        if self.report.plan.format == Format::Json {
            // Writing to memory does not fail.
            let _ = json::render_finding(&finding, self.report.engine, &mut self.lines);
        }
        if self.report.plan.format != Format::Json || self.report.plan.verbosity > 0 {
            self.report.findings.push(finding);
        }
    }

    /// Takes in what the name service has said since.
    fn take_in_names(&mut self) {
        while let Some((place, addresses)) = self.lookups.as_mut().and_then(Lookups::poll) {
            let first = addresses.as_ref().ok().and_then(|addresses| addresses.first());
            for (endpoint, outcome) in self.roster.resolve(place, first.copied()) {
                self.found(place, endpoint.port(), Some(endpoint), outcome);
            }
            match addresses {
                Ok(addresses) => {
                    let name = self.roster.target(place).hosts.to_string();
                    self.report.addresses.push((name, addresses));
                }
                Err(outcome) => self.found_all_ports(place, &outcome),
            }
        }
        if self.roster.is_resolved() {
            self.lookups = None;
        }
    }
}

impl Client for Session<'_> {
    fn next(&mut self, now: Duration) -> Next {
        let in_time = now <= last_call(self.report.plan.timeout);
        match in_time.then(|| self.roster.poll()).flatten() {
            Some((place, remote)) => Next::Target(place, remote),
            None if self.lookups.is_some() => Next::Later,
            None => Next::Nothing,
        }
    }

    fn schedule(&self, now: Duration) -> Schedule {
        let timeout = self.report.plan.timeout;
        Schedule::fit(self.retries, timeout.saturating_sub(now + self.report.telling()))
    }

    fn ended(&mut self, ended: Ended) {
        let Ended { remote, outcome, .. } = ended;
        for place in self.roster.named(remote, &outcome) {
            self.found(place, remote.port(), Some(remote), outcome.clone());
        }
    }

    fn told(&mut self) {
        // Whether anybody reads them does not change a verdict.
        let _ = self.out.write_all(&self.lines).and_then(|()| self.out.flush());
        self.lines.clear();
    }

    fn crossed(&mut self, at: Duration, crossing: &Crossing) {
        if self.report.plan.verbosity < 2 {
            return;
        }
        if self.report.crossings.len() < CROSSINGS {
            self.report.crossings.push((at, *crossing));
        } else {
            self.report.more_crossings += 1;
        }
    }

    fn interrupts(&self) -> Vec<BorrowedFd<'_>> {
        let lookups = self.lookups.iter().map(AsFd::as_fd);
        lookups.chain([self.signals.as_fd()]).collect()
    }

    fn attend(&mut self, now: Duration) -> bool {
        if self.lookups.is_some() {
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
