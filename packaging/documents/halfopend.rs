//! Writes the man pages of halfopend and the shells' completions to a folder.
//!
//! ```sh
//! cargo run --package halfopend --example halfopend_documents -- FOLDER DATE
//! ```

use std::path::Path;
use std::{env, fs, io};

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;
use halfopend::arguments::Arguments;

/// The pages, except what is generated from the command line.
const PAGES: [(&str, &str); 2] = [
    ("halfopend.8", include_str!("halfopend.8")),
    ("halfopend.toml.5", include_str!("halfopend.toml.5")),
];

fn main() -> io::Result<()> {
    let words: Vec<_> = env::args().skip(1).collect();
    let [folder, date] = &words[..] else { panic!("usage: halfopend_documents FOLDER DATE") };
    let folder = Path::new(folder);
    fs::create_dir_all(folder)?;
    let man = Man::new(Arguments::command());
    let (mut synopsis, mut options) = (Vec::new(), Vec::new());
    man.render_synopsis_section(&mut synopsis)?;
    man.render_options_section(&mut options)?;
    let text = |roff: &[u8]| String::from_utf8_lossy(roff).trim_end().to_owned();
    for (name, page) in PAGES {
        let page = page
            .replace("@DATE@", date)
            .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
            .replace("@SYNOPSIS@", &text(&synopsis))
            .replace("@OPTIONS@", &text(&options));
        fs::write(folder.join(name), page)?;
    }
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut Arguments::command(), "halfopend", folder)?;
    }
    Ok(())
}
