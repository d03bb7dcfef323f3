//! The process that runs one hook, and watches over everything that this one starts.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use halfopen::local_error::in_words;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;

use super::channel::{Channel, Received};
use super::children::Children;
use super::message::{End, Report, Run};

/// How long a hook, and what it has started, may take.
const LIMIT: Duration = Duration::from_secs(10);

/// How much of what a hook prints is kept.
const KEPT: usize = 4096;

/// The most bytes that a pipe takes without blocking when it is ready (`PIPE_BUF`, pipe(7)).
const CHUNK: usize = 4096;

/// Runs the hook that the helper wants, and reports how it has ended. The hook is killed if the
/// helper ends first.
pub(super) fn serve(channel: &Channel) -> Result<(), Errno> {
    let _ = prctl::set_name(c"halfopend-hook");
    let children = Children::watch()?;
    let run = loop {
        match channel.receive::<Run>() {
            Received::Message(run) => break run,
            Received::Closed => return Ok(()),
            Received::Nothing => wait(&mut [readable(channel)], None),
        }
    };
    let number = run.number;
    let report = match Hook::start(run) {
        Ok(hook) => hook.watch_over(&children, channel),
        Err(error) => Report::silent(number, End::NotStarted(in_words(&error))),
    };
    channel.send(&report)
}

/// A hook under way.
struct Hook {
    number: u64,
    /// Its first process, which leads a process group, until it has ended.
    leader: Option<Pid>,
    end: End,
    input: Option<PipeWriter>,
    unwritten: Vec<u8>,
    output: Option<PipeReader>,
    kept: Vec<u8>,
    omitted: u64,
}

impl Hook {
    fn start(run: Run) -> io::Result<Self> {
        let Run { number, command, environment, input: object } = run;
        let (theirs, input) = io::pipe()?;
        let (output, printed) = io::pipe()?;
        let leader = Children::start(&command, &environment, &theirs, &printed)?;
        Ok(Self {
            number,
            leader: Some(leader),
            end: End::Unwatched,
            input: Some(input),
            unwritten: object.into_bytes(),
            output: Some(output),
            kept: Vec::new(),
            omitted: 0,
        })
    }

    /// Waits until the hook and everything that it has started have ended, or kills them.
    fn watch_over(mut self, children: &Children, helper: &Channel) -> Report {
        let deadline = Instant::now() + LIMIT;
        while self.lives_on(children) {
            let left = deadline.saturating_duration_since(Instant::now());
            let is_abandoned = matches!(helper.receive::<Run>(), Received::Closed);
            if left.is_zero() || is_abandoned {
                self.kill(children);
                break;
            }
            self.serve(children, helper, left);
        }
        while self.output.as_ref().is_some_and(|output| is_ready(readable(output))) {
            self.read();
        }
        let output = String::from_utf8_lossy(&self.kept).into_owned();
        Report { number: self.number, end: self.end, output, omitted: self.omitted }
    }

    /// Records which processes have ended. Returns true if there are others.
    fn lives_on(&mut self, children: &Children) -> bool {
        loop {
            let status = match children.poll() {
                Ok(Some(status)) => status,
                Ok(None) => return true,
                Err(_) => return false,
            };
            if status.pid() == self.leader {
                self.leader = None;
                self.end = match status {
                    WaitStatus::Signaled(_, signal, _) => End::Signalled(signal as i32),
                    WaitStatus::Exited(_, code) => End::Exited(code),
                    _ => continue,
                };
            }
        }
    }

    fn kill(&mut self, children: &Children) {
        if let Some(leader) = self.leader.take() {
            let _ = killpg(leader, Signal::SIGKILL); // all at once, as far as they are in the group
        }
        let is_over = children.kill(|_| false);
        self.end = if is_over { End::TimedOut } else { End::Survived };
    }

    /// Waits until something happens, and passes on what can be passed on.
    fn serve(&mut self, children: &Children, helper: &Channel, left: Duration) {
        let mut watched = vec![readable(children), readable(helper)];
        watched.extend(self.output.as_ref().map(readable));
        watched.extend(self.input.as_ref().map(writable));
        wait(&mut watched, Some(left));
        if self.output.as_ref().is_some_and(|output| is_ready(readable(output))) {
            self.read();
        }
        if self.input.as_ref().is_some_and(|input| is_ready(writable(input))) {
            self.write();
        }
    }

    /// Reads what the hook has printed, which is ready.
    fn read(&mut self) {
        let mut chunk = [0; 1 << 14];
        let length = self.output.as_mut().map_or(0, |output| output.read(&mut chunk).unwrap_or(0));
        if length == 0 {
            self.output = None;
        }
        let kept = length.min(KEPT - self.kept.len());
        self.kept.extend_from_slice(&chunk[..kept]);
        self.omitted += (length - kept) as u64;
    }

    /// Writes more of the object, for which there is room.
    fn write(&mut self) {
        let chunk = self.unwritten.len().min(CHUNK);
        let written = self.input.as_mut().map(|input| input.write(&self.unwritten[..chunk]));
        match written {
            Some(Ok(length)) => drop(self.unwritten.drain(..length)),
            _ => self.unwritten.clear(), // it does not read
        }
        if self.unwritten.is_empty() {
            self.input = None;
        }
    }
}

fn readable(descriptor: &impl AsFd) -> PollFd<'_> {
    PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)
}

fn writable(descriptor: &impl AsFd) -> PollFd<'_> {
    PollFd::new(descriptor.as_fd(), PollFlags::POLLOUT)
}

fn is_ready(descriptor: PollFd<'_>) -> bool {
    poll(&mut [descriptor], PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

fn wait(watched: &mut [PollFd<'_>], limit: Option<Duration>) {
    // Rounded up, so that the deadline has come afterwards.
    let limit = limit.map(|limit| limit + Duration::from_millis(1));
    let limit = limit.map_or(PollTimeout::NONE, |limit| {
        PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX)
    });
    let _ = poll(watched, limit);
}
