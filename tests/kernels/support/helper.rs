//! Programs in C that use what the standard library has no names for.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A program that is built from a file beside the tests.
pub(crate) struct Helper {
    path: PathBuf,
    _folder: TempDir,
}

impl Helper {
    pub(crate) fn build(source: &str) -> Self {
        let folder = tempfile::tempdir().expect("a scratch directory");
        let path = folder.path().join("helper");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernels").join(source);
        let mut cc = Command::new("cc");
        cc.args(["-Wall", "-Werror", "-O2", "-o"]).arg(&path).arg(source);
        let built = cc.output().expect("cc: scripts/test installs what the tests need");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Self { path, _folder: folder }
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command.args(words);
        command
    }
}
