//! Scratch folders that other users may read, unlike those of `tempfile`.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

pub(crate) fn folder_for_everybody() -> TempDir {
    let folder = tempfile::tempdir().expect("a scratch directory");
    set_mode(folder.path(), 0o755);
    folder
}

/// Independent of the umask of the tests.
pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("our own");
}
