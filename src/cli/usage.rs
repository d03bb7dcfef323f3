//! Errors in a command line. Each message says what to write instead.

use std::error::Error as _;
use std::time::Duration;

use clap::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{LENT_RATE, LENT_TIMEOUT};
use crate::target::{TargetError, excerpt};
use crate::target_file::FileError;

/// A command line that cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// An option is unknown, lacks its value, or has one that cannot be read.
    #[error("{0}")]
    Option(String),
    /// A target cannot be understood.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// There is nothing to check.
    #[error("nothing to check: write HOST PORT, HOST:PORT or -H HOST -p PORT")]
    NoTarget,
    /// One of several targets has no port.
    #[error(
        "{0:?} has no port: write each of several targets as HOST:PORT, \
         or several ports of one host as HOST 25,80"
    )]
    NoPortAmongMany(String),
    /// The host is given twice.
    #[error("the host is given twice: as {0:?} and with -H")]
    TwoHosts(String),
    /// A port is given after -H, without -p.
    #[error("{0:?} after -H needs an option: write -p {0}")]
    BarePort(String),
    /// A rate that the caller could not reach without the privilege of this program.
    #[error("--rate {0} is only for root and callers with CAP_NET_RAW: use 1 to {LENT_RATE}")]
    LentRate(u32),
    /// A deadline that is too long for a caller who could not open raw sockets without this
    /// program.
    #[error(
        "--timeout {} is only for root and callers with CAP_NET_RAW: use at most {} s",
        .0.as_secs_f64(), LENT_TIMEOUT.as_secs()
    )]
    LentTimeout(Duration),
    /// A file of targets cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// A target is given besides the one that -H and -p name.
    #[error("{0:?} cannot be used with -H or -p: write each target as HOST:PORT")]
    TooMany(String),
    /// `--min-open` is greater than the number of targets.
    #[error("--min-open {wanted}: {}", count(*.total))]
    MinOpen {
        /// Targets wanted open.
        wanted: u128,
        /// Targets there are.
        total: u128,
    },
    /// The self-test has targets of its own.
    #[error("--self-test checks loopback and takes no target: leave out {0:?}")]
    SelfTestTarget(String),
}

fn count(total: u128) -> String {
    if total == 1 {
        "there is only 1 target".to_owned()
    } else {
        format!("there are only {total} targets")
    }
}

impl From<Error> for UsageError {
    fn from(error: Error) -> Self {
        Self::Option(said(&error))
    }
}

fn said(error: &Error) -> String {
    let option = strings(error, ContextKind::InvalidArg).into_iter().next().unwrap_or_default();
    let value = strings(error, ContextKind::InvalidValue).into_iter().next().unwrap_or_default();
    let (name, placeholder) = option.split_once(' ').unwrap_or((option, ""));
    let choices = alternatives(&strings(error, ContextKind::ValidValue));
    match error.kind() {
        ErrorKind::ValueValidation => {
            let cause = error.source().map(ToString::to_string).unwrap_or_default();
            format!("{name} {:?}: {cause}", excerpt(value))
        }
        ErrorKind::InvalidValue if value.is_empty() && choices.is_empty() => {
            format!("{name} needs a value: write {name} {}", placeholder.trim_matches(['<', '>']))
        }
        ErrorKind::InvalidValue if value.is_empty() => {
            format!("{name} needs a value: write {choices}")
        }
        ErrorKind::InvalidValue => format!("{name} {:?}: write {choices}", excerpt(value)),
        ErrorKind::TooManyValues => {
            format!("{name} takes no value: leave out {:?}", excerpt(value))
        }
        ErrorKind::UnknownArgument => format!("there is no option {:?}", excerpt(option)),
        ErrorKind::ArgumentConflict => {
            let other =
                strings(error, ContextKind::PriorArg).into_iter().next().unwrap_or_default();
            let other = other.split(' ').next().unwrap_or_default();
            format!("{name} cannot be used with {other}: leave one of them out")
        }
        ErrorKind::InvalidUtf8 => "an argument is not valid UTF-8".to_owned(),
        _ => error.kind().to_string(),
    }
}

fn strings(error: &Error, kind: ContextKind) -> Vec<&str> {
    match error.get(kind) {
        Some(ContextValue::String(one)) => vec![one],
        Some(ContextValue::Strings(several)) => several.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

/// `ok, warn or crit`.
fn alternatives(choices: &[&str]) -> String {
    match choices {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [rest @ .., last] => format!("{} or {last}", rest.join(", ")),
    }
}
