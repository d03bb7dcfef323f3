//! The built program, its output, and a loopback interface for it to check.

use std::ffi::OsStr;
use std::net::{SocketAddr, TcpStream};
use std::process::Output;

use assert_cmd::Command;
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

/// The program under test.
pub(crate) const HALFOPEN: &str = env!("CARGO_BIN_EXE_halfopen");

/// A port of a [`Loopback`] that listens at 127.0.0.1.
pub(crate) const OPEN: &str = "127.0.0.1:8025";
/// A port on which nobody listens.
pub(crate) const CLOSED: &str = "127.0.0.1:8026";
/// A port of an overloaded [`Loopback`], which drops each SYN.
pub(crate) const SILENT: &str = "127.0.0.1:8027";
/// An address that this machine does not send to.
pub(crate) const BROADCAST: &str = "127.255.255.255:80";

/// The output of a program, and its exit code.
#[derive(Debug, PartialEq)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    pub(crate) fn first_line(&self) -> &str {
        self.stdout.lines().next().unwrap_or_default()
    }

    /// The only line of standard output, as JSON.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "{}", self.stdout);
        serde_json::from_str(&self.stdout).expect("a line of JSON")
    }

    /// The lines of standard output, as JSON.
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("an exit code, not a signal"),
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

/// Runs the program with these words, with a clock that load does not change.
pub(crate) fn halfopen(words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Said {
    run(HALFOPEN, words)
}

/// Runs any program. If it is the one under test, it has a clock that load does not change.
pub(crate) fn run(program: &str, words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Said {
    let mut command = Command::new(program);
    let output =
        command.args(words).env("LD_PRELOAD", lab::own_clock()).timeout(lab::patience()).output();
    output.unwrap_or_else(|error| panic!("needs {program}: {error}")).into()
}

/// The objects of a pool's targets, that of its summary, and the exit code.
pub(crate) fn json_pool(words: &[&str]) -> (Vec<Value>, Value, i32) {
    let said = halfopen([&["-o", "json"], words].concat());
    assert_eq!(said.stderr, "");
    let mut lines = said.json_lines();
    let mut last = lines.pop().expect("a line");
    let summary = last["summary"].take();
    assert!(summary.is_object(), "{words:?}: {}", said.stdout);
    (lines, summary, said.code)
}

/// Returns a field that is text.
pub(crate) fn text(object: &Value, field: &str) -> String {
    object[field].as_str().unwrap_or_else(|| panic!("{field} of {object}")).to_owned()
}

/// A network for this thread and the programs that it starts: a loopback interface with every port
/// free, and no routes. It remains the thread's network, but its listeners are closed when this
/// value is dropped.
pub(crate) struct Loopback {
    listeners: Vec<Socket>,
    connections: Vec<TcpStream>,
}

impl Loopback {
    const OPEN: u16 = 8025;
    const FULL: u16 = 8027;

    pub(crate) fn new() -> Self {
        unshare(CloneFlags::CLONE_NEWNET)
            .expect("a new network: needs root, or `unshare --user --map-root-user`");
        let up = run("ip", ["link", "set", "lo", "up"]);
        assert_eq!(up.code, 0, "needs ip (iproute2): {}", up.stderr);
        Self { listeners: Vec::new(), connections: Vec::new() }
    }

    /// Adds a listener on port 8025 of this address. Nobody accepts its connections.
    pub(crate) fn listen(mut self, address: &str) -> Self {
        let endpoint = SocketAddr::new(address.parse().unwrap(), Self::OPEN);
        self.listeners.push(listener(endpoint, 128));
        self
    }

    /// Adds a listener on port 8027 of 127.0.0.1 whose accept queue is full: the kernel drops each
    /// SYN.
    pub(crate) fn overload(mut self) -> Self {
        let endpoint = SocketAddr::from(([127, 0, 0, 1], Self::FULL));
        self.listeners.push(listener(endpoint, 0));
        self.connections.push(TcpStream::connect(endpoint).unwrap());
        self
    }
}

/// Returns how many TCP segments have arrived in this thread's network. Everything that is sent
/// there arrives there.
pub(crate) fn segments_received() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/net/snmp").expect("needs /proc");
    let tcp: Vec<_> = text.lines().filter(|line| line.starts_with("Tcp: ")).collect();
    let [names, values] = tcp[..] else { panic!("{text}") };
    let place = names.split(' ').position(|name| name == "InSegs").expect("InSegs");
    values.split(' ').nth(place).and_then(|value| value.parse().ok()).expect("a number")
}

fn listener(endpoint: SocketAddr, backlog: i32) -> Socket {
    let socket = Socket::new(Domain::for_address(endpoint), Type::STREAM, None).unwrap();
    socket.bind(&endpoint.into()).expect("a free port in a new network");
    socket.listen(backlog).unwrap();
    socket
}
