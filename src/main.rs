//! Parse, run, render, exit code; nothing else.

use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::panic::{self, UnwindSafe};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use halfopen::check::check;
use halfopen::cli::{self, CheckArgs, Request, UsageError};
use halfopen::engine::{EngineConfig, OpenEngine};
use halfopen::local_error::LocalError;
use halfopen::non_blocking_writer::{NonBlockingWriter, Output};
use halfopen::plan::Format;
use halfopen::privilege::{self, PrivilegeError};
use halfopen::report::nagios;
use halfopen::report::progress::Progress;
use halfopen::self_test::{self, self_test};
use halfopen::signals::Signals;
use halfopen::status::Status;
use signal_hook::consts::SIGABRT;
use signal_hook::flag;

/// The exit code is the result, and neither a panic, nor an abort for lack of memory, nor an output
/// that cannot be written may change it. (Some callers take death by a signal for success.)
fn main() -> ExitCode {
    let start = Instant::now();
    let always = Arc::new(AtomicBool::new(true));
    let unknown = Status::Unknown.exit_code().into();
    let _ = flag::register_conditional_shutdown(SIGABRT, unknown, always);
    // Without a backtrace, which takes memory.
    panic::set_hook(Box::new(|panic| {
        let _ = writeln!(io::stderr(), "halfopen: {panic}");
    }));
    ExitCode::from(contain(|| run(start)).exit_code())
}

/// Returns what `work` returns, or UNKNOWN if it panics.
fn contain(work: impl FnOnce() -> Status + UnwindSafe) -> Status {
    panic::catch_unwind(work).unwrap_or_else(|_| {
        let message = "internal error, nothing was learnt; stderr has the details";
        unknown(message, &mut NonBlockingWriter::new(io::stdout()))
    })
}

fn run(start: Instant) -> Status {
    let mut out = NonBlockingWriter::new(io::stdout());
    if let Err(error) = privilege::become_caller() {
        return unknown(error, &mut out);
    }
    let signals = match Signals::watch() {
        Ok(signals) => signals,
        Err(error) => return unknown(error, &mut out),
    };
    let status = match cli::parse(env::args_os()) {
        Ok(Request::Check(call)) => run_check(*call, &signals, start, &mut out),
        Ok(Request::SelfTest(config)) => run_self_test(&config, &signals, start, &mut out),
        Ok(Request::Print(text)) => {
            let _ = write!(out, "{text}");
            Status::Unknown
        }
        Err(error) => misused(&error, &mut out),
    };
    out.finish(&signals);
    status
}

fn run_check(call: CheckArgs, signals: &Signals, start: Instant, out: &mut impl Output) -> Status {
    let lent = privilege::is_lent();
    let mut engine = match open(&call.config(), start) {
        Ok(engine) => engine,
        Err(error) => return unknown(error, out),
    };
    let plan = match call.plan(lent, signals) {
        Ok(plan) => plan,
        Err(error) => return misused(&error, out),
    };
    let for_people = plan.settings.format == Format::Text && io::stderr().is_terminal();
    let progress = for_people.then(|| Progress::new(io::stderr(), plan.settings.timeout));
    let engine = engine.as_mut().map_err(|error| error.clone());
    let report = match check(plan, engine, signals, start, out, progress) {
        Ok(report) => report,
        Err(error) => return unknown(error, out),
    };
    let mut aside = NonBlockingWriter::new(io::stderr());
    let _ = report.render(colour(), out, &mut aside);
    aside.finish(signals);
    report.status()
}

fn run_self_test(
    config: &EngineConfig,
    signals: &Signals,
    start: Instant,
    out: &mut impl Write,
) -> Status {
    let listeners = self_test::listen(config);
    match open(config, start) {
        Ok(Ok(mut engine)) => self_test(start, &mut engine, signals, &listeners, out),
        Ok(Err(error)) => return unknown(error, out),
        Err(error) => return unknown(error, out),
    }
    .unwrap_or(Status::Unknown)
}

/// Opens the engine while there is privilege, if there is any, and gives all of it up before
/// anything else is read: targets, files, names, packets.
fn open(
    config: &EngineConfig,
    start: Instant,
) -> Result<Result<OpenEngine, LocalError>, PrivilegeError> {
    privilege::raise();
    let engine = config.open(start);
    let is_enough = || engine.as_ref().ok().is_none_or(OpenEngine::has_enough_privilege);
    let kept = privilege::relinquish(is_enough)?;
    privilege::confine(kept, &[])?;
    Ok(engine)
}

/// Returns true if the output is a terminal whose user has not refused colour (no-color.org).
fn colour() -> bool {
    io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn misused(error: &UsageError, out: &mut impl Write) -> Status {
    unknown(format_args!("{error}; see halfopen --help"), out)
}

fn unknown(message: impl Display, out: &mut impl Write) -> Status {
    let _ = nagios::line(Status::Unknown, message, out);
    let _ = out.flush();
    Status::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_means_unknown() {
        assert_eq!(contain(|| panic!("on purpose")).exit_code(), 3);
        assert_eq!(contain(|| Status::Warning).exit_code(), 1);
    }
}
