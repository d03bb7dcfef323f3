//! Who may ask, and how: the file of `--web-config` and those that it names, as they are now.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use halfopen::local_error::in_words;
use hyper::header::{HeaderName, HeaderValue};
use tokio_rustls::TlsAcceptor;

use super::tls;
use super::web_config::{Mistake, WebConfig};
use crate::config::regular::open_regular;

/// The largest file that is read.
const SIZE: u64 = 1 << 20;

/// For how long files are not read again.
const REST: Duration = Duration::from_secs(1);

/// Why the file of `--web-config` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WebConfigError {
    /// It cannot be read, or a file that it names.
    #[error("cannot read {}: {}", file.display(), in_words(source))]
    Read {
        /// Which one.
        file: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Something in it is wrong.
    #[error(transparent)]
    Mistake(#[from] Mistake),
    /// A certificate, a key or a setting of TLS cannot be used.
    #[error("{}: {problem}", file.display())]
    Tls {
        /// The file of `--web-config`.
        file: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// What is asked of clients, and what all are told.
#[derive(Default)]
pub(super) struct Security {
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) users: BTreeMap<String, String>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

/// The files, which are read again when clients connect.
pub(super) struct SecurityFiles {
    file: PathBuf,
    state: Mutex<State>,
}

struct State {
    contents: Contents,
    current: Arc<Security>,
    read_at: Instant,
    complaint: Option<String>,
}

/// The files' contents: the first is that of `--web-config`.
type Contents = Vec<Vec<u8>>;

impl SecurityFiles {
    /// Reads the files. Call it while there is privilege: often only root may read a key.
    ///
    /// # Errors
    ///
    /// Returns why they cannot be used.
    pub(super) fn read(file: &Path) -> Result<Self, WebConfigError> {
        let (config, contents) = read_all(file)?;
        let current = Arc::new(understand(file, config, &contents)?);
        let state = State { contents, current, read_at: Instant::now(), complaint: None };
        Ok(Self { file: file.to_owned(), state: Mutex::new(state) })
    }

    /// Returns what the files say now, or have said last if they cannot be used any more. There is
    /// a line for the log if that is news.
    pub(super) fn current(&self) -> (Arc<Security>, Option<String>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.read_at.elapsed() < REST {
            return (Arc::clone(&state.current), None);
        }
        let complaint = state.update(&self.file).err().map(|error| error.to_string());
        state.read_at = Instant::now();
        let is_news = complaint.is_some() && complaint != state.complaint;
        state.complaint = complaint;
        let line = state.complaint.as_ref().filter(|_| is_news);
        let line = line.map(|complaint| format!("--web-config: {complaint}; the old one stays"));
        (Arc::clone(&state.current), line)
    }
}

impl State {
    fn update(&mut self, file: &Path) -> Result<(), WebConfigError> {
        let (config, contents) = read_all(file)?;
        if contents != self.contents {
            self.current = Arc::new(understand(file, config, &contents)?);
            self.contents = contents;
        }
        Ok(())
    }
}

fn read_all(file: &Path) -> Result<(WebConfig, Contents), WebConfigError> {
    let own = read(file)?;
    let config = WebConfig::parse(file, &String::from_utf8_lossy(&own))?;
    let others = config.files().map(read).collect::<Result<Vec<_>, _>>()?;
    let contents = std::iter::once(own).chain(others).collect();
    Ok((config, contents))
}

fn understand(
    file: &Path,
    config: WebConfig,
    contents: &Contents,
) -> Result<Security, WebConfigError> {
    let WebConfig { tls, headers, users } = config;
    let acceptor = |tls| {
        let authorities = contents.get(3).map(Vec::as_slice);
        tls::acceptor(&tls, &contents[1], &contents[2], authorities)
            .map_err(|problem| WebConfigError::Tls { file: file.to_owned(), problem })
    };
    Ok(Security { tls: tls.map(acceptor).transpose()?, users, headers })
}

fn read(file: &Path) -> Result<Vec<u8>, WebConfigError> {
    let mut bytes = Vec::new();
    let read = open_regular(file).and_then(|opened| opened.take(SIZE).read_to_end(&mut bytes));
    read.map_err(|source| WebConfigError::Read { file: file.to_owned(), source })?;
    Ok(bytes)
}
