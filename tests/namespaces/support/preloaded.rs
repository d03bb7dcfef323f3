//! Libraries in C that are preloaded before a program's C library (`LD_PRELOAD`).

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::scratch::folder_for_everybody;
use lab::{Lab, Outcome};

/// A library that every user may read.
pub(crate) struct Preloaded {
    pub(crate) path: PathBuf,
    _folder: TempDir,
}

impl Preloaded {
    /// Builds it from this file beside the tests.
    pub(crate) fn build(lab: &Lab, source: &str) -> Self {
        let folder = folder_for_everybody();
        let path = folder.path().join("preloaded.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/namespaces").join(source);
        let (to, from) =
            (path.to_str().expect("plain letters"), source.to_str().expect("plain letters"));
        lab.client.run("cc", &["-shared", "-fPIC", "-Wall", "-Werror", "-O2", "-o", to, from]);
        Self { path, _folder: folder }
    }

    /// Runs the program with it, in the client's namespace.
    pub(crate) fn run(&self, lab: &Lab, mut command: Command) -> Outcome {
        command.env("LD_PRELOAD", &self.path);
        lab.client.outcome(command)
    }
}
