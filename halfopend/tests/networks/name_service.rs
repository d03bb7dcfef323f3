//! A name service that the test provides, for the daemon alone.
//!
//! The files that the resolver reads are replaced in a mount namespace of the daemon's own.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use lab::Lab;

use crate::daemon::{Files, wait_until};

/// What it says of a name.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// These addresses of the server. Each time, the first one becomes the last.
    Addresses(Vec<[u8; 4]>),
    /// These addresses, of both families.
    All(Vec<IpAddr>),
    /// One of these addresses, each time another one.
    InTurn(Vec<[u8; 4]>),
    /// The name exists, but has no address.
    NoAddress,
    NoSuchName,
    Silence,
}

#[derive(Default)]
struct Zone {
    answers: HashMap<String, Answer>,
    questions: HashMap<String, usize>,
}

/// A name service on the client's 127.0.0.1. It dies when the value is dropped.
pub(crate) struct NameService {
    zone: Arc<Mutex<Zone>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl NameService {
    pub(crate) fn start(lab: &Lab, names: &[(&str, Answer)]) -> Self {
        let socket = lab.client.enter(|| UdpSocket::bind("127.0.0.1:53").expect("a free port"));
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a time");
        let (zone, ended) = (Arc::<Mutex<Zone>>::default(), Arc::<AtomicBool>::default());
        let (its_zone, is_over) = (Arc::clone(&zone), Arc::clone(&ended));
        let thread = thread::spawn(move || {
            let mut question = [0; 512];
            while !is_over.load(Ordering::SeqCst) {
                let Ok((length, asker)) = socket.recv_from(&mut question) else { continue };
                let mut zone = its_zone.lock().expect("no thread panics with it");
                if let Some(answer) = zone.answer(&question[..length]) {
                    let _ = socket.send_to(&answer, asker);
                }
            }
        });
        let service = Self { zone, ended, thread: Some(thread) };
        for (name, answer) in names {
            service.set(name, answer.clone());
        }
        service
    }

    /// Changes what it says.
    pub(crate) fn set(&self, name: &str, answer: Answer) {
        self.zone().answers.insert(name.to_owned(), answer);
    }

    /// Waits until it is asked for the name once more.
    pub(crate) fn until_asked(&self, name: &str) {
        let asked = || self.zone().questions.get(name).copied().unwrap_or_default();
        let before = asked();
        wait_until(&format!("a question for {name}"), || asked() > before);
    }

    /// Returns how often it was asked for the IPv4 addresses of a name.
    pub(crate) fn questions(&self, name: &str) -> usize {
        self.zone().questions.get(name).copied().unwrap_or_default()
    }

    fn zone(&self) -> MutexGuard<'_, Zone> {
        self.zone.lock().expect("no thread panics with it")
    }
}

impl Drop for NameService {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Zone {
    /// Returns a response (RFC 1035 §4.1): the question itself, with what follows from it.
    fn answer(&mut self, question: &[u8]) -> Option<Vec<u8>> {
        let mut labels = Vec::new();
        let mut rest = &question[12..];
        while let [length @ 1..=63, ..] = rest {
            let (label, after) = rest[1..].split_at(usize::from(*length));
            labels.push(String::from_utf8_lossy(label).into_owned());
            rest = after;
        }
        let name = labels.join(".");
        let is_a = rest[1..3] == [0, 1];
        let asked = self.questions.entry(name.clone()).or_default();
        *asked += usize::from(is_a);
        let mut response = question[..question.len() - rest.len() + 5].to_vec();
        response[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0]);
        match self.answers.get_mut(&name) {
            Some(Answer::Silence) => return None,
            Some(Answer::Addresses(addresses)) if is_a => {
                addresses.rotate_left(1);
                for address in addresses {
                    add(&mut response, (*address).into());
                }
            }
            Some(Answer::InTurn(addresses)) if is_a => {
                addresses.rotate_left(1);
                add(&mut response, addresses[0].into());
            }
            Some(Answer::All(addresses)) => {
                let fitting = addresses.iter().filter(|address| address.is_ipv4() == is_a);
                fitting.for_each(|address| add(&mut response, *address));
            }
            Some(Answer::Addresses(_) | Answer::InTurn(_) | Answer::NoAddress) => {}
            Some(Answer::NoSuchName) | None => response[3] = 0x83,
        }
        Some(response)
    }
}

/// Adds an address to a response: the name at offset 12, class IN, for no time.
fn add(response: &mut Vec<u8>, address: IpAddr) {
    response[7] += 1;
    let (kind, bytes) = match address {
        IpAddr::V4(v4) => (1, v4.octets().to_vec()),
        IpAddr::V6(v6) => (28, v6.octets().to_vec()),
    };
    let length = u8::try_from(bytes.len()).expect("a few");
    response.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 0, 0, length]);
    response.extend(bytes);
}

/// Returns the daemon, whose names are those of this service. Its log is the file `log`.
pub(crate) fn command(files: &Files) -> Command {
    let words = with_names(files);
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    files.command(&words)
}

/// Returns the words before a program whose names are those of this service.
pub(crate) fn with_names(files: &Files) -> Vec<String> {
    files.write("hosts", "");
    files.write("nsswitch.conf", "hosts: dns\n");
    files.write("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:2\n");
    let folder = files.path("").display().to_string();
    let mount = r#"for file in hosts nsswitch.conf resolv.conf; do mount --bind "$0/$file" "/etc/$file" || exit 99; done; exec "$@" 2>>"$0/log""#;
    ["unshare", "--mount", "sh", "-c", mount, &folder].map(str::to_owned).into()
}

/// Returns what the daemon has logged so far.
pub(crate) fn log(files: &Files) -> String {
    fs::read_to_string(files.path("log")).unwrap_or_default()
}

/// Returns an address of the server.
pub(crate) fn ip(last: u8) -> [u8; 4] {
    Ipv4Addr::new(198, 18, 0, last).octets()
}
