//! A clock for the program that the load of the machine does not change.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::IntoRawFd;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use crate::program::target_folder;

/// The environment variable with the file to which the program's clock writes [`Times`] at its end.
const REPORT: &str = "UNHURRIED_CLOCK";

/// Gives the program a clock that counts only its own waits, not what else the machine does: its
/// SYNs leave when they are due, and silence is waited for to the end. It has no effect on programs
/// with privilege of their own (`AT_SECURE`, ld.so(8)).
pub fn with_own_clock(mut command: Command) -> Command {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let report = folder().join(format!("waited.{}.{number}", process::id()));
    let mut preloaded = own_clock().as_os_str().to_owned();
    if let Some((_, Some(other))) = command.get_envs().find(|(name, _)| *name == "LD_PRELOAD") {
        preloaded = [other, &preloaded].join(OsStr::new(":"));
    }
    command.env("LD_PRELOAD", preloaded).env(REPORT, report);
    command
}

/// Returns the file to which the clock of the program writes [`Times`].
pub fn report_of(command: &Command) -> Option<PathBuf> {
    let mut report = command.get_envs().filter(|(name, _)| *name == REPORT);
    report.next()?.1.map(PathBuf::from)
}

/// What the clock of a program has measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Times {
    /// How long the program has waited in all.
    pub waited: Duration,
    /// The longest time for which it was ready to run and did not, as the kernel counts it.
    pub held_up: Duration,
    /// When its last wait ended (`CLOCK_MONOTONIC`).
    last_wait: Duration,
}

impl Times {
    /// Reads the times of the program that waited longest, if several had the clock.
    pub fn read(report: &Path) -> Option<Self> {
        let text = fs::read_to_string(report).ok()?;
        let _ = fs::remove_file(report);
        let read = |line: &str| {
            let nanoseconds = |number: &str| number.parse().map(Duration::from_nanos).ok();
            let mut numbers = line.split(' ').map(nanoseconds);
            let mut next = || numbers.next().flatten();
            Some(Self { waited: next()?, held_up: next()?, last_wait: next()? })
        };
        text.lines().map(|line| read(line).expect("three numbers")).max()
    }

    /// Returns when its last wait ended. What arrives later does not count for it, however long it
    /// takes to end.
    pub fn last_wait(&self) -> Instant {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("the clock of Instant, on Linux");
        let since = Duration::from(now).saturating_sub(self.last_wait);
        Instant::now().checked_sub(since).expect("the machine has run for longer")
    }
}

/// Returns the library to preload for such a clock, by a path that works while this process runs.
pub fn own_clock() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let new = folder().join(format!("clock.{}.so", process::id()));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/own_clock.c");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-Wall", "-Werror", "-O2", "-o"]).arg(&new).arg(source);
        let compiled = cc.output().expect("cc: scripts/test installs what the tests need");
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        // The path is that of a descriptor, which stays open: paths to preload may not contain
        // spaces, and no file is left behind.
        let library = File::open(&new).expect("just made").into_raw_fd();
        fs::remove_file(new).expect("a file of ours");
        PathBuf::from(format!("/proc/{}/fd/{library}", process::id()))
    })
}

/// Returns cargo's folder for temporary files of tests (`CARGO_TARGET_TMPDIR`).
fn folder() -> PathBuf {
    target_folder().with_file_name("tmp")
}
