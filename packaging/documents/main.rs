//! Writes the man page and the shells' completions to a folder.
//!
//! ```sh
//! cargo run --example documents -- FOLDER DATE
//! ```
//!
//! Both are generated from the command line, so they cannot differ from the program.

use std::path::Path;
use std::{env, fs, io};

use clap::{Arg, ValueHint};
use clap_complete::Shell;
use clap_mangen::Man;
use halfopen::cli;

/// The sections that are written by hand.
const PAGE: &str = include_str!("halfopen.1");

fn main() -> io::Result<()> {
    let words: Vec<_> = env::args().skip(1).collect();
    let [folder, date] = &words[..] else { panic!("usage: documents FOLDER DATE") };
    let folder = Path::new(folder);
    fs::create_dir_all(folder)?;
    fs::write(folder.join("halfopen.1"), man_page(date)?)?;
    // The name that load balancers and monitors call leads to the same page.
    fs::write(folder.join("check_tcp_half_open.1"), ".so man1/halfopen.1\n")?;
    let mut command = cli::command().mut_args(with_hint);
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command, "halfopen", folder)?;
    }
    Ok(())
}

fn man_page(date: &str) -> io::Result<String> {
    let man = Man::new(cli::command());
    let (mut synopsis, mut options) = (Vec::new(), Vec::new());
    man.render_synopsis_section(&mut synopsis)?;
    man.render_options_section(&mut options)?;
    let text = |roff: &[u8]| String::from_utf8_lossy(roff).trim_end().to_owned();
    Ok(PAGE
        .replace("@DATE@", date)
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
        .replace("@SYNOPSIS@", &text(&synopsis))
        // The groups of --help are parts of one section here.
        .replace("@OPTIONS@", &text(&options).replace(".SH ", ".SS ")))
}

/// Sets what a shell offers as the value. By default that is the names of files.
fn with_hint(option: Arg) -> Arg {
    if !option.get_action().takes_values() {
        return option;
    }
    let hint = match option.get_id().as_str() {
        "targets" => ValueHint::FilePath,
        "words" | "hostname" => ValueHint::Hostname,
        _ => ValueHint::Other,
    };
    option.value_hint(hint)
}
