//! The command line.

use clap::Parser;
use halfopen::target::Target;

/// Checks whether TCP ports are open, again and again, and tells when that changes.
#[derive(Debug, Parser)]
#[command(name = "halfopend", version)]
pub struct Arguments {
    /// What to check: HOST:PORT or [V6]:PORT; also names, blocks, and ranges of ports
    #[arg(value_name = "TARGET", required = true)]
    pub targets: Vec<Target>,
}
