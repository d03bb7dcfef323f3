//! The arguments and options of the command line, as clap knows them.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use clap::{ArgAction, Parser, ValueEnum};

use crate::engine::EngineKind;
use crate::number::whole;
use crate::plan::Format;
use crate::status::{MinOpen, Range};

const EXAMPLES: &str = "\
States: open, closed, filtered (no answer, or prohibited), unreachable,
        stale (old connection).
Exit codes: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN (also -h, -V, usage error).

Examples:
  halfopen 192.0.2.7 25                    as a load balancer calls it
  halfopen -H mail -p 25 -w 0.1 -c 0.5     as a Nagios plugin, times in seconds
  halfopen --targets FILE --min-open 50%   a pool, half of which must be open
  halfopen -vvv '[2001:db8::7]:443'        by hand, showing every packet
  halfopen --self-test                     test the program on this machine";

/// Half-open TCP check: SYN, SYN+ACK, RST; the application is not notified.
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
#[expect(clippy::struct_excessive_bools, reason = "options without a value")]
pub(super) struct Arguments {
    /// HOST:PORT, [V6]:PORT, HOST:25,80-90, 198.18.0.0/24:80
    #[arg(value_name = "TARGET")]
    pub(super) words: Vec<String>,

    /// Host to check
    #[arg(short = 'H', long, value_name = "HOST")]
    pub(super) hostname: Option<String>,

    /// Port to check
    #[arg(short, long, value_name = "PORT")]
    pub(super) port: Option<String>,

    /// Targets from a file, one per line; - is standard input
    #[arg(long, value_name = "FILE")]
    pub(super) targets: Option<String>,

    /// IPv4 only
    #[arg(short = '4', long, conflicts_with = "use_ipv6")]
    pub(super) use_ipv4: bool,

    /// IPv6 only
    #[arg(short = '6', long)]
    pub(super) use_ipv6: bool,

    /// Check each address of a name as a target of its own
    #[arg(long)]
    pub(super) every_address: bool,

    /// Deadline for the whole run, also 500ms
    #[arg(short, long, value_name = "SECONDS", default_value = "10", value_parser = timeout, help_heading = "Time")]
    pub(super) timeout: Duration,

    /// SYN retransmissions after the first
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = number(0..=10u8), help_heading = "Time")]
    pub(super) retries: u8,

    /// SYNs per second, 0 for no limit
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = number(0..=u32::MAX), help_heading = "Time")]
    pub(super) rate: u32,

    /// Response times that are a warning, [@]start:end
    #[arg(
        short,
        long,
        value_name = "RANGE",
        allow_negative_numbers = true,
        help_heading = "Verdict"
    )]
    pub(super) warning: Option<Range>,

    /// Response times that are critical, [@]start:end
    #[arg(
        short,
        long,
        value_name = "RANGE",
        allow_negative_numbers = true,
        help_heading = "Verdict"
    )]
    pub(super) critical: Option<Range>,

    /// A closed port is ok, warn or crit [default: crit]
    #[arg(
        short,
        long,
        value_name = "STATUS",
        hide_possible_values = true,
        conflicts_with = "expect",
        help_heading = "Verdict"
    )]
    pub(super) refuse: Option<Refuse>,

    /// The OK state: open, closed, filtered [default: open]
    #[arg(long, value_name = "STATE", hide_possible_values = true, help_heading = "Verdict")]
    pub(super) expect: Option<Expect>,

    /// Open targets required in a pool, or N% [default: all]
    #[arg(long, value_name = "N", conflicts_with = "expect", help_heading = "Verdict")]
    pub(super) min_open: Option<MinOpen>,

    /// Source address, which this machine must have
    #[arg(short = 'S', long, value_name = "ADDR", value_parser = address, help_heading = "Packets")]
    pub(super) source: Option<IpAddr>,

    /// Network interface
    #[arg(short = 'I', long, value_name = "IFACE", help_heading = "Packets")]
    pub(super) interface: Option<String>,

    /// Firewall mark, decimal or 0x hexadecimal
    #[arg(long, value_name = "FWMARK", value_parser = mark, help_heading = "Packets")]
    pub(super) mark: Option<u32>,

    /// Differentiated services code point, 0 to 63
    #[arg(long, value_name = "N", value_parser = number(0..=63u8), help_heading = "Packets")]
    pub(super) dscp: Option<u8>,

    /// Time to live, or hop limit
    #[arg(long, value_name = "N", value_parser = number(1..=u8::MAX), help_heading = "Packets")]
    pub(super) ttl: Option<u8>,

    /// raw, connect, or auto to choose
    #[arg(
        long,
        value_enum,
        hide_possible_values = true,
        default_value = "auto",
        help_heading = "Packets"
    )]
    pub(super) engine: EngineArg,

    /// nagios, json or text
    #[arg(
        short,
        long,
        value_enum,
        hide_possible_values = true,
        default_value = "nagios",
        value_name = "FORMAT",
        help_heading = "Output"
    )]
    pub(super) output: Output,

    /// Print details, the plan (-vv), every packet (-vvv)
    #[arg(short, long, action = ArgAction::Count, help_heading = "Output")]
    pub(super) verbose: u8,

    /// Test checks over loopback and show the packets
    #[arg(long, help_heading = "Output")]
    pub(super) self_test: bool,

    /// Print help
    #[arg(short, long, action = ArgAction::HelpShort, help_heading = "Output")]
    pub(super) help: Option<bool>,

    /// Print the version
    #[arg(short = 'V', long, action = ArgAction::Version, help_heading = "Output")]
    pub(super) version: Option<bool>,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Refuse {
    Ok,
    Warn,
    Crit,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Expect {
    Open,
    Closed,
    Filtered,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum EngineArg {
    Auto,
    Raw,
    Connect,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Output {
    Nagios,
    Json,
    Text,
}

impl From<EngineArg> for EngineKind {
    fn from(kind: EngineArg) -> Self {
        match kind {
            EngineArg::Auto => Self::Auto,
            EngineArg::Raw => Self::Raw,
            EngineArg::Connect => Self::Connect,
        }
    }
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

/// A value that cannot be read. The message says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum ValueError {
    #[error("write seconds, such as 2 or 1.5, or 500ms; from 1ms to a day")]
    Timeout,
    #[error("write a number from {0} to {1}")]
    Number(u32, u32),
    #[error("write it without leading zeros, which are octal to some programs")]
    Padded,
    #[error("write a number, such as 7 or 0x7")]
    Mark,
    #[error("write an IPv4 address such as 192.0.2.7, or an IPv6 one such as 2001:db8::7")]
    Address,
}

fn timeout(text: &str) -> Result<Duration, ValueError> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1e-3),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    let seconds = number.parse::<f64>().map_err(|_| ValueError::Timeout)? * unit;
    if !(0.001..=86_400.0).contains(&seconds) {
        return Err(ValueError::Timeout);
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// Reads a number within `range`.
fn number<T: Copy + FromStr + Into<u32> + PartialOrd + Send + Sync + 'static>(
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, ValueError> + Clone {
    move |text| {
        let number = whole(text).filter(|number| range.contains(number));
        let (first, last) = ((*range.start()).into(), (*range.end()).into());
        number.ok_or_else(|| padded_or(text, ValueError::Number(first, last)))
    }
}

fn mark(text: &str) -> Result<u32, ValueError> {
    let Some(digits) = text.strip_prefix("0x") else {
        return whole(text).ok_or_else(|| padded_or(text, ValueError::Mark));
    };
    let unsigned = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u32::from_str_radix(digits, 16).ok().filter(|_| unsigned).ok_or(ValueError::Mark)
}

fn padded_or(text: &str, error: ValueError) -> ValueError {
    let number = whole::<u32>(text.trim_start_matches('0')).is_some();
    if number && text.starts_with('0') { ValueError::Padded } else { error }
}

fn address(text: &str) -> Result<IpAddr, ValueError> {
    text.parse().map_err(|_| ValueError::Address)
}
