//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, ValueHint};
use halfopen::target::Target;

use crate::log::Format;

const EXAMPLES: &str = "\
Exit codes: 0 stopped by a signal, 1 a fault of this machine,
            2 configuration or usage.

Examples:
  halfopend 192.0.2.7:443 web.example:443
  halfopend --config /etc/halfopen/halfopend.toml
  halfopend --config /etc/halfopen/halfopend.toml --check";

/// Checks whether TCP ports are open, again and again, and tells when that changes.
#[derive(Debug, Parser)]
#[command(
    name = "halfopend",
    version,
    after_help = EXAMPLES,
    override_usage = "halfopend [OPTIONS] TARGET...\n       halfopend [OPTIONS] --config FILE"
)]
pub struct Arguments {
    /// The targets.
    #[arg(
        help = "HOST:PORT, [V6]:PORT, HOST:25,80-90, 198.18.0.0/24:80",
        value_name = "TARGET",
        required_unless_present = "config",
        conflicts_with = "config"
    )]
    pub targets: Vec<Target>,

    /// Pools of targets, see halfopend.toml(5)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,

    /// Say whether the configuration is right, and exit
    #[arg(long)]
    pub check: bool,

    /// Serve HTTP at this address, or not at all: none (repeatable)
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:10115")]
    pub listen: Vec<Listen>,

    /// TLS and users of HTTP: a web configuration file of Prometheus' exporters
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub web_config: Option<PathBuf>,

    /// Append events to a file, or write them to standard output (-)
    #[arg(long, value_name = "FILE", default_value = "-", value_hint = ValueHint::FilePath)]
    pub events: PathBuf,

    /// Messages on standard error: text or json
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, hide_possible_values = true)]
    pub log: Format,
}

/// Where to serve HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// At this address.
    At(SocketAddr),
    /// Nowhere.
    Nowhere,
}

/// What is no [`Listen`].
#[derive(Debug, thiserror::Error)]
#[error("write ADDRESS:PORT, such as 127.0.0.1:10115 or [::]:10115, or none")]
pub struct NotAnAddress;

impl FromStr for Listen {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        if text == "none" {
            return Ok(Self::Nowhere);
        }
        text.parse().map(Self::At).map_err(|_| NotAnAddress)
    }
}

/// Why there is nothing to run.
#[derive(Debug)]
pub enum Stop {
    /// The help or the version was asked for.
    Answer(String),
    /// The arguments are wrong.
    Usage(String),
}

impl Arguments {
    /// Returns the addresses to serve HTTP at.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let address = |listen: &Listen| match listen {
            Listen::At(address) => Some(*address),
            Listen::Nowhere => None,
        };
        self.listen.iter().filter_map(address).collect()
    }

    /// Reads the arguments of this process.
    ///
    /// # Errors
    ///
    /// Returns what to print instead of running.
    pub fn read() -> Result<Self, Stop> {
        Self::try_parse().map_err(|error| {
            let text = error.render().to_string();
            match text.strip_prefix("error: ") {
                Some(mistake) => Stop::Usage(mistake.to_owned()),
                None => Stop::Answer(text),
            }
        })
    }
}
