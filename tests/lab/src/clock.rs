//! A clock for the program that a busy machine does not change.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::IntoRawFd;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The environment variable with the file to which the program's clock writes [`Times`] at its end.
const REPORT: &str = "UNHURRIED_CLOCK";

/// The program has a clock that leaves out whatever else the machine keeps it from doing: its SYNs
/// leave when they are due, and silence is waited for to the end. For programs that the C library
/// lets have it (`AT_SECURE`, ld.so(8)).
pub(crate) fn unhurried(mut command: Command) -> Command {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let report = folder().join(format!("waited.{}.{number}", process::id()));
    let mut preloaded = library().as_os_str().to_owned();
    if let Some((_, Some(other))) = command.get_envs().find(|(name, _)| *name == "LD_PRELOAD") {
        preloaded = [other, &preloaded].join(OsStr::new(":"));
    }
    command.env("LD_PRELOAD", preloaded).env(REPORT, report);
    command
}

/// Returns the file to which the clock of the program writes [`Times`].
pub(crate) fn report_of(command: &Command) -> Option<PathBuf> {
    let mut report = command.get_envs().filter(|(name, _)| *name == REPORT);
    report.next()?.1.map(PathBuf::from)
}

/// What the clock of a program has measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Times {
    /// How long the program has waited in all.
    pub(crate) waited: Duration,
    /// The longest that the machine kept it from going on when it could, by the kernel's account.
    pub(crate) held_up: Duration,
}

impl Times {
    /// Reads the times of the program that waited longest, if several had the clock.
    pub(crate) fn read(report: &Path) -> Option<Self> {
        let text = fs::read_to_string(report).ok()?;
        let _ = fs::remove_file(report);
        let read = |line: &str| {
            let nanoseconds = |number: &str| number.parse().map(Duration::from_nanos).ok();
            let (waited, held_up) = line.split_once(' ')?;
            Some(Self { waited: nanoseconds(waited)?, held_up: nanoseconds(held_up)? })
        };
        text.lines().map(|line| read(line).expect("two numbers")).max()
    }
}

pub(crate) fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let new = folder().join(format!("clock.{}.so", process::id()));
        let source =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/namespaces/lab/unhurried_clock.c");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-Wall", "-Werror", "-O2", "-o"]).args([&new, &source]);
        let compiled = cc.output().expect("cc: scripts/test installs what the tests need");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        // By its descriptor, held to the end: a path that is preloaded has no spaces, and nothing
        // is left behind.
        let library = File::open(&new).expect("just made").into_raw_fd();
        fs::remove_file(new).expect("a file of ours");
        PathBuf::from(format!("/proc/{}/fd/{library}", process::id()))
    })
}

fn folder() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}
