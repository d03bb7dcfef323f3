//! The command line: the only file that knows clap.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory, Parser, ValueEnum};

use crate::engine::Egress;
use crate::plan::{Format, Plan};
use crate::resolve::Family;
use crate::status::{Expected, MinOpen, Policy, Range, Status};
use crate::target::{Target, TargetError};
use crate::target_file::{self, FileError};
use crate::verdict::PortState;

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Check a target.
    Check(Box<Plan>),
    /// Prove on this machine that checks work.
    SelfTest,
    /// Print this help, or version.
    Print(String),
}

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
    #[error("what should be checked? write HOST PORT, HOST:PORT or -H HOST -p PORT")]
    NoTarget,
    /// The host stands twice.
    #[error("the host is given twice: as {0:?} and with -H")]
    TwoHosts(String),
    /// A file of targets cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// -H and -p name one target; more of them are written HOST:PORT.
    #[error("{0:?} is one word too many beside -H or -p: write HOST:PORT for each target")]
    TooMany(String),
    /// More targets must be open than there are.
    #[error("--min-open {wanted}: there are only {total} targets")]
    MinOpen {
        /// Targets wanted open.
        wanted: u128,
        /// Targets there are.
        total: u128,
    },
}

/// Reads the command line, whose first word is the program's name. Empty words count as not written, an option with an
/// empty value likewise: monitors pass them for unset macros.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Request, UsageError> {
    let words = without_blanks(words.into_iter().collect());
    let arguments = match Arguments::try_parse_from(words) {
        Ok(arguments) => arguments,
        Err(error) => {
            let printed =
                matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            let text = error.to_string();
            return if printed { Ok(Request::Print(text)) } else { Err(usage_error(&text)) };
        }
    };
    if arguments.self_test {
        return Ok(Request::SelfTest);
    }
    Ok(Request::Check(Box::new(arguments.plan()?)))
}

const EXAMPLES: &str = "\
States: open, closed, filtered (no answer or forbidden), unreachable, stale (old connection).
Exit codes: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN (also for -h, -V and wrong usage).

Examples:
  halfopen 192.0.2.7 25                    as a load balancer calls it
  halfopen -H mail -p 25 -w 0.1 -c 0.5     as a Nagios plugin, with response times in seconds
  halfopen -vvv '[2001:db8::7]:443'        by hand, showing every packet
  halfopen --self-test                     prove that it works on this machine";

/// Half-open TCP check: SYN, SYN+ACK, RST; the application never hears of it.
#[derive(Parser)]
#[command(
    name = "halfopen",
    version,
    disable_help_flag = true,
    disable_version_flag = true,
    after_help = EXAMPLES,
    override_usage = "halfopen [OPTIONS] HOST PORT\n       halfopen [OPTIONS] -H HOST -p PORT\n       \
                      halfopen [OPTIONS] TARGET...\n       halfopen [OPTIONS] --targets FILE\n       \
                      halfopen --self-test",
    args_override_self = true,
    next_help_heading = "Target"
)]
struct Arguments {
    /// HOST:PORT, [V6]:PORT; PORT may be 25,80,8000-8010, HOST a block 198.18.0.0/24
    #[arg(value_name = "TARGET")]
    words: Vec<String>,

    /// Host to check
    #[arg(short = 'H', long, value_name = "HOST")]
    hostname: Option<String>,

    /// Port to check
    #[arg(short, long, value_name = "PORT")]
    port: Option<String>,

    /// Targets from a file, one a line; - is standard input
    #[arg(long, value_name = "FILE")]
    targets: Option<String>,

    /// IPv4 only
    #[arg(short = '4', long, conflicts_with = "use_ipv6")]
    use_ipv4: bool,

    /// IPv6 only
    #[arg(short = '6', long)]
    use_ipv6: bool,

    /// Deadline of the whole program, name look-up included; also 500ms
    #[arg(short, long, value_name = "SECONDS", default_value = "10", value_parser = timeout, help_heading = "Time")]
    timeout: Duration,

    /// SYN retransmissions after the first
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=10), help_heading = "Time")]
    retries: u8,

    /// SYNs a second at most; 0 is as fast as the machine goes
    #[arg(long, value_name = "N", default_value_t = 10_000, help_heading = "Time")]
    rate: u32,

    /// Response times that are a warning, [@]start:end
    #[arg(
        short,
        long,
        value_name = "RANGE",
        allow_negative_numbers = true,
        help_heading = "Verdict"
    )]
    warning: Option<Range>,

    /// Response times that are critical, [@]start:end
    #[arg(
        short,
        long,
        value_name = "RANGE",
        allow_negative_numbers = true,
        help_heading = "Verdict"
    )]
    critical: Option<Range>,

    /// What a closed port means [default: crit]
    #[arg(short, long, value_name = "STATUS", conflicts_with = "expect", help_heading = "Verdict")]
    refuse: Option<Refuse>,

    /// The state that is OK; any other is critical [default: open]
    #[arg(long, value_name = "STATE", help_heading = "Verdict")]
    expect: Option<Expect>,

    /// A pool is OK when so many targets are open, N or N% [default: all]
    #[arg(long, value_name = "N", conflicts_with = "expect", help_heading = "Verdict")]
    min_open: Option<MinOpen>,

    /// Source address, one of this machine's
    #[arg(short = 'S', long, value_name = "ADDR", help_heading = "Way out")]
    source: Option<IpAddr>,

    /// Network interface
    #[arg(short = 'I', long, value_name = "IFACE", help_heading = "Way out")]
    interface: Option<String>,

    /// Firewall mark, decimal or 0x hexadecimal
    #[arg(long, value_name = "FWMARK", value_parser = mark, help_heading = "Way out")]
    mark: Option<u32>,

    /// Differentiated services code point, 0 to 63
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=63), help_heading = "Way out")]
    dscp: Option<u8>,

    /// Time to live, or hop limit
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..), help_heading = "Way out")]
    ttl: Option<u8>,

    /// How the handshake is made
    #[arg(long = "engine", value_enum, default_value = "auto", help_heading = "Way out")]
    _engine: EngineChoice, // both are one and the same so far

    /// Output format
    #[arg(
        short,
        long,
        value_enum,
        default_value = "nagios",
        value_name = "FORMAT",
        help_heading = "Output"
    )]
    output: Output,

    /// More: the details, the plan (-vv), every packet (-vvv)
    #[arg(short, long, action = ArgAction::Count, help_heading = "Output")]
    verbose: u8,

    /// Check a port on loopback, show the packets, prove that nothing was accepted
    #[arg(long, help_heading = "Output")]
    self_test: bool,

    /// Print this
    #[arg(short, long, action = ArgAction::HelpShort, help_heading = "Output")]
    help: Option<bool>,

    /// Print the version
    #[arg(short = 'V', long, action = ArgAction::Version, help_heading = "Output")]
    version: Option<bool>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Refuse {
    Ok,
    Warn,
    Crit,
}

#[derive(Clone, Copy, ValueEnum)]
enum Expect {
    Open,
    Closed,
    Filtered,
}

#[derive(Clone, Copy, ValueEnum)]
enum EngineChoice {
    Auto,
    Raw,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    Nagios,
    Json,
    Text,
}

impl From<Output> for Format {
    fn from(output: Output) -> Self {
        match output {
            Output::Nagios => Self::Nagios,
            Output::Json => Self::Json,
            Output::Text => Self::Text,
        }
    }
}

impl Arguments {
    fn all_targets(&self) -> Result<Vec<Target>, UsageError> {
        let (host, port) = (self.hostname.as_deref(), self.port.as_deref());
        let mut targets = match (self.words.as_slice(), host, port) {
            ([], None, None) if self.targets.is_some() => Vec::new(),
            ([], None, _) => return Err(UsageError::NoTarget),
            ([], Some(host), Some(port)) => vec![Target::new(host, port)?],
            ([], Some(host), None) => vec![host.parse()?],
            ([host], None, Some(port)) => vec![Target::new(host, port)?],
            ([host, port], None, None) if !port.contains(':') => vec![Target::new(host, port)?],
            (words, None, None) => words.iter().map(|w| w.parse()).collect::<Result<_, _>>()?,
            ([host, ..], Some(_), _) => return Err(UsageError::TwoHosts(host.clone())),
            ([_, extra, ..], None, Some(_)) => return Err(UsageError::TooMany(extra.clone())),
        };
        match self.targets.as_deref() {
            None => {}
            Some("-") => targets.extend(target_file::read("standard input", io::stdin())?),
            Some(name) => {
                let file = File::open(name)
                    .map_err(|source| FileError::Read { file: name.to_owned(), source })?;
                targets.extend(target_file::read(name, file)?);
            }
        }
        Ok(targets)
    }

    fn plan(self) -> Result<Plan, UsageError> {
        let targets = self.all_targets()?;
        if let Some(min_open) = self.min_open {
            let total = targets.iter().map(Target::count).fold(0, u128::saturating_add);
            let wanted = min_open.of(total);
            if wanted > total {
                return Err(UsageError::MinOpen { wanted, total });
            }
        }
        Ok(Plan {
            targets,
            family: match (self.use_ipv4, self.use_ipv6) {
                (true, _) => Family::V4,
                (_, true) => Family::V6,
                _ => Family::Any,
            },
            timeout: self.timeout,
            retries: self.retries,
            rate: self.rate,
            egress: Egress {
                source: self.source.map(|address| address.to_canonical()),
                interface: self.interface,
                mark: self.mark,
                dscp: self.dscp,
                ttl: self.ttl,
            },
            policy: Policy {
                expected: expected(self.refuse, self.expect),
                warning: self.warning,
                critical: self.critical,
            },
            min_open: self.min_open,
            format: self.output.into(),
            verbosity: self.verbose,
        })
    }
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

/// A text that is no timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a time: write seconds, such as 2 or 1.5, or 500ms; from 1ms to a day")]
struct TimeoutError;

fn timeout(text: &str) -> Result<Duration, TimeoutError> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1e-3),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    let seconds = number.parse::<f64>().map_err(|_| TimeoutError)? * unit;
    if !(0.001..=86_400.0).contains(&seconds) {
        return Err(TimeoutError);
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// A text that is no firewall mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a mark: write a number, such as 7 or 0x7")]
struct MarkError;

fn mark(text: &str) -> Result<u32, MarkError> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    }
    .map_err(|_| MarkError)
}

/// The words without the empty ones, and without options whose value is empty; the first is the program's name.
fn without_blanks(words: Vec<OsString>) -> Vec<OsString> {
    if !words.iter().any(|word| word.is_empty()) {
        return words;
    }
    let command = Arguments::command();
    let mut words = words.into_iter();
    let name = words.next().unwrap_or_default();
    let mut kept: Vec<OsString> = Vec::new();
    for word in words {
        if word.is_empty() {
            kept.pop_if(|last| last.to_str().is_some_and(|last| wants_value(&command, last)));
        } else {
            kept.push(word);
        }
    }
    kept.insert(0, name);
    kept
}

/// True when `word` is an option, or a cluster of short ones, that takes the next word as its value.
fn wants_value(command: &clap::Command, word: &str) -> bool {
    let takes_value = |is_it: &dyn Fn(&clap::Arg) -> bool| {
        command.get_arguments().any(|a| is_it(a) && a.get_action().takes_values())
    };
    if let Some(long) = word.strip_prefix("--") {
        return takes_value(&|argument| argument.get_long() == Some(long));
    }
    let Some(cluster) = word.strip_prefix('-') else { return false };
    let first = cluster.find(|short| takes_value(&|argument| argument.get_short() == Some(short)));
    first.is_some_and(|at| at + 1 == cluster.len())
}

/// The first line of clap's message says what is wrong, the second, at times, what would be right.
fn usage_error(text: &str) -> UsageError {
    let mut lines = text.lines();
    let wrong = lines.next().unwrap_or_default();
    let wrong = wrong.strip_prefix("error: ").unwrap_or(wrong);
    let right = lines.next().map(str::trim).filter(|line| line.starts_with("[possible values"));
    UsageError::Option(right.map_or_else(|| wrong.to_owned(), |right| format!("{wrong} {right}")))
}
