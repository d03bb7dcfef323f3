//! Hooks: programs that run when something happens to a pool.
//!
//! The daemon may start no process once it is confined, so a helper does ([`serve`]). The daemon
//! decides what runs when; the helper runs it, bounds its time and reports its end.

mod channel;
mod children;
mod environment;
mod helper;
mod message;
mod queue;
mod record;
mod runner;

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use halfopen::engine::Interrupt;
use halfopen::local_error::in_words;
use jiff::Timestamp;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

pub use self::helper::serve;
pub use self::record::{Failure, Line};

use self::channel::{Channel, Received};
use self::environment::environment;
use self::message::{End, Report, Run};
use self::queue::{Queue, Waiting};
use self::record::Record;
use crate::config::PoolConfig;
use crate::event::{Event, EventKind};
use crate::journal;

/// How long the daemon waits at its end for runs under way: a little longer than they may take.
const LAST_RUNS: Duration = Duration::from_secs(12);

/// The hooks of all pools, by the names of the pools.
pub type Commands = HashMap<Arc<str>, Arc<[String]>>;

/// Returns the hooks of pools that have one.
pub fn commands(pools: &[PoolConfig]) -> Commands {
    let hook = |pool: &PoolConfig| {
        let hook = pool.hook.as_deref()?;
        Some((pool.settings.name.clone(), hook.into()))
    };
    pools.iter().filter_map(hook).collect()
}

/// The helper could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the process that runs hooks ({0})")]
pub struct HelperError(String);

/// Passes events on to hooks, and never waits for them.
#[derive(Default)]
pub struct Hooks {
    helper: Option<Channel>,
    commands: Commands,
    engine: &'static str,
    queue: Queue,
    /// The run that has found no room in the socket.
    unsent: Option<Run>,
    /// Runs that the helper has, by number: their pools, and what to call them.
    under_way: HashMap<u64, (Arc<str>, String)>,
    last_number: u64,
    record: Record,
    /// True since an event has found no room, until all have been run.
    is_full: bool,
}

impl Hooks {
    /// Starts the helper, if there is any hook. `program` is this program; the helper gets the same
    /// user, capabilities and limits as it has now, and no descriptor of it.
    ///
    /// Call it while there is one thread, before sockets are opened.
    pub fn start(program: &str, commands: Commands) -> Result<Self, HelperError> {
        if commands.is_empty() {
            return Ok(Self::default());
        }
        let helper = Channel::pair().map_err(io::Error::from).and_then(|(ours, theirs)| {
            helper::start(program, helper::HELPER, theirs)?;
            Ok(ours)
        });
        let helper = helper.map_err(|error| HelperError(in_words(&error)))?;
        Ok(Self { helper: Some(helper), commands, ..Self::default() })
    }

    /// Returns true if there is a helper, so that hooks can run.
    pub fn can_run(&self) -> bool {
        self.helper.is_some()
    }

    /// Returns true if no event waits for its hook, and no hook runs.
    pub fn is_idle(&self) -> bool {
        self.queue.len() == 0 && self.under_way.is_empty()
    }

    /// Sets the name of the engine, which the objects contain.
    pub fn set_engine(&mut self, engine: &'static str) {
        self.engine = engine;
    }

    /// Adds hooks, or changes those of pools that have one. The others keep theirs.
    pub fn add_commands(&mut self, commands: Commands) {
        self.commands.extend(commands);
    }

    /// Replaces the hooks. Events that have been passed on already run the former ones.
    pub fn set_commands(&mut self, commands: Commands) {
        self.commands = commands;
    }

    /// Passes on an event that happened at `time`. One that concerns no pool concerns all.
    pub fn push(&mut self, event: &Event, time: Timestamp) {
        if event.kind == EventKind::Snapshot {
            return;
        }
        let pools: Vec<_> = match &event.pool {
            Some(pool) => self.commands.get_key_value(&pool.name).into_iter().collect(),
            None => self.commands.iter().collect(),
        };
        let pools: Vec<_> =
            pools.into_iter().map(|(name, hook)| (name.clone(), hook.clone())).collect();
        for (pool, command) in pools {
            if self.helper.is_none() {
                self.record.count(Failure::NoHelper, 1);
            } else if !self.queue.push(&pool, Waiting { command, event: event.clone(), time }) {
                self.record.count(Failure::QueueFull, 1);
                if !std::mem::replace(&mut self.is_full, true) {
                    self.record.warn(&format!(
                        "hooks are too slow: {} events wait, and more are lost",
                        self.queue.len()
                    ));
                }
            }
        }
    }

    /// Returns the descriptors that [`Hooks::handle`] serves.
    pub fn interrupts(&self) -> impl Iterator<Item = Interrupt<'_>> {
        let helper = self.helper.as_ref().map(AsFd::as_fd);
        let writable = helper.filter(|_| self.unsent.is_some()).map(Interrupt::Writable);
        helper.map(Interrupt::Readable).into_iter().chain(writable)
    }

    /// Takes reports from the helper, and starts what may run. Never blocks.
    pub fn handle(&mut self) {
        self.receive();
        self.flush();
    }

    /// Starts what may run.
    pub fn flush(&mut self) {
        while self.helper.is_some() {
            let Some(run) = self.unsent.take().or_else(|| self.next_run()) else { return };
            match self.helper.as_ref().map_or(Err(Errno::EPIPE), |helper| helper.send(&run)) {
                Ok(()) => {}
                Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::EINTR) => {
                    self.unsent = Some(run);
                    return;
                }
                Err(Errno::EMSGSIZE) => {
                    let end = End::NotStarted(Errno::E2BIG.desc().to_owned());
                    self.ended(&Report::silent(run.number, end));
                }
                Err(_) => self.lose_helper(),
            }
        }
    }

    /// Returns the next line for the log.
    pub fn poll_line(&mut self) -> Option<Line> {
        self.record.poll_line()
    }

    /// Returns how many events did not do what their hooks should, for this reason.
    pub fn failures(&self, reason: Failure) -> u64 {
        self.record.failures(reason)
    }

    /// Returns how many runs have failed, for any reason.
    pub fn all_failures(&self) -> u64 {
        Failure::ALL.into_iter().map(|reason| self.failures(reason)).sum()
    }

    /// Starts no more runs, and waits for those under way until `stop` can be read.
    pub fn finish(&mut self, stop: &impl AsFd) {
        let unsent = self.unsent.take().and_then(|run| self.under_way.remove(&run.number));
        let lost = self.queue.clear() + usize::from(unsent.is_some());
        self.record.give_up(Failure::Stopped, lost, "the daemon ends");
        let deadline = Instant::now() + LAST_RUNS;
        while !self.under_way.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(helper) = &self.helper else { break };
            let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
            let mut watched = [readable(helper.as_fd()), readable(stop.as_fd())];
            let limit = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let ready = poll(&mut watched, limit);
            if matches!(ready, Ok(0)) || watched[1].any() == Some(true) {
                break;
            }
            self.receive();
        }
        // The helper kills what is left when it finds the socket closed.
        self.helper = None;
        let lost = self.under_way.drain().count();
        self.record.give_up(Failure::Stopped, lost, "the daemon ends");
    }

    fn receive(&mut self) {
        while let Some(helper) = &self.helper {
            match helper.receive() {
                Received::Message(report) => self.ended(&report),
                Received::Nothing => return,
                Received::Closed => self.lose_helper(),
            }
        }
    }

    fn next_run(&mut self) -> Option<Run> {
        let (pool, Waiting { command, event, time }) = self.queue.poll()?;
        self.last_number += 1;
        let run = Run {
            number: self.last_number,
            command: command.to_vec(),
            environment: environment(&event, &pool),
            input: journal::render(&event, time, self.engine, None, 0) + "\n",
        };
        let target = event.target.as_ref().map(|target| format!(" {}", target.label));
        let name = format!(
            "hook of pool {pool}, event {} ({}{})",
            event.sequence,
            event.kind.name(),
            target.unwrap_or_default()
        );
        self.under_way.insert(run.number, (pool, name));
        Some(run)
    }

    fn ended(&mut self, report: &Report) {
        let Some((pool, name)) = self.under_way.remove(&report.number) else { return };
        self.queue.ended(&pool);
        self.is_full &= self.queue.len() > 0;
        self.record.ended(&name, report);
    }

    fn lose_helper(&mut self) {
        self.helper = None;
        self.unsent = None; // it is among those under way
        let lost = self.under_way.drain().count() + self.queue.clear();
        self.record.warn(
            "the process that runs hooks has ended; no hook runs until halfopend is restarted",
        );
        self.record.give_up(Failure::NoHelper, lost, "it has ended");
    }
}

#[cfg(test)]
mod examples;
