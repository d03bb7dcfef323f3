//! The arguments and options of the command line, as clap knows them.

use std::net::IpAddr;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, ValueEnum};

use super::values::{address, attempts, mark, number, timeout};
use crate::attempt::Attempts;
use crate::engine::EngineKind;
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
#[derive(Debug, Default, PartialEq, Parser)]
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

    #[command(flatten)]
    pub(super) time: Time,

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
        default_value_t,
        help_heading = "Packets"
    )]
    pub(super) engine: EngineArg,

    /// nagios, json or text
    #[arg(
        short,
        long,
        value_enum,
        hide_possible_values = true,
        default_value_t,
        value_name = "FORMAT",
        help_heading = "Output"
    )]
    pub(super) output: Output,

    /// Print details, the plan (-vv), every packet (-vvv)
    #[arg(short, long, action = ArgAction::Count, help_heading = "Output")]
    pub(super) verbose: u8,

    /// Say why a port is not open, by up to ten more packets
    #[arg(long, help_heading = "Output")]
    pub(super) explain: bool,

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

/// When SYNs are sent, and until when.
#[derive(Debug, PartialEq, Args)]
#[command(next_help_heading = "Time")]
pub(super) struct Time {
    /// Deadline for the whole run, also 500ms
    #[arg(short, long, value_name = "SECONDS", default_value = TIMEOUT, value_parser = timeout)]
    pub(super) timeout: Duration,

    /// SYN retransmissions after the first
    #[arg(long = "retries", value_name = "N", default_value = RETRIES, value_parser = attempts)]
    pub(super) attempts: Attempts,

    /// SYNs per second, 0 for no limit
    #[arg(long, value_name = "N", default_value_t = Self::default().rate, value_parser = number(0..=u32::MAX))]
    pub(super) rate: u32,
}

/// The default deadline, as `--help` shows it.
const TIMEOUT: &str = "10";

/// The default number of retransmissions, likewise.
const RETRIES: &str = "2";

impl Default for Time {
    fn default() -> Self {
        let timeout = timeout(TIMEOUT).expect("a number of seconds");
        let attempts = attempts(RETRIES).expect("a number of retransmissions");
        Self { timeout, attempts, rate: 10_000 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
pub(super) enum Refuse {
    Ok,
    Warn,
    Crit,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
pub(super) enum Expect {
    Open,
    Closed,
    Filtered,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, ValueEnum)]
pub(super) enum EngineArg {
    #[default]
    Auto,
    Raw,
    Connect,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, ValueEnum)]
pub(super) enum Output {
    #[default]
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
