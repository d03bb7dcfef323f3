//! Serves HTTP, on a thread beside the loop.
//!
//! The thread reads what the loop shows it, and the loop never waits for it. Each path has a
//! handler in a file of its own; the module `router` lists them.

mod body;
mod connections;
mod health;
mod in_force;
mod metrics;
mod notices;
mod page;
mod places;
mod probe;
mod reload;
mod reply;
mod resolver;
mod router;
mod security;
mod serve;
mod shared;
mod stream;
mod targets;
mod tls;
mod users;
mod web_config;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use halfopen::local_error::in_words;
use halfopen::non_blocking_writer::Output;
use nix::libc;
use nix::sys::socket::{Backlog, listen};
use rustix::process::setpriority_process;
use tokio::runtime::{self, Runtime};
use tokio::time::sleep;

pub use self::in_force::InForce;
pub use self::notices::Notices;
pub use self::probe::Probes;
pub use self::reload::Reloads;
pub use self::security::WebConfigError;
pub use self::web_config::{Mistake, WebConfig};

use self::connections::{CONNECTIONS, Connections};
use self::resolver::LOOKUP_DESCRIPTORS;
use self::security::SecurityFiles;
use self::shared::Shared;
use self::users::Passwords;
use crate::live::Live;
use crate::log::Log;
use crate::probe::Terms;
use crate::visitors::Desk;

/// How many connections the kernel keeps until they are accepted.
const BACKLOG: i32 = 1024;

/// The system calls that the server needs beside those of checks. The first can only lower the
/// priority of what the same user runs, without privilege; the second tells how much time of
/// processors was used, for metrics.
pub const SYSTEM_CALLS: [libc::c_long; 2] = [libc::SYS_setpriority, libc::SYS_getrusage];

/// The nice value of this thread: the loop goes first if both could run.
const NICE: i32 = 10;

/// How often the table is brought up to date if nobody asks for it; and if there is much to do.
const CATCH_UP_INTERVAL: Duration = Duration::from_millis(500);
const BUSY_INTERVAL: Duration = Duration::from_millis(10);

/// The server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// An address cannot be listened on.
    #[error("cannot serve HTTP on {address} ({}): --listen chooses another", in_words(source))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The file of `--web-config` cannot be used.
    #[error(transparent)]
    WebConfig(#[from] WebConfigError),
    /// The kernel has no room for what else is needed.
    #[error("cannot serve HTTP ({})", in_words(.0))]
    Start(#[from] io::Error),
}

/// A server that has opened its listeners.
pub struct Server {
    listeners: Vec<TcpListener>,
    security: Option<SecurityFiles>,
    /// The most connections.
    connections: usize,
    /// The most descriptors for look-ups of names that are checked on demand.
    lookups: usize,
}

/// What the server wants of the loop.
pub struct Requests {
    /// That it reads the configuration again.
    pub reloads: Arc<Reloads>,
    /// That it logs something.
    pub notices: Arc<Notices>,
    /// That it tells which configuration is in force.
    pub in_force: Arc<InForce>,
    /// Where it takes checks on demand from.
    pub desk: Arc<Desk>,
    /// Where the terms of checks on demand are updated.
    pub probes: Arc<Probes>,
}

impl Server {
    /// Reads the file of `--web-config`, if there is one, and opens a listener for each address,
    /// even if it is there several times. Call it while there is privilege: the port may need it,
    /// and the key of TLS.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with the file, or an error that names the address if one is in use, or
    /// not this machine's.
    pub fn open(addresses: &[SocketAddr], web_config: Option<&Path>) -> Result<Self, HttpError> {
        let security = web_config.map(SecurityFiles::read).transpose()?;
        let mut addresses = addresses.to_vec();
        addresses.sort_unstable();
        addresses.dedup();
        let open = |address| open(address).map_err(|source| HttpError::Listen { address, source });
        let listeners = addresses.into_iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { listeners, security, connections: CONNECTIONS, lookups: LOOKUP_DESCRIPTORS })
    }

    /// Returns how many descriptors it would take for connections, and for look-ups of names that
    /// are checked on demand.
    pub fn descriptors(&self) -> (usize, usize) {
        if self.listeners.is_empty() { (0, 0) } else { (self.connections, self.lookups) }
    }

    /// Sets how many descriptors it takes for these: enough for one, at least.
    pub fn limit_descriptors(&mut self, connections: usize, lookups: usize) {
        (self.connections, self.lookups) = (connections.max(1), lookups);
    }

    /// Serves from now on, until the process ends: the table `live`, with metrics of each target if
    /// `has_target_metrics` is true, the configuration `in_force`, and checks on demand on these
    /// terms. Returns the requests of clients.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel starts no thread, or has no descriptor for it.
    pub fn start(
        self,
        live: Live,
        has_target_metrics: bool,
        (in_force, terms): (Arc<str>, Arc<Terms>),
        log: &mut Log<impl Output>,
    ) -> Result<Requests, HttpError> {
        let reloads = Arc::new(Reloads::new()?);
        let notices = Arc::new(Notices::new()?);
        let in_force = Arc::new(InForce::new(in_force));
        let desk = Arc::new(Desk::new()?);
        let probes = Arc::new(Probes::new(terms, Arc::clone(&desk), self.lookups));
        let requests = Requests {
            desk,
            probes: Arc::clone(&probes),
            reloads: Arc::clone(&reloads),
            notices: Arc::clone(&notices),
            in_force: Arc::clone(&in_force),
        };
        let Self { listeners, security, connections, .. } = self;
        if listeners.is_empty() {
            return Ok(requests);
        }
        for listener in &listeners {
            log.info(&format!("serving HTTP on {}", listener.local_addr()?));
        }
        let shared = Arc::new(Shared {
            live: Arc::new(live),
            has_target_metrics,
            reloads,
            notices,
            security,
            passwords: Passwords::new()?,
            in_force,
            probes,
        });
        // The other thread compares passwords.
        let mut runtime = runtime::Builder::new_current_thread();
        let runtime = runtime.enable_io().enable_time().max_blocking_threads(1).build()?;
        let register = |listener| {
            let _context = runtime.enter();
            tokio::net::TcpListener::from_std(listener)
        };
        let listeners = listeners.into_iter().map(register).collect::<Result<Vec<_>, _>>()?;
        let serve = move || serve(listeners, connections, &runtime, &shared);
        thread::Builder::new().name("http".to_owned()).spawn(serve)?;
        Ok(requests)
    }
}

fn serve(
    listeners: Vec<tokio::net::TcpListener>,
    connections: usize,
    runtime: &Runtime,
    shared: &Arc<Shared>,
) {
    // Of this thread alone (setpriority(2), C library/kernel differences). The threads that it
    // starts inherit it. Where it is forbidden, all are equal.
    let _ = setpriority_process(None, NICE);
    let connections = Arc::new(Connections::new(connections));
    for listener in listeners {
        let (connections, shared) = (Arc::clone(&connections), Arc::clone(shared));
        runtime.spawn(connections::accept(listener, connections, shared));
    }
    runtime.block_on(async {
        loop {
            let is_busy = shared.live.catch_up();
            sleep(if is_busy { BUSY_INTERVAL } else { CATCH_UP_INTERVAL }).await;
        }
    });
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    listen(&listener, Backlog::new(BACKLOG)?)?; // the standard library's is shorter
    Ok(listener)
}
