//! `HAProxy` follows the agent.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::process::Command;

use lab::{Capture, Direction, Lab, Running};
use nix::sys::signal::Signal;

use crate::agent::ask;
use crate::daemon::{AGENT, Daemon, Files, SERVERS, block, pool, wait_until};

/// A running `HAProxy` with a server for each target.
struct Haproxy {
    running: Running,
    files: Files,
}

impl Haproxy {
    /// Starts it with a server for each target, named like it but for the colon.
    fn start(lab: &Lab) -> Self {
        let (address, port) = AGENT.rsplit_once(':').expect("a port");
        let agent = format!("agent-addr {address} agent-port {port} agent-inter 500ms");
        let mut backend =
            format!("backend web\n    mode tcp\n    default-server agent-check {agent}\n");
        for server in SERVERS {
            let name = server.replace(':', "_");
            let _ = writeln!(backend, "    server {name} {server} agent-send web/{server}\\n");
        }
        Self::with(lab, &backend)
    }

    fn with(lab: &Lab, backend: &str) -> Self {
        let files = Files::new("");
        let socket = files.path("stats");
        let text = format!(
            "global\n    stats socket {} mode 666\n\
             defaults\n    timeout connect 1s\n    timeout client 1s\n    timeout server 1s\n\
             {backend}",
            socket.display()
        );
        let mut command = Command::new("sh");
        let file = files.write("haproxy.cfg", &text);
        command.args(["-c", "exec haproxy -db -f \"$0\" 2>&1"]).arg(file);
        let running = lab.client.spawn(command);
        let haproxy = Self { running, files };
        wait_until("HAProxy has started", || haproxy.statuses().len() == SERVERS.len());
        haproxy
    }

    /// Returns whether each server is up, as `show servers state` tells it: 2 is running, 0 is
    /// stopped.
    fn statuses(&self) -> BTreeMap<String, String> {
        let Ok(mut stream) = UnixStream::connect(self.files.path("stats")) else {
            return BTreeMap::new();
        };
        stream.write_all(b"show servers state web\n").expect("HAProxy reads");
        let mut table = String::new();
        stream.read_to_string(&mut table).expect("HAProxy writes");
        let mut lines = table.lines().skip(1).map(|line| line.trim_start_matches("# ").split(' '));
        let names: Vec<_> = lines.next().expect("a heading").collect();
        lines
            .map(|values| names.iter().copied().zip(values).collect::<BTreeMap<_, _>>())
            .filter_map(|row| {
                let status = match *row.get("srv_op_state")? {
                    "2" => "UP",
                    "0" => "DOWN",
                    other => other,
                };
                Some((row.get("srv_name")?.replace('_', ":"), status.to_owned()))
            })
            .collect()
    }

    /// Waits until a server has become up or down, and the log has told so last.
    fn until(&self, server: &str, status: &str) {
        let told = format!("Server web/{} is {status}", server.replace(':', "_"));
        wait_until(&told, || {
            self.statuses().get(server).is_some_and(|found| found == status)
                && self.transitions().last().is_some_and(|line| line.contains(&told))
        });
    }

    /// Returns the lines of its log that tell of a server that went up or down.
    fn transitions(&self) -> Vec<String> {
        let said = self.running.said();
        let tells = |line: &&str| line.contains(" is DOWN") || line.contains(" is UP");
        said.lines().filter(tells).map(str::to_owned).collect()
    }
}

/// Waits until `HAProxy` has tried to ask the agent so many times more.
fn until_asked(loopback: &Capture, times: usize) {
    let mut asked = 0;
    wait_until("HAProxy asks the agent", || {
        let segments = loopback.segments();
        let is_new = |segment: &&lab::Captured| {
            segment.flags == "SYN" && segment.direction == Direction::Out
        };
        asked += segments.iter().filter(is_new).count();
        asked >= times
    });
}

fn listen(lab: &Lab, server: &str) -> TcpListener {
    lab.server.listen(server.parse().expect("an endpoint"))
}

#[test]
fn haproxy_follows_transitions() {
    let lab = Lab::new();
    let [first, second, third] = SERVERS;
    let (listener, _second, _third) =
        (listen(&lab, first), listen(&lab, second), listen(&lab, third));
    let files = Files::new(&pool());
    let mut daemon = Daemon::start(&lab.client, &files);
    daemon.until(0, "up", first);
    let haproxy = Haproxy::start(&lab);
    let seen = daemon.until(0, "up", third);
    drop(listener);
    let seen = daemon.until(seen, "down", first);
    haproxy.until(first, "DOWN");
    assert!(ask(&lab.client, &format!("web/{first}\n")).starts_with("down #RST+ACK"));
    let _listener = listen(&lab, first);
    daemon.until(seen, "up", first);
    haproxy.until(first, "UP");
    // It has heard nothing else.
    let transitions = haproxy.transitions();
    assert_eq!(transitions.len(), 2, "{transitions:#?}");
    assert_eq!(haproxy.statuses()[second], "UP");
}

/// A daemon that finds the first server down, and what listens for the others.
fn with_one_down(lab: &Lab, files: &Files) -> (Daemon, Haproxy, [TcpListener; 2]) {
    let [first, second, third] = SERVERS;
    let listeners = [second, third].map(|server| listen(lab, server));
    let mut daemon = Daemon::start(&lab.client, files);
    daemon.until(0, "down", first);
    let haproxy = Haproxy::start(lab);
    haproxy.until(first, "DOWN");
    (daemon, haproxy, listeners)
}

#[test]
fn held_and_unknown_change_nothing() {
    let lab = Lab::new();
    let [first, second, _] = SERVERS;
    let files = Files::new(&pool());
    let (mut daemon, haproxy, _listeners) = with_one_down(&lab, &files);
    let before = (haproxy.statuses(), haproxy.transitions());
    let loopback = lab.client.capture("lo");
    let nothing = || {
        for server in SERVERS {
            assert_eq!(ask(&lab.client, &format!("web/{server}\n")), "\n");
        }
        until_asked(&loopback, 4 * SERVERS.len());
        assert_eq!((haproxy.statuses(), haproxy.transitions()), before);
    };
    block(&lab, true);
    for server in SERVERS {
        daemon.until(0, "held", server);
    }
    nothing();
    drop(daemon);
    let mut daemon = Daemon::start(&lab.client, &files);
    for server in SERVERS {
        daemon.until(0, "held", server); // and unknown
    }
    nothing();
    block(&lab, false);
    daemon.until(0, "down", first);
    daemon.until(0, "up", second);
    until_asked(&loopback, 4 * SERVERS.len());
    assert_eq!((haproxy.statuses(), haproxy.transitions()), before);
}

#[test]
fn a_daemon_that_dies_restarts_or_reloads_changes_nothing() {
    let lab = Lab::new();
    let [first, second, _] = SERVERS;
    let files = Files::new(&pool());
    let (daemon, haproxy, _listeners) = with_one_down(&lab, &files);
    let before = (haproxy.statuses(), haproxy.transitions());
    let loopback = lab.client.capture("lo");
    let nothing = || {
        until_asked(&loopback, 6 * SERVERS.len());
        assert_eq!((haproxy.statuses(), haproxy.transitions()), before);
    };
    daemon.signal(Signal::SIGHUP);
    nothing();
    daemon.signal(Signal::SIGSTOP);
    nothing();
    daemon.signal(Signal::SIGCONT);
    nothing();
    daemon.signal(Signal::SIGKILL);
    drop(daemon);
    nothing();
    let mut daemon = Daemon::start(&lab.client, &files);
    nothing();
    daemon.until(0, "down", first);
    daemon.until(0, "up", second);
    nothing();
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.running.wait().code, 0);
    nothing();
}

#[test]
fn the_page_leads_to_an_haproxy_that_follows() {
    let page = include_str!("../../../docs/halfopend.md").replace("192.0.2.", "198.18.0.");
    let block = |language: &str| {
        let (_, rest) = page.split_once(&format!("```{language}\n")).expect("a block");
        rest.split_once("```").expect("its end").0
    };
    let lab = Lab::new();
    let servers = ["198.18.0.7:443", "198.18.0.8:443", "198.18.0.9:443"];
    let mut listeners: Vec<_> = servers.iter().map(|server| listen(&lab, server)).collect();
    let files = Files::new(block("toml"));
    let mut daemon = Daemon::start(&lab.client, &files);
    let haproxy = Haproxy::with(&lab, block("haproxy"));
    let seen = daemon.until(0, "up", servers[0]);
    listeners.remove(0);
    haproxy.until("web1", "DOWN");
    daemon.until(seen, "down", servers[0]);
    let told = haproxy.transitions();
    assert!(told[0].contains("info: \"via agent : down (RST+ACK)\""), "{told:?}");
    assert_eq!(haproxy.statuses()["web2"], "UP");
}
