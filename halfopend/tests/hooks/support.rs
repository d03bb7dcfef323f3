//! A pool with a hook, and events for it.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use halfopen::engine::Interrupt;
use halfopend::event::{Event, EventKind, PoolView, TargetView};
use halfopend::fleet::health::State;
use halfopend::hooks::{Commands, Failure, Hooks};
use jiff::Timestamp;
use nix::poll::{PollFd, PollFlags, poll};
use tempfile::TempDir;

/// Ends a test that hangs.
const PATIENCE: Duration = Duration::from_mins(5);

/// The pool `web`, whose hook is a shell script in a folder of its own.
pub(crate) struct Trial {
    pub(crate) hooks: Hooks,
    folder: TempDir,
    pub(crate) lines: Vec<String>,
    sequence: u64,
}

impl Trial {
    /// Creates the pool. The script's first argument is its folder.
    pub(crate) fn new(script: &str) -> Self {
        let folder = TempDir::new().expect("a place for temporary files");
        let trial = Self { hooks: Hooks::default(), folder, lines: Vec::new(), sequence: 0 };
        let command = trial.script("hook", script);
        let hooks = Hooks::start(env!("CARGO_BIN_EXE_halfopend"), commands(&command));
        Self { hooks: hooks.expect("the built program"), ..trial }
    }

    /// Returns the command of another script.
    pub(crate) fn script(&self, name: &str, script: &str) -> Vec<String> {
        let path = self.path(name);
        fs::write(&path, format!("cd \"$1\"\n{script}\n")).expect("its own folder");
        fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("its own file");
        // Not as a program: a child of another test may still have it open for writing.
        let folder = self.path("").display().to_string();
        vec!["/bin/sh".to_owned(), path.display().to_string(), folder]
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns what was written to a file so far.
    pub(crate) fn file(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Returns the process ids in a file, once there are so many.
    pub(crate) fn processes(&mut self, name: &str, count: usize) -> Vec<i32> {
        let read = |trial: &Self| -> Vec<i32> {
            let numbers = trial.file(name);
            let whole = numbers.rfind('\n').map_or("", |end| &numbers[..end]);
            whole.lines().map(|line| line.trim().parse().expect("a number")).collect()
        };
        self.until("the processes have begun", |trial| read(trial).len() >= count);
        read(self)
    }

    /// A transition of a target.
    pub(crate) fn push(&mut self, kind: EventKind, label: &str) -> u64 {
        self.push_with(kind, label, "no answer to 3 SYNs in 1.5 s")
    }

    pub(crate) fn push_with(&mut self, kind: EventKind, label: &str, reason: &str) -> u64 {
        let to = if kind == EventKind::Up { State::Up } else { State::Down };
        let from = if kind == EventKind::Up { State::Down } else { State::Up };
        let target = TargetView {
            id: 0,
            label: label.into(),
            endpoint: Some(SocketAddr::from(([192, 0, 2, 7], 443))),
            from,
            to,
            finding: (kind == EventKind::Down).then_some("filtered"),
            reason: Some(reason.to_owned()),
            count: 3,
            advertised: to,
            is_held: false,
        };
        let pool = PoolView {
            name: "web".into(),
            up: 9,
            targets: 10,
            fails_open: false,
            fails_open_at: None,
        };
        self.sequence += 1;
        let sequence = self.sequence;
        let event = Event { sequence, kind, pool: Some(pool), target: Some(target) };
        self.hooks.push(&event, Timestamp::UNIX_EPOCH);
        self.hooks.handle();
        sequence
    }

    /// Serves the hooks until this holds.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            self.serve(Duration::from_millis(10));
            assert!(Instant::now() < deadline, "waited until {what}: {:#?}", self.lines);
        }
    }

    /// Serves the hooks until none runs.
    #[track_caller]
    pub(crate) fn until_idle(&mut self) {
        self.until("no hook runs", |trial| trial.hooks.is_idle());
    }

    /// Serves the hooks until a line of the log contains this.
    #[track_caller]
    pub(crate) fn until_logged(&mut self, words: &str) {
        self.until(&format!("the log says {words:?}"), |trial| trial.has_logged(words));
    }

    pub(crate) fn has_logged(&self, words: &str) -> bool {
        self.lines.iter().any(|line| line.contains(words))
    }

    pub(crate) fn assert_failures(&self, expected: &[(Failure, u64)]) {
        for reason in Failure::ALL {
            let found = expected.iter().find(|(failure, _)| *failure == reason);
            let count = found.map_or(0, |(_, count)| *count);
            assert_eq!(self.hooks.failures(reason), count, "{reason:?}: {:#?}", self.lines);
        }
    }

    fn serve(&mut self, limit: Duration) {
        let mut watched: Vec<_> = self
            .hooks
            .interrupts()
            .map(|interrupt| match interrupt {
                Interrupt::Readable(descriptor) => PollFd::new(descriptor, PollFlags::POLLIN),
                Interrupt::Writable(descriptor) => PollFd::new(descriptor, PollFlags::POLLOUT),
            })
            .collect();
        if watched.is_empty() {
            thread::sleep(limit);
        } else {
            let milliseconds = u8::try_from(limit.as_millis()).expect("short");
            let _ = poll(&mut watched, milliseconds);
        }
        drop(watched);
        self.hooks.handle();
        self.lines.extend(std::iter::from_fn(|| self.hooks.poll_line()).map(|line| line.text));
    }
}

pub(crate) fn commands(command: &[String]) -> Commands {
    [("web".into(), command.into())].into()
}
