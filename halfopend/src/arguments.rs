//! The command line.

use std::path::PathBuf;

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

    /// Append events to a file, or write them to standard output (-)
    #[arg(long, value_name = "FILE", default_value = "-", value_hint = ValueHint::FilePath)]
    pub events: PathBuf,

    /// Messages on standard error: text or json
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, hide_possible_values = true)]
    pub log: Format,
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
