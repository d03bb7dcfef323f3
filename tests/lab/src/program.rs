//! Programs that run inside a namespace, and how they ended.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::net::IpAddr;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::clock::{self, Times, with_own_clock};

/// Returns the path of the program: in the environment, as `HALFOPEN`, or the built one, which
/// cargo puts above the folder of the tests.
pub fn halfopen_path() -> &'static str {
    static PATH: LazyLock<String> = LazyLock::new(|| {
        let built = || target_folder().join("halfopen");
        let path = env::var_os("HALFOPEN").map_or_else(built, PathBuf::from);
        path.into_os_string().into_string().expect("the tests are in a folder whose name is text")
    });
    &PATH
}

/// Returns the folder with the built programs, for example `target/debug`.
pub fn target_folder() -> PathBuf {
    let test = env::current_exe().expect("/proc is mounted");
    test.ancestors().nth(2).expect("tests are in target/debug/deps").to_owned()
}

/// Returns after how long a test ends what hangs. No test depends on it: a busy machine takes
/// minutes for what takes seconds on another. On an emulated one that takes longer still,
/// `scripts/kernels` sets it, in seconds.
pub fn patience() -> Duration {
    static PATIENCE: LazyLock<Duration> = LazyLock::new(|| {
        let set = env::var("PATIENCE").map(|text| text.parse().expect("PATIENCE in seconds"));
        set.map_or(Duration::from_mins(5), Duration::from_secs)
    });
    *PATIENCE
}

/// Returns a command that runs a script of the shell with these words. Its processes and mounts end
/// with it: daemons leave their process group, but not their process namespace. Its first process
/// is `timeout`, in case nothing is left to kill it.
pub fn contained<W: AsRef<OsStr>>(script: &str, words: impl IntoIterator<Item = W>) -> Command {
    let seconds = (3 * patience()).as_secs().to_string();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "timeout", &seconds]);
    command.args(["sh", "-c", script]).args(words);
    command
}

/// Returns how long to wait before looking again for what has not happened for so long. Looking
/// more often would slow down the rest, above all on an emulated machine.
pub fn pause(waited: Duration) -> Duration {
    (waited / 16).clamp(Duration::from_millis(1), Duration::from_millis(50))
}

/// Returns the program with these words, and a clock that load does not change.
pub fn halfopen(arguments: &[&str]) -> Command {
    let mut command = Command::new(halfopen_path());
    command.args(arguments);
    with_own_clock(command)
}

/// How a program ended.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code; 128 + the signal for a program that a signal ended, as in a shell.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    pub elapsed: Duration,
    /// What the clock of the program has measured, if it has one that load does not change.
    pub times: Option<Times>,
}

impl Outcome {
    /// Runs the command to its end, without input.
    pub(super) fn of(mut command: Command) -> Self {
        command.stdin(Stdio::null());
        Running::start(command).wait()
    }

    /// Returns how long it has waited in all. The load of the machine does not add to it.
    #[track_caller]
    pub fn assert_waited_at_most(&self, seconds: f64) {
        assert!(waited(self.times) <= Duration::from_secs_f64(seconds), "{self:#?}");
    }

    /// Returns the first line that `-o json` printed.
    pub fn json(&self) -> serde_json::Value {
        let line = self.stdout.lines().next().unwrap_or_default();
        serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("no JSON on the first line ({error}): {self:#?}"))
    }

    /// The same, field by field.
    pub fn verdict(&self) -> Verdict {
        let json = self.json();
        let text = |field: &str| json[field].as_str().map(str::to_owned);
        Verdict {
            state: text("state"),
            reason: text("reason").unwrap_or_default(),
            status: text("status").unwrap_or_default(),
            address: text("address").map(|address| address.parse().expect("an IP address")),
            tries: json["tries"].as_u64(),
            rtt: json["rtt"].as_f64(),
            code: self.code,
            elapsed: self.elapsed,
            times: self.times,
        }
    }
}

#[track_caller]
fn waited(times: Option<Times>) -> Duration {
    times.expect("a program with a clock of its own").waited
}

/// The output of the program with `-o json`, and how it ended.
#[derive(Debug)]
pub struct Verdict {
    /// `None` if there is no verdict.
    pub state: Option<String>,
    pub reason: String,
    pub status: String,
    pub address: Option<IpAddr>,
    pub tries: Option<u64>,
    /// In seconds.
    pub rtt: Option<f64>,
    pub code: i32,
    pub elapsed: Duration,
    pub times: Option<Times>,
}

impl Verdict {
    #[track_caller]
    pub fn assert_waited_at_most(&self, seconds: f64) {
        assert!(waited(self.times) <= Duration::from_secs_f64(seconds), "{self:?}");
    }

    /// Returns the state and the exit code, for comparison.
    pub fn ending(&self) -> (Option<&str>, i32) {
        (self.state.as_deref(), self.code)
    }
}

/// A running program, in a process group of its own. Dropping the value kills the group and reaps
/// the program.
pub struct Running {
    pub child: Child,
    started: Instant,
    report: Option<PathBuf>,
    stdout: Option<Collected>,
    stderr: Option<Collected>,
}

impl Running {
    pub(super) fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let (started, report) = (Instant::now(), clock::report_of(&command));
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!("cannot run {command:?} ({error}): scripts/test installs what the tests need")
        });
        let stdout = child.stdout.take().map(Collected::of);
        let stderr = child.stderr.take().map(Collected::of);
        Self { child, started, report, stdout, stderr }
    }

    /// Returns what it has printed so far.
    pub fn said(&self) -> String {
        self.stdout.as_ref().map_or_else(String::new, Collected::so_far)
    }

    /// Waits until the program ends by itself.
    pub fn wait(mut self) -> Outcome {
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("waits for its own child") {
                break status;
            }
            let elapsed = self.started.elapsed();
            assert!(elapsed < patience(), "a program hangs: process {}", self.child.id());
            thread::sleep(pause(elapsed));
        };
        let elapsed = self.started.elapsed();
        let text = |pipe: Option<Collected>| pipe.map_or_else(String::new, Collected::whole);
        Outcome {
            code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default()),
            stdout: text(self.stdout.take()),
            stderr: text(self.stderr.take()),
            elapsed,
            times: self.report.take().and_then(|report| Times::read(&report)),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It is not reaped yet, so the number is still its own.
        if matches!(self.child.try_wait(), Ok(None)) {
            let group = Pid::from_raw(self.child.id().cast_signed());
            let _ = killpg(group, Signal::SIGKILL);
            let _ = self.child.wait();
        }
        if let Some(report) = &self.report {
            let _ = fs::remove_file(report);
        }
    }
}

/// The output of a pipe, which is read as it arrives.
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Collected {
    fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&bytes);
        let reader = thread::spawn(move || {
            let mut chunk = vec![0; 65_536];
            while let Ok(length @ 1..) = pipe.read(&mut chunk) {
                kept.lock()
                    .expect("no thread panics while it holds the lock")
                    .extend_from_slice(&chunk[..length]);
            }
        });
        Self { bytes, reader }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(
            &self.bytes.lock().expect("no thread panics while it holds the lock"),
        )
        .into_owned()
    }

    fn whole(self) -> String {
        self.reader.join().expect("reads bytes");
        let bytes = std::mem::take(
            &mut *self.bytes.lock().expect("no thread panics while it holds the lock"),
        );
        String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }
}
