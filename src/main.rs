//! Parse, run, render, exit code; nothing else.

use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal, Stdout, Write};
use std::panic::{self, UnwindSafe};
use std::process::ExitCode;
use std::time::Instant;

use halfopen::check::check;
use halfopen::cli::{self, Call, Request, UsageError};
use halfopen::engine::{Engine, Opening};
use halfopen::fault::Fault;
use halfopen::outlet::Outlet;
use halfopen::plan::Format;
use halfopen::privilege::{self, PrivilegeError};
use halfopen::report::nagios;
use halfopen::report::progress::Progress;
use halfopen::self_test::{self, self_test};
use halfopen::signals;
use halfopen::status::Status;

/// The exit code is the message: neither a panic nor an output that cannot be written may change what it says.
fn main() -> ExitCode {
    let start = Instant::now();
    ExitCode::from(contain(|| run(start)).exit_code())
}

/// What `work` says, or UNKNOWN when it panics.
fn contain(work: impl FnOnce() -> Status + UnwindSafe) -> Status {
    panic::catch_unwind(work)
        .unwrap_or_else(|_| unknown("internal error, nothing was learnt; stderr has the details"))
}

fn run(start: Instant) -> Status {
    match cli::parse(env::args_os()) {
        Ok(Request::Check(call)) => run_check(*call, start),
        Ok(Request::SelfTest(opening)) => run_self_test(&opening, start),
        Ok(Request::Print(text)) => {
            print(text.as_bytes());
            Status::Unknown
        }
        Err(error) => misused(&error),
    }
}

fn run_check(call: Call, start: Instant) -> Status {
    let lent = privilege::is_lent();
    let mut engine = match open(&call.opening(), start) {
        Ok(engine) => engine,
        Err(error) => return unknown(error),
    };
    let plan = match call.plan(lent) {
        Ok(plan) => plan,
        Err(error) => return misused(&error),
    };
    let people_wait = plan.format == Format::Text && io::stderr().is_terminal();
    let progress = people_wait.then(Progress::default);
    let engine: Result<&mut dyn Engine, _> = match &mut engine {
        Ok(engine) => Ok(&mut **engine),
        Err(fault) => Err(fault.clone()),
    };
    let mut out = Outlet::new(io::stdout());
    let report = match check(plan, engine, start, &mut out, progress) {
        Ok(report) => report,
        Err(fault) => return unknown(fault),
    };
    let mut aside = Vec::new();
    // Writing to memory does not fail.
    let _ = report.render(colour(), &mut out, &mut aside);
    finish(out);
    let _ = io::stderr().write_all(&aside); // nobody is left to tell
    report.status()
}

fn run_self_test(opening: &Opening, start: Instant) -> Status {
    let listeners = self_test::listen();
    let mut engine = match open(opening, start) {
        Ok(Ok(engine)) => engine,
        Ok(Err(fault)) => return unknown(fault),
        Err(error) => return unknown(error),
    };
    let mut out = Vec::new();
    let status = self_test(start, &mut *engine, &listeners, &mut out);
    print(&out);
    status.unwrap_or(Status::Unknown)
}

/// Opens the engine while there is privilege, if there is any, and gives all of it up before anything else is read: targets,
/// files, names, packets.
fn open(
    opening: &Opening,
    start: Instant,
) -> Result<Result<Box<dyn Engine>, Fault>, PrivilegeError> {
    privilege::raise();
    let engine = opening.open(start);
    privilege::relinquish(engine.as_ref().is_ok_and(|engine| engine.marks_later()))?;
    privilege::confine()?;
    Ok(engine)
}

/// On a terminal, unless its user wants none (no-color.org).
fn colour() -> bool {
    io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn misused(error: &UsageError) -> Status {
    unknown(format_args!("{error}; see halfopen --help"))
}

fn unknown(message: impl Display) -> Status {
    let mut out = Vec::new();
    let _ = nagios::line(Status::Unknown, message, &mut out);
    print(&out);
    Status::Unknown
}

fn print(text: &[u8]) {
    let mut out = Outlet::new(io::stdout());
    let _ = out.write_all(text);
    finish(out);
}

/// Waits for the reader, until a signal asks the program to end.
fn finish(out: Outlet<Stdout>) {
    out.finish(signals::watch().ok().as_ref());
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
