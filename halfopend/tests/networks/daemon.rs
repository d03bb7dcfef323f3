//! The daemon with a configuration, as a child of the test.

use std::fmt::Debug;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use lab::{Lab, Namespace, Running};

/// A bound on daemons that never say what they should.
pub(crate) const PATIENCE: Duration = Duration::from_mins(5);

/// The address of agents in the tests.
pub(crate) const AGENT: &str = "127.0.0.1:10116";

/// A configuration file, and a place for others.
pub(crate) struct Files(TempDir);

impl Files {
    pub(crate) fn new(configuration: &str) -> Self {
        let files = Self(tempfile::tempdir().expect("a place for temporary files"));
        files.write("halfopend.toml", configuration);
        files
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        fs::write(self.path(name), text).expect("its own directory");
        self.path(name)
    }

    /// Returns the daemon with this configuration, behind the words of another program.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let program = env!("CARGO_BIN_EXE_halfopend");
        let mut words = words.iter().copied().chain([program, "--config"]);
        let mut command = Command::new(words.next().expect("the program at least"));
        command.args(words).arg(self.path("halfopend.toml"));
        command.env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_USEC");
        command
    }
}

/// A running daemon. It ends when the value is dropped.
pub(crate) struct Daemon {
    pub(crate) running: Running,
}

impl Daemon {
    pub(crate) fn start(host: &Namespace, files: &Files) -> Self {
        Self::of(host, files.command(&[]))
    }

    pub(crate) fn of(host: &Namespace, command: Command) -> Self {
        Self { running: host.spawn(command) }
    }

    pub(crate) fn id(&self) -> Pid {
        Pid::from_raw(self.running.child.id().cast_signed())
    }

    /// Returns how long it was ready to run and did not, as the kernel counts it.
    pub(crate) fn held_up(&self) -> Duration {
        let path = format!("/proc/{}/schedstat", self.id());
        let counted = fs::read_to_string(path).expect("it runs");
        let nanoseconds = counted.split_whitespace().nth(1).and_then(|number| number.parse().ok());
        Duration::from_nanos(nanoseconds.expect("three numbers"))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.id(), signal).expect("a child of this process");
    }

    /// Returns its events so far.
    pub(crate) fn events(&self) -> Vec<Value> {
        let said = self.running.said();
        let whole = said.rfind('\n').map_or("", |end| &said[..end]);
        whole.lines().map(|line| serde_json::from_str(line).expect("an object")).collect()
    }

    /// Waits until there is such an event of the target, after the first `seen`, and returns how
    /// many events there are up to it.
    pub(crate) fn until(&mut self, seen: usize, event: &str, target: &str) -> usize {
        let mut found = None;
        wait_until(&format!("{event} of {target}"), || {
            let events = self.events();
            let is_it = |value: &Value| value["event"] == event && value["target"] == target;
            found = events.iter().skip(seen).position(is_it).map(|index| seen + index + 1);
            let ended = self.running.child.try_wait().expect("waits for its own child");
            assert!(ended.is_none() || found.is_some(), "the daemon ended, {ended:?}: {events:#?}");
            found.is_some()
        });
        found.expect("found")
    }
}

/// Waits for something that another process does.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    wait_for(what, || if is_so() { Ok(()) } else { Err("it is not so") });
}

/// Does the same, and says what there is instead if that does not happen.
pub(crate) fn wait_for<T: Debug>(what: &str, mut look: impl FnMut() -> Result<(), T>) {
    let patience = Instant::now() + PATIENCE;
    while let Err(instead) = look() {
        assert!(Instant::now() < patience, "waited {PATIENCE:?}: {what}: {instead:#?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Three servers in three networks, and a fourth that is always down.
pub(crate) const SERVERS: [&str; 3] = ["198.18.0.1:8025", "198.18.1.1:8025", "198.18.2.1:8025"];

/// A pool with these servers and an agent.
pub(crate) fn pool() -> String {
    format!(
        "[pool.web]\n\
         targets = {SERVERS:?}\n\
         interval = \"500ms\"\n\
         transition_interval = \"500ms\"\n\
         down_interval = \"500ms\"\n\
         timeout = \"400ms\"\n\
         retries = 1\n\
         agent = {AGENT:?}\n"
    )
}

/// Makes everything that the client sends to the servers fail at its own firewall, or no more.
pub(crate) fn block(lab: &Lab, blocked: bool) {
    lab.client.nft(if blocked {
        "table inet local { chain out { type filter hook output priority 0; \
         ip daddr 198.18.0.0/16 tcp dport 8025 drop; }; }"
    } else {
        "delete table inet local"
    });
}
