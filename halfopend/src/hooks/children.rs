//! The children of this process, which adopts all descendants whose own parents have ended
//! (`PR_SET_CHILD_SUBREAPER`).

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::process;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// How long killed processes may take to end. Another user's may not be killed at all, and some
/// wait for a device or a file server.
const PATIENCE: Duration = Duration::from_secs(1);

/// The time between attempts to kill what the killed have left behind: little, because that may
/// start other processes meanwhile.
const PAUSE: u8 = 1; // milliseconds

/// Tells of children that have ended.
pub(super) struct Children(SignalFd);

impl Children {
    /// Adopts descendants from now on, and watches children. Signals that ask a program to end no
    /// longer end this one: it ends with the process that has started it.
    pub(super) fn watch() -> Result<Self, Errno> {
        blocked().thread_block()?;
        prctl::set_child_subreaper(true)?;
        let ended = SigSet::from_iter([Signal::SIGCHLD]);
        SignalFd::with_flags(&ended, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).map(Self)
    }

    /// Starts a program by its path, with nothing but this environment, in a process group of its
    /// own and with no signals blocked. This process keeps its own blocked throughout. `output` is
    /// for what the program prints, errors or not.
    ///
    /// # Errors
    ///
    /// Returns the error of the kernel. Before glibc 2.24, a program that cannot be run ends with
    /// code 127 instead (`posix_spawn(3)`).
    pub(super) fn start(
        command: &[String],
        environment: &[(String, String)],
        input: &impl AsRawFd,
        output: &impl AsRawFd,
    ) -> io::Result<Pid> {
        let program = command.first().ok_or(io::ErrorKind::InvalidInput)?;
        let words = command.iter().map(|word| CString::new(word.as_str()));
        let words = words.collect::<Result<Vec<_>, _>>()?;
        let variables =
            environment.iter().map(|(name, value)| CString::new(format!("{name}={value}")));
        let variables = variables.collect::<Result<Vec<_>, _>>()?;
        let mut files = PosixSpawnFileActions::init()?;
        files.add_dup2(input.as_raw_fd(), 0)?;
        files.add_dup2(output.as_raw_fd(), 1)?;
        files.add_dup2(output.as_raw_fd(), 2)?;
        let mut attributes = PosixSpawnAttr::init()?;
        attributes.set_flags(
            PosixSpawnFlags::POSIX_SPAWN_SETPGROUP
                | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK
                | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF,
        )?;
        attributes.set_pgroup(Pid::from_raw(0))?; // its own number
        attributes.set_sigmask(&SigSet::empty())?;
        attributes.set_sigdefault(&SigSet::from_iter([Signal::SIGPIPE]))?; // ignored by the runtime
        Ok(posix_spawn(program.as_str(), &files, &attributes, &words, &variables)?)
    }

    /// Returns the next child that has ended, and how. Fails with `ECHILD` if there are no children
    /// any more.
    pub(super) fn poll(&self) -> Result<Option<WaitStatus>, Errno> {
        while matches!(self.0.read_signal(), Ok(Some(_))) {} // before the children are asked
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => Ok(None),
            Ok(status) => Ok(Some(status)),
            Err(errno) => Err(errno),
        }
    }

    /// Kills all children and their descendants, except the `spared`, which are children. Returns
    /// false if some of them live on.
    pub(super) fn kill(&self, spared: impl Fn(Pid) -> bool) -> bool {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let condemned: Vec<_> = list().into_iter().filter(|pid| !spared(*pid)).collect();
            if condemned.is_empty() {
                return true;
            }
            for pid in condemned {
                // Its own children become ours as soon as it has ended.
                let _ = kill(pid, Signal::SIGKILL);
                let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
            }
            let _ = poll(&mut [PollFd::new(self.as_fd(), PollFlags::POLLIN)], PAUSE);
            while matches!(self.0.read_signal(), Ok(Some(_))) {}
        }
        list().into_iter().all(spared)
    }
}

impl AsFd for Children {
    /// Returns a descriptor that can be read when a child has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn blocked() -> SigSet {
    SigSet::from_iter([
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGQUIT,
        Signal::SIGHUP,
        Signal::SIGCHLD,
    ])
}

/// Returns the children of this process. They keep their numbers until they are waited for.
///
/// The kernel may have no list of children (`CONFIG_PROC_CHILDREN`); to look at all processes takes
/// longer.
fn list() -> Vec<Pid> {
    let own = process::id();
    let pids: Vec<_> = match fs::read_to_string(format!("/proc/{own}/task/{own}/children")) {
        Ok(list) => list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect(),
        Err(_) => fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|pid| parent(*pid) == Some(own))
            .collect(),
    };
    pids.into_iter().map(Pid::from_raw).collect()
}

/// Returns the parent of a process (`/proc/PID/stat`).
fn parent(pid: i32) -> Option<u32> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let name = stat.iter().rposition(|byte| *byte == b')')?;
    let after = std::str::from_utf8(&stat[name + 1..]).ok()?;
    after.split_whitespace().nth(1)?.parse().ok()
}
