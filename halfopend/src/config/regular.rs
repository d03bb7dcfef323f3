//! Opens files without waiting for anything.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::libc::O_NONBLOCK;

/// Opens a regular file for reading. Other files are refused: configurations are read again at each
/// reload, and a FIFO would keep the program waiting for a writer.
///
/// # Errors
///
/// Returns an error if it cannot be opened, or is something else.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let file = File::options().read(true).custom_flags(O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
}
