//! Parse, run, render, exit code; nothing else.

use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::panic::{self, UnwindSafe};
use std::process::ExitCode;
use std::time::Instant;

use halfopen::check::check;
use halfopen::cli::{self, Request};
use halfopen::plan::Format;
use halfopen::privilege;
use halfopen::report::nagios;
use halfopen::report::progress::Progress;
use halfopen::self_test::self_test;
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
    privilege::raise();
    let request = match cli::parse(env::args_os()) {
        Ok(request) => request,
        Err(error) => return unknown(format_args!("{error}; see halfopen --help")),
    };
    let (mut out, mut aside) = (Vec::new(), Vec::new());
    // Writing to memory does not fail.
    let status = match request {
        Request::Check(plan) => {
            let people_wait = plan.format == Format::Text && io::stderr().is_terminal();
            let progress = people_wait.then(Progress::default);
            match check(*plan, start, &mut io::stdout(), progress) {
                Ok(report) => {
                    let _ = report.render(colour(), &mut out, &mut aside);
                    report.status()
                }
                Err(fault) => return unknown(fault),
            }
        }
        Request::SelfTest => self_test(start, &mut out).unwrap_or(Status::Unknown),
        Request::Print(text) => {
            out.extend(text.bytes());
            Status::Unknown
        }
    };
    print(&out, &aside);
    status
}

/// On a terminal, unless its user wants none (no-color.org).
fn colour() -> bool {
    io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn unknown(message: impl Display) -> Status {
    let mut out = Vec::new();
    let _ = nagios::line(Status::Unknown, message, &mut out);
    print(&out, &[]);
    Status::Unknown
}

/// Nobody is left to tell when this fails.
fn print(out: &[u8], aside: &[u8]) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(out).and_then(|()| stdout.flush());
    let _ = io::stderr().write_all(aside);
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
