//! The command line.

mod arguments;
mod simple;
mod usage;
mod values;
mod words;

use std::ffi::OsString;
use std::net::IpAddr;
use std::slice;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use self::arguments::{Arguments, Expect, Refuse, Time};
pub use self::usage::UsageError;
use self::words::without_blanks;
use crate::engine::{Egress, EngineConfig};
use crate::family::Family;
use crate::plan::{Plan, Settings};
use crate::signals::Signals;
use crate::status::{Expected, Policy, Status};
use crate::target::{Hosts, Ports, Target, TargetError, excerpt};
use crate::target_file;
use crate::verdict::PortState;

/// The highest rate, in SYNs per second, for callers without privilege of their own: the default.
const LENT_RATE: u32 = 10_000;

/// The longest deadline for them. While a check waits, its raw socket slows all TCP traffic of the
/// machine.
const LENT_TIMEOUT: Duration = Duration::from_mins(1);

/// What the command line asks for.
pub enum Request {
    /// Check targets.
    Check(Box<CheckArgs>),
    /// Test checks on this machine.
    SelfTest(EngineConfig),
    /// Print help or the version.
    Print(String),
}

/// A check as it was asked for: the options are understood, the targets still text.
pub struct CheckArgs(Arguments);

/// Reads the command line, whose first word is the program's name. Empty words are ignored, and so
/// are options with an empty value: monitors pass them for macros that are not set.
///
/// # Errors
///
/// Returns an error if the command line cannot be understood.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Request, UsageError> {
    let words: Vec<_> = words.into_iter().collect();
    let simple = simple::parse(&words).map(Ok);
    let arguments = match simple.unwrap_or_else(|| by_clap(words)) {
        Ok(arguments) => arguments,
        Err(error) => {
            let printed =
                matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if printed { Ok(Request::Print(error.to_string())) } else { Err(error.into()) };
        }
    };
    let call = CheckArgs(arguments);
    if !call.0.self_test {
        return Ok(Request::Check(Box::new(call)));
    }
    match call.0.first_target() {
        Some(target) => Err(UsageError::SelfTestTarget(excerpt(target))),
        None => Ok(Request::SelfTest(call.config())),
    }
}

/// Reads any command line.
fn by_clap(words: Vec<OsString>) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(without_blanks(words))
}

impl CheckArgs {
    /// Returns what must be opened while there is privilege to do it.
    pub fn config(&self) -> EngineConfig {
        let Arguments { engine, source, interface, mark, dscp, ttl, .. } = &self.0;
        EngineConfig {
            kind: (*engine).into(),
            egress: Egress {
                source: source.map(|address| address.to_canonical()),
                interface: interface.clone(),
                mark: *mark,
                dscp: *dscp,
                ttl: *ttl,
            },
            attempts: self.0.time.attempts,
            v4: !self.0.use_ipv6 && !self.all_hosts(IpAddr::is_ipv6),
            v6: !self.0.use_ipv4 && !self.all_hosts(IpAddr::is_ipv4),
            explain: self.0.explain,
        }
    }

    /// Returns true if every host is an address of that family. Opening sockets of the other one
    /// would only take time.
    fn all_hosts(&self, of_family: fn(&IpAddr) -> bool) -> bool {
        let Arguments { words, hostname, targets, self_test, .. } = &self.0;
        let hosts = match words.as_slice() {
            [host, port] if !port.contains(':') => slice::from_ref(host),
            words => words,
        };
        targets.is_none()
            && !self_test
            && hosts
                .iter()
                .chain(hostname)
                .all(|host| address(host).is_some_and(|address| of_family(&address)))
    }

    /// Reads the targets, including a file of them unless a signal arrives. If privilege is `lent`
    /// to the caller, the rate and the deadline are limited.
    ///
    /// # Errors
    ///
    /// Returns an error if a target cannot be understood, or a limit is exceeded.
    pub fn plan(self, lent: bool, signals: &Signals) -> Result<Plan, UsageError> {
        let Time { rate, timeout, .. } = self.0.time;
        if lent && !(1..=LENT_RATE).contains(&rate) {
            return Err(UsageError::LentRate(rate));
        }
        if lent && timeout > LENT_TIMEOUT {
            return Err(UsageError::LentTimeout(timeout));
        }
        self.0.plan(signals)
    }
}

/// Returns the address, or the first one of the block, in `HOST`, `HOST:PORT` or `[HOST]:PORT`;
/// `None` if the host is a name, or cannot be understood. Targets are parsed later, when the
/// program has no privilege left.
fn address(word: &str) -> Option<IpAddr> {
    let bare = word.strip_prefix('[').unwrap_or(word);
    let hosts = [bare.split([']', '%', '/']).next(), bare.split([':', '/']).next()];
    let address = hosts.into_iter().flatten().find_map(|host| host.parse::<IpAddr>().ok());
    address.map(|address| address.to_canonical())
}

/// Returns the description of the command line, from which the man page and the completions are
/// generated.
pub fn command() -> clap::Command {
    Arguments::command()
}

impl Arguments {
    /// Returns the first word that names a target or a part of it.
    fn first_target(&self) -> Option<&str> {
        let Self { words, hostname, port, targets, .. } = self;
        let named = words.iter().chain(hostname).chain(port).chain(targets);
        named.map(String::as_str).next()
    }

    fn all_targets(&self, signals: &Signals) -> Result<Vec<Target>, UsageError> {
        let (host, port) = (self.hostname.as_deref(), self.port.as_deref());
        let mut targets = match (self.words.as_slice(), host, port) {
            ([], None, None) if self.targets.is_some() => Vec::new(),
            ([], None, _) => return Err(UsageError::NoTarget),
            ([], Some(host), Some(port)) => vec![Target::new(host, port)?],
            ([], Some(host), None) => vec![host.parse()?],
            ([host], None, Some(port)) => vec![Target::new(host, port)?],
            ([host, port], None, None) if !port.contains(':') => vec![Target::new(host, port)?],
            ([one], None, None) => vec![one.parse()?],
            (words, None, None) => {
                words.iter().map(|word| one_of_many(word)).collect::<Result<_, _>>()?
            }
            ([port], Some(_), None) if port.parse::<Ports>().is_ok() => {
                return Err(UsageError::BarePort(excerpt(port)));
            }
            ([host, ..], Some(_), _) => return Err(UsageError::TwoHosts(excerpt(host))),
            ([_, extra, ..], None, Some(_)) => return Err(UsageError::TooMany(excerpt(extra))),
        };
        if let Some(name) = &self.targets {
            targets.extend(target_file::read_within(self.time.timeout, name, signals)?);
        }
        Ok(targets)
    }

    fn plan(self, signals: &Signals) -> Result<Plan, UsageError> {
        let targets = self.all_targets(signals)?;
        let settings = Settings {
            family: match (self.use_ipv4, self.use_ipv6) {
                (true, _) => Family::V4,
                (_, true) => Family::V6,
                _ => Family::Any,
            },
            every_address: self.every_address,
            timeout: self.time.timeout,
            rate: self.time.rate,
            policy: Policy {
                expected: expected(self.refuse, self.expect),
                warning: self.warning,
                critical: self.critical,
            },
            min_open: self.min_open,
            format: self.output.into(),
            verbosity: self.verbose,
            explain: self.explain,
        };
        let plan = Plan { targets, settings };
        let total = plan.total();
        let wanted = self.min_open.map_or(0, |min_open| min_open.of(total));
        let named = |target: &Target| matches!(target.hosts, Hosts::Name(_));
        let may_grow = self.every_address && plan.targets.iter().any(named);
        if wanted > total && !may_grow {
            return Err(UsageError::MinOpen { wanted, total });
        }
        Ok(plan)
    }
}

fn one_of_many(word: &str) -> Result<Target, UsageError> {
    word.parse().map_err(|error| match error {
        TargetError::NoPort(word) => UsageError::NoPortAmongMany(word),
        error => error.into(),
    })
}

fn expected(refuse: Option<Refuse>, expect: Option<Expect>) -> Expected {
    match (expect, refuse) {
        (Some(Expect::Closed), _) => Expected::State(PortState::Closed),
        (Some(Expect::Filtered), _) => Expected::State(PortState::Filtered),
        (_, Some(Refuse::Ok)) => Expected::Open { refused: Status::Ok },
        (_, Some(Refuse::Warn)) => Expected::Open { refused: Status::Warning },
        (_, Some(Refuse::Crit) | None) => Expected::Open { refused: Status::Critical },
    }
}
