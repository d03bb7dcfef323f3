//! Reads the configuration again, and decides whether it can be put into force.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, mpsc};
use std::{io, mem, thread};

use halfopen::local_error::in_words;

use super::members::Host;
use super::names::{Answer, Names};
use super::plan::{InForce, Plan};
use super::restart::{needs_restart, use_open_engines};
use crate::config::Config;

/// Reads the configuration, on a thread of its own. The error says what is wrong and where.
pub type ReadConfig = Arc<dyn Fn() -> Result<Config, String> + Send + Sync>;

/// The configuration, and how far a reload of it has got.
pub(super) struct Reload {
    read: ReadConfig,
    /// What the program was started with.
    start: Arc<Config>,
    pub(super) in_force: Arc<InForce>,
    pub(super) stage: Stage,
    /// True if another reload was asked for meanwhile.
    again: bool,
}

/// How far a reload has got.
pub(super) enum Stage {
    /// There is none.
    Idle,
    /// A thread reads the configuration.
    Reading(Reading),
    /// Names that are new are being looked up, under these ids.
    Resolving(Plan, Vec<u32>),
    /// The fleet is being changed.
    Changing,
}

/// A thread that reads the configuration.
pub(super) struct Reading {
    result: mpsc::Receiver<Result<Plan, String>>,
    /// Can be read when the thread has ended.
    done: UnixStream,
}

impl Reload {
    /// Creates what reloads a configuration. That of the start, without its targets, says what
    /// cannot be changed.
    pub(super) fn new(read: ReadConfig, start: Config, in_force: Arc<InForce>) -> Self {
        Self { read, start: Arc::new(start), in_force, stage: Stage::Idle, again: false }
    }

    /// Starts to read the configuration, or remembers to do so later.
    ///
    /// # Errors
    ///
    /// Returns an error if no thread can be started.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        if !matches!(self.stage, Stage::Idle) {
            self.again = true;
            return Ok(());
        }
        let (done, running) = UnixStream::pair()?;
        let (sender, result) = mpsc::channel();
        let (read, start) = (Arc::clone(&self.read), Arc::clone(&self.start));
        let in_force = Arc::clone(&self.in_force);
        let make_plan = move || {
            let mut config = read()?;
            use_open_engines(&start, &mut config);
            needs_restart(&start, &in_force.pools, &config)?;
            Ok(Plan::between(&in_force, InForce::of(config)))
        };
        thread::Builder::new().name("reload".to_owned()).spawn(move || {
            let _ = sender.send(make_plan());
            drop(running);
        })?;
        self.stage = Stage::Reading(Reading { result, done });
        Ok(())
    }

    /// Ends a reload. Returns true if another one was asked for meanwhile.
    pub(super) fn end(&mut self) -> bool {
        self.stage = Stage::Idle;
        mem::take(&mut self.again)
    }

    /// Returns a descriptor that can be read when the configuration was read.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.stage {
            Stage::Reading(reading) => Some(reading.done.as_fd()),
            Stage::Idle | Stage::Resolving(..) | Stage::Changing => None,
        }
    }
}

impl Reading {
    /// Returns what the thread has read, when it has.
    pub(super) fn poll(&self) -> Option<Result<Plan, String>> {
        match self.result.try_recv() {
            Ok(result) => Some(result),
            Err(mpsc::TryRecvError::Empty) => None,
            Err(mpsc::TryRecvError::Disconnected) => Some(Err("the reader has failed".to_owned())),
        }
    }
}

/// Returns true if all of these names have addresses.
///
/// # Errors
///
/// Returns why one of them has none.
pub(super) fn are_resolved(names: &Names, ids: &[u32]) -> Result<bool, String> {
    let mut are_resolved = true;
    for id in ids {
        let why = match names.answer(*id) {
            Answer::Addresses(_) => continue,
            Answer::None => {
                are_resolved = false;
                continue;
            }
            Answer::Gone(failure) => failure.to_string(),
            Answer::Fault(Ok(verdict)) => verdict.reason.to_string(),
            Answer::Fault(Err(error)) => error.to_string(),
        };
        let host = match names.host(*id) {
            Host::Name(name) => name.to_string(),
            Host::LinkLocal(address, scope) => format!("{address}%{scope}"),
        };
        return Err(format!("{host}: {why}"));
    }
    Ok(are_resolved)
}

/// Returns why no thread could be started.
pub(super) fn no_thread(error: &io::Error) -> String {
    format!("no thread for it: {}", in_words(error))
}
