//! The helper: a process that is started before the daemon confines itself, and runs hooks for it.
//!
//! ```text
//! halfopend ── channel ── halfopend: hooks ── channel ── halfopend: hook ── the hook
//! ```
//!
//! There is one runner (`halfopend: hook`) for each run. It adopts everything that its hook starts,
//! so it knows when all of that has ended, and can kill it. Each process ends when the one before
//! it does. The helper reports a runner that has ended too early, and kills what it has left
//! behind.

use std::collections::{HashMap, VecDeque};
use std::env;
use std::fs;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};

use halfopen::local_error::in_words;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::unistd::{Pid, close, setsid};

use super::channel::{Channel, Received};
use super::children::Children;
use super::message::{End, Report, Run};
use super::runner;

/// The program's name as a helper (`argv[0]`).
pub(super) const HELPER: &str = "halfopend: hooks";

/// Its name as a runner.
const RUNNER: &str = "halfopend: hook";

/// Serves the process that has started this one as a helper or as a runner, if it has. Nobody else
/// calls the program by such a name, without arguments, and with such a socket as its input.
pub fn serve() -> Option<ExitCode> {
    let mut words = env::args_os();
    let name = words.next()?;
    let is_helper = name == HELPER;
    if words.next().is_some() || !(is_helper || name == RUNNER) {
        return None;
    }
    let channel = Channel::of_standard_input()?;
    let served = if is_helper { Helper::serve(channel) } else { runner::serve(&channel) };
    Some(served.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS))
}

/// Starts this program again, with `end` as its input and nothing else.
pub(super) fn start(program: &str, name: &str, end: OwnedFd) -> std::io::Result<Child> {
    let mut command = Command::new(program);
    command.arg0(name).env_clear().current_dir("/");
    command.stdin(end).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

struct Helper {
    daemon: Channel,
    children: Children,
    /// The runners, the numbers of their runs, and what they report by.
    runners: HashMap<Pid, (u64, Channel)>,
    /// Reports that found no room. There are no more of them than runs at once.
    unsent: VecDeque<Report>,
}

impl Helper {
    fn serve(daemon: Channel) -> Result<(), Errno> {
        close_all_but(&daemon);
        let _ = prctl::set_name(c"halfopend-hooks");
        let _ = setsid(); // signals of a terminal are for the daemon
        let children = Children::watch()?;
        let mut helper =
            Self { daemon, children, runners: HashMap::new(), unsent: VecDeque::new() };
        while helper.start_runs() {
            helper.reap();
            helper.send();
            helper.wait();
        }
        Ok(())
    }

    /// Starts the runs that the daemon wants. Returns false if the daemon has ended.
    fn start_runs(&mut self) -> bool {
        loop {
            match self.daemon.receive::<Run>() {
                Received::Message(run) => self.start_run(&run),
                Received::Nothing => return true,
                Received::Closed => return false,
            }
        }
    }

    fn start_run(&mut self, run: &Run) {
        let started = Channel::pair().map_err(Into::into).and_then(|(ours, theirs)| {
            let child = start("/proc/self/exe", RUNNER, theirs)?;
            ours.send(run)?;
            Ok((Pid::from_raw(child.id().cast_signed()), ours))
        });
        match started {
            Ok((pid, channel)) => drop(self.runners.insert(pid, (run.number, channel))),
            Err(error) => {
                let error: std::io::Error = error;
                let end = End::NotStarted(in_words(&error));
                self.unsent.push_back(Report::silent(run.number, end));
            }
        }
    }

    /// Takes the reports of runners that have ended.
    fn reap(&mut self) {
        while let Ok(Some(status)) = self.children.poll() {
            let runner = status.pid().and_then(|pid| self.runners.remove(&pid));
            let Some((number, channel)) = runner else { continue };
            let report = match channel.receive::<Report>() {
                Received::Message(report) => report,
                Received::Nothing | Received::Closed => Report::silent(number, End::Unwatched),
            };
            if matches!(report.end, End::Unwatched | End::Survived) {
                self.children.kill(|pid| self.runners.contains_key(&pid));
            }
            self.unsent.push_back(report);
        }
    }

    fn send(&mut self) {
        while let Some(report) = self.unsent.front() {
            match self.daemon.send(report) {
                Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::EINTR) => return,
                Ok(()) | Err(_) => drop(self.unsent.pop_front()),
            }
        }
    }

    fn wait(&self) {
        let writing = if self.unsent.is_empty() { PollFlags::empty() } else { PollFlags::POLLOUT };
        let mut watched = [
            PollFd::new(self.daemon.as_fd(), PollFlags::POLLIN | writing),
            PollFd::new(self.children.as_fd(), PollFlags::POLLIN),
        ];
        let _ = poll(&mut watched, PollTimeout::NONE);
    }
}

/// Closes descriptors that the daemon has not opened, but has from its own parent. Some parents
/// leak them.
fn close_all_but(daemon: &Channel) {
    use std::os::fd::AsRawFd;
    let Ok(open) = fs::read_dir("/proc/self/fd") else { return };
    let numbers = open.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let numbers: Vec<RawFd> = numbers.collect(); // and the folder is closed
    for number in numbers.into_iter().filter(|number| *number > 2) {
        if number != daemon.as_fd().as_raw_fd() {
            let _ = close(number);
        }
    }
}
