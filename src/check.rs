//! A check, from the plan to the report.

mod names;
mod source;
mod timetable;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rand::TryRng;
use rand::rngs::SysRng;

use self::source::{EndedTarget, Source};
use self::timetable::Timetable;
use crate::attempt::Attempts;
use crate::checker::{Checker, Ended};
use crate::engine::{Interrupt, OpenEngine};
use crate::event_loop::{Driver, Next, PacketEvent, run};
use crate::explain::{Explainer, Explanation};
use crate::local_error::{LocalError, SendError};
use crate::non_blocking_writer::Output;
use crate::pacer::Pacer;
use crate::plan::{Plan, PlanError, latest_start};
use crate::probe::Secret;
use crate::report::Report;
use crate::report::progress::Progress;
use crate::report::recorder::{Entry, Recorder};
use crate::schedule::Schedule;
use crate::signals::Signals;
use crate::status::Status;
use crate::verdict::{EndOfRun, NoVerdict, Outcome};

/// How much later than the deadline the last verdict may come, for delays on this machine.
const GRACE: Duration = Duration::from_millis(25);

/// The most targets left at the end that are recorded one by one; the rest are counted. A run that
/// has to end does not wait until the addresses of a large block are written down.
const LISTED: usize = 100_000;

/// While more bytes than that wait for the reader of the output, no target begins, because each
/// adds a line.
const BACKLOG: usize = 1 << 20;

/// Carries out `plan` with `engine`, until every target has ended or a signal arrives. If the
/// engine could not be opened, every target ends with that error. Time counts from `start`, when
/// the program began. Lines that need not wait for the end go to `out` at once; `progress` shows
/// how far the check is.
///
/// # Errors
///
/// Returns an error if the plan cannot be carried out as it stands. Whatever goes wrong later is in
/// the report.
pub fn check(
    plan: Plan,
    engine: Result<&mut OpenEngine, LocalError>,
    signals: &Signals,
    start: Instant,
    out: &mut dyn Output,
    progress: Option<Progress>,
) -> Result<Report, PlanError> {
    plan.verify()?;
    let (source, settings) = Source::new(plan)?;
    let report = Report::new(settings, source.total);
    // Without an engine there are no attempts.
    let attempts = engine.as_ref().map_or(Attempts::MAX, |engine| engine.attempts());
    let timetable = Timetable::new(&report.settings, report.is_pool(), attempts);
    let recorder = Recorder::new(report, out, progress);
    let explanations = HashMap::new();
    let mut session = Session { source, timetable, recorder, signals, listed: 0, explanations };
    if let Err(error) = engine.and_then(|engine| session.probe(engine)) {
        session.fail(&error);
    }
    let Session { source, timetable, mut recorder, .. } = session;
    let report = recorder.report_mut();
    report.addresses = source.addresses;
    report.waits = timetable.waits();
    Ok(recorder.finish(start.elapsed()))
}

/// The driver of the loop: takes endpoints from the source, and tells the recorder how targets end.
struct Session<'a> {
    source: Source,
    timetable: Timetable,
    recorder: Recorder<'a>,
    signals: &'a Signals,
    /// How many targets left at the end have been recorded one by one.
    listed: usize,
    /// Why endpoints have ended as they have.
    explanations: HashMap<SocketAddr, Explanation>,
}

impl Session<'_> {
    fn probe(&mut self, engine: &mut OpenEngine) -> Result<(), LocalError> {
        self.source.prepare(engine)?;
        let report = self.recorder.report_mut();
        report.engine = Some(engine.name());
        let (settings, is_pool) = (&report.settings, report.is_pool());
        let window = if is_pool { engine.enable_batching() } else { usize::MAX };
        let mut pacer = Pacer::new(settings.rate, window);
        let deadline = settings.timeout + GRACE;
        let (secret, attempts) = (secret()?, engine.attempts());
        let mut explainer =
            settings.explain.then(|| Explainer::new(secret.clone(), attempts, settings.timeout));
        let mut checker = Checker::new(secret, attempts);
        self.source.start_lookups()?;
        let (engine, explainer) = (engine.as_engine(), explainer.as_mut());
        run(&mut checker, engine, &mut pacer, self, explainer, Some(deadline))?;
        let report = self.recorder.report_mut();
        report.discarded = checker.discarded().clone();
        report.lost = checker.lost();
        report.postponed = checker.postponed();
        self.end_rest();
        Ok(())
    }

    /// Ends the targets that are left when the run is over.
    fn end_rest(&mut self) {
        self.source.close_lookups();
        self.source.take_in_names(false);
        self.record_ended();
        let end = if self.recorder.report().interrupted {
            EndOfRun::Interrupted
        } else {
            self.source.end_unanswered();
            EndOfRun::OutOfTime
        };
        self.end_targets(&NoVerdict::NotProbed(end));
    }

    /// Ends all targets that are left, because nothing more can be learnt of any.
    fn fail(&mut self, error: &LocalError) {
        self.recorder.report_mut().error = Some(error.clone());
        if self.recorder.lists_not_probed() {
            self.end_targets(&NoVerdict::from(error.clone()));
        }
    }

    /// Ends the targets that are left and were not probed, for the reason `error`.
    fn end_targets(&mut self, error: &NoVerdict) {
        self.source.end_names(error);
        self.record_ended();
        while self.recorder.lists_not_probed()
            && self.listed < LISTED
            && let Some((_, remote)) = self.source.poll_endpoint()
        {
            self.source.end(remote, &Err(error.clone()));
            self.listed += self.record_ended();
        }
    }

    /// Records the targets that have ended, and returns how many there were.
    fn record_ended(&mut self) -> usize {
        self.recorder.report_mut().total = self.source.total;
        let mut count = 0;
        while let Some(ended) = self.source.poll_ended() {
            self.record(ended);
            count += 1;
        }
        count
    }

    fn record(&mut self, ended: EndedTarget) {
        let EndedTarget { id, endpoint, outcome, others } = ended;
        let target = self.source.target(id);
        if let Some(endpoint) = endpoint {
            let (address, port) = (Some(endpoint.ip()), endpoint.port());
            let explanation = self.explanations.get(&endpoint).cloned();
            let entry = Entry { id, address, port, outcome, explanation, others };
            return self.recorder.record(entry, || target.label(port, Some(endpoint)));
        }
        for port in target.ports.iter() {
            if outcome.is_err() && self.listed >= LISTED {
                return;
            }
            self.listed += usize::from(outcome.is_err());
            let (outcome, others) = (outcome.clone(), others.clone());
            let entry = Entry { id, address: None, port, outcome, explanation: None, others };
            self.recorder.record(entry, || target.label(port, None));
        }
    }
}

impl Driver for Session<'_> {
    fn next(&mut self, now: Duration) -> Next {
        // An answer to a later SYN still counts. In a pool, the time that is left belongs to the
        // answers to earlier ones.
        let report = self.recorder.report();
        let in_time = now <= latest_start(report.settings.timeout) || !report.is_pool();
        if in_time && self.recorder.backlog().is_some_and(|(bytes, _)| bytes > BACKLOG) {
            return Next::Later;
        }
        match in_time.then(|| self.source.poll_endpoint()).flatten() {
            Some((id, remote)) => Next::Target(id, remote),
            None if self.source.awaits_names() => Next::Later,
            None => Next::Nothing,
        }
    }

    fn schedule(&mut self, _id: u32, now: Duration) -> Schedule {
        self.timetable.schedule(now, self.source.total)
    }

    fn ended(&mut self, ended: Ended) {
        self.source.end(ended.remote, &ended.outcome);
        self.record_ended();
    }

    fn on_send_error(&mut self, remote: SocketAddr, error: &SendError) {
        if let SendError::NoRoute(cause) = error {
            self.source.on_no_route(remote, *cause);
            self.record_ended();
        }
    }

    fn wants_explanation(&self, outcome: &Outcome) -> bool {
        let settings = &self.recorder.report().settings;
        let can_tell = matches!(outcome, Ok(_) | Err(NoVerdict::LocalError(_)));
        can_tell && (settings.verbosity > 0 || settings.policy.judge(outcome).status != Status::Ok)
    }

    fn explained(&mut self, remote: SocketAddr, explanation: Explanation) {
        self.explanations.insert(remote, explanation);
    }

    fn poll_unwanted(&mut self) -> Option<SocketAddr> {
        self.source.poll_unwanted()
    }

    fn flush(&mut self) {
        self.recorder.flush();
    }

    fn on_packet(&mut self, at: Duration, packet: &PacketEvent) {
        if let Some(remote) = packet.syn_to() {
            self.source.on_syn(remote);
        }
        self.recorder.record_packet(at, packet);
    }

    fn interrupts(&self) -> Vec<Interrupt<'_>> {
        let names = self.source.names().map(Interrupt::Readable);
        let output = self.recorder.backlog().map(|(_, output)| Interrupt::Writable(output));
        let signals = Interrupt::Readable(self.signals.as_fd());
        names.into_iter().chain(output).chain([signals]).collect()
    }

    fn handle_interrupts(&mut self, now: Duration) -> ControlFlow<()> {
        if self.source.awaits_names() {
            let timeout = self.recorder.report().settings.timeout;
            let in_time = now <= latest_start(timeout);
            if !in_time {
                self.source.close_lookups();
            }
            if now > timeout + 2 * GRACE {
                // After a pause of this machine, what the name service has said may be unread.
                self.source.begun_in_time.clear();
            }
            self.source.take_in_names(in_time);
            self.record_ended();
        }
        self.recorder.show_progress(now);
        let report = self.recorder.report_mut();
        report.interrupted |= self.signals.take();
        if report.interrupted { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

fn secret() -> Result<Secret, LocalError> {
    let mut key = [0; 16];
    SysRng.try_fill_bytes(&mut key).map_err(|_| LocalError::Random)?;
    Ok(Secret::new(key))
}
