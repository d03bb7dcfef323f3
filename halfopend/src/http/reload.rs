//! `/-/reload`: asks the loop to read the configuration again, and answers when it has.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::StatusCode;
use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::sync::oneshot::{self, error::RecvError};
use tokio::time::{Instant, sleep_until, timeout};

use super::reply::{self, Response};
use super::shared::Shared;

/// How long a client waits for a reload, which waits for names.
const PATIENCE: Duration = Duration::from_mins(1);

/// The least time between two batches of requests: each reload is work for the loop.
const REST: Duration = Duration::from_secs(1);

/// What a reload has done, or why it has changed nothing.
type Report = Result<String, String>;

/// Requests to read the configuration again, on their way from clients to the loop.
pub struct Reloads {
    queue: Mutex<Queue>,
    /// Readable if someone asks.
    wake: EventFd,
}

#[derive(Default)]
struct Queue {
    /// Those of whom the loop does not know yet.
    asking: Vec<oneshot::Sender<Report>>,
    /// Those who wait for a report.
    waiting: Vec<Waiting>,
    /// When others may ask.
    rested: Option<Instant>,
}

struct Waiting {
    client: oneshot::Sender<Report>,
    /// True if the next report is about a reload that began before the client asked.
    is_early: bool,
}

impl Reloads {
    pub(super) fn new() -> io::Result<Self> {
        let wake = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
        Ok(Self { queue: Mutex::default(), wake })
    }

    /// Returns true if someone has asked for a reload since this was called last.
    pub fn take(&self) -> bool {
        self.wake.read().is_ok()
    }

    /// Lets everyone who has asked so far wait for the end of a reload that begins now, or after
    /// the one that is under way.
    pub fn wait(&self, is_under_way: bool) {
        let Queue { asking, waiting, .. } = &mut *self.queue();
        let wait = |client| Waiting { client, is_early: is_under_way };
        waiting.extend(asking.drain(..).map(wait));
    }

    /// Tells how the reload that was under way has ended.
    pub fn ended(&self, report: &Report) {
        let mut queue = self.queue();
        for Waiting { client, is_early } in std::mem::take(&mut queue.waiting) {
            if is_early {
                queue.waiting.push(Waiting { client, is_early: false });
            } else {
                let _ = client.send(report.clone()); // it may be gone
            }
        }
    }

    /// Asks for a reload. Clients that have to wait until they may ask, ask together.
    async fn ask(&self) -> Result<Report, RecvError> {
        let rested = self.queue().rested;
        if let Some(rested) = rested {
            sleep_until(rested).await;
        }
        let (sender, receiver) = oneshot::channel();
        {
            let mut queue = self.queue();
            queue.asking.push(sender);
            queue.rested = Some(Instant::now() + REST);
        }
        let _ = self.wake.write(1); // fails only if it is readable
        receiver.await
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Reloads {
    /// Returns a descriptor that can be read when someone asks.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

pub(super) async fn reload(shared: Arc<Shared>) -> Response {
    let report = match timeout(PATIENCE, shared.reloads.ask()).await {
        Ok(Ok(report)) => report,
        Ok(Err(_)) => Err("reload: the daemon ends".to_owned()),
        Err(_) => Err("reload: still under way, the log tells how it ends".to_owned()),
    };
    match report {
        Ok(done) => reply::text(StatusCode::OK, done + "\n"),
        Err(failed) => reply::text(StatusCode::INTERNAL_SERVER_ERROR, failed + "\n"),
    }
}
