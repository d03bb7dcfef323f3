//! The daemon and a service manager.

use std::fs;
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use lab::{Lab, Namespace};
use nix::sys::signal::Signal;

use crate::daemon::{AGENT, Daemon, Files, PATIENCE, SERVERS, pool};

/// The unit of the packages.
const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/systemd/halfopend.service");

/// Starts the daemon, and returns the socket where it reports how it is doing.
fn start(host: &Namespace, files: &Files, watchdog: &str) -> (Daemon, UnixDatagram) {
    let socket = UnixDatagram::bind(files.path("notify")).expect("its own directory");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time that fits");
    let mut command = files.command(&[]);
    command.env("NOTIFY_SOCKET", files.path("notify")).env("WATCHDOG_USEC", watchdog);
    (Daemon::of(host, command), socket)
}

/// Waits for a report of this kind, and returns it.
fn until_told(socket: &UnixDatagram, kind: &str) -> String {
    loop {
        let mut bytes = [0; 512];
        let length = socket.recv(&mut bytes).unwrap_or_else(|error| panic!("{kind}: {error}"));
        let told = String::from_utf8_lossy(&bytes[..length]).into_owned();
        if told.starts_with(kind) {
            return told;
        }
    }
}

#[test]
fn it_is_ready_when_the_agent_answers_and_tells_when_it_ends() {
    let lab = Lab::new();
    let files = Files::new(&pool());
    let (daemon, socket) = start(&lab.client, &files, "3600000000");
    let told = until_told(&socket, "READY=1");
    lab.client.enter(|| TcpStream::connect(AGENT).expect("the agent listens"));
    assert_eq!(told, "READY=1\nSTATUS=1 pool, 3 targets");
    daemon.signal(Signal::SIGTERM);
    until_told(&socket, "STOPPING=1");
    assert_eq!(daemon.running.wait().code, 0);
}

#[test]
fn a_reload_is_told_from_its_begin_to_its_end() {
    let lab = Lab::new();
    let files = Files::new(&pool());
    let (daemon, socket) = start(&lab.client, &files, "3600000000");
    until_told(&socket, "READY=1");
    let more = [SERVERS[0], "198.18.3.1:8025", "198.18.3.2:8025"];
    files.write("halfopend.toml", &pool().replace(&format!("{SERVERS:?}"), &format!("{more:?}")));
    daemon.signal(Signal::SIGHUP);
    until_told(&socket, "RELOADING=1");
    until_told(&socket, "READY=1\nSTATUS=reload");
    files.write("halfopend.toml", "nonsense");
    daemon.signal(Signal::SIGHUP);
    until_told(&socket, "RELOADING=1");
    let told = until_told(&socket, "READY=1\nSTATUS=reload");
    assert!(told.ends_with("nothing has changed"), "{told}");
}

#[test]
fn the_watchdog_hears_of_the_loop_only_while_it_turns() {
    let lab = Lab::new();
    let files = Files::new(&pool());
    let (daemon, socket) = start(&lab.client, &files, "200000");
    for _ in 0..3 {
        until_told(&socket, "WATCHDOG=1");
    }
    daemon.signal(Signal::SIGSTOP);
    socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a time that fits");
    while socket.recv(&mut [0; 512]).is_ok() {} // what it had told before
    daemon.signal(Signal::SIGCONT);
    socket.set_read_timeout(Some(PATIENCE)).expect("a time that fits");
    until_told(&socket, "WATCHDOG=1");
}

#[test]
fn a_service_manager_that_is_gone_changes_nothing() {
    let lab = Lab::new();
    let listener = lab.server.listen(SERVERS[0].parse().expect("an endpoint"));
    let files = Files::new(&pool());
    let (mut daemon, socket) = start(&lab.client, &files, "100000");
    until_told(&socket, "WATCHDOG=1");
    drop(socket);
    fs::remove_file(files.path("notify")).expect("its own file");
    let seen = daemon.until(0, "up", SERVERS[0]);
    drop(listener);
    daemon.until(seen, "down", SERVERS[0]);
}

#[test]
fn the_unit_is_well_protected() {
    let mut command = Command::new("systemd-analyze");
    command.args(["security", "--offline=true", "--no-pager", "--threshold=19", UNIT]);
    let outcome = Namespace::new().outcome(command);
    assert_eq!(outcome.code, 0, "{}", outcome.stdout); // an exposure of at most 1.9
}

/// Under systemd itself, as the package installs it.
#[test]
fn systemd_runs_the_unit() {
    let files = Files::new("[pool.web]\ntargets = [\"127.0.0.1:8025\"]\n");
    let folder = files.path("");
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/networks");
    let mut command = Command::new("bash");
    command.arg(format!("{here}/systemd")).arg(&folder).arg(env!("CARGO_BIN_EXE_halfopend"));
    command.arg(UNIT).arg(format!("{here}/unit_script"));
    let outcome = Namespace::new().outcome(command);
    let read = |name| fs::read_to_string(files.path(name)).unwrap_or_default();
    let report = read("report");
    let all = format!("{outcome:#?}\n{report}\n{}\n{}", read("log"), read("events"));

    let mut parts = report.split("== ");
    let mut next = |name: &str| parts.find_map(|part| part.strip_prefix(name)).expect(&all);
    let started = next("start\n");
    assert!(started.contains("ActiveState=active\nStatusText=1 pool, 1 target\n"), "{all}");
    assert!(!started.contains("Uid:\t0"), "{all}");
    for none in ["CapPrm", "CapEff", "CapAmb"] {
        assert!(started.contains(&format!("{none}:\t0000000000000000\n")), "{all}");
    }
    assert!(started.contains("CapBnd:\t0000000000002000\n"), "{all}"); // CAP_NET_RAW alone
    assert!(started.contains("NoNewPrivs:\t1\nSeccomp:\t2\n"), "{all}");
    assert_eq!(next("reload\n"), "ActiveState=active\n", "{all}");
    assert_eq!(next("hung\n"), "NRestarts=1\n", "{all}");
    assert_eq!(next("stop\n"), "ActiveState=inactive\nResult=success\nExecMainStatus=0\n", "{all}");
    assert!(
        next("wrong configuration\n").ends_with("ActiveState=failed\nExecMainStatus=2\n"),
        "{all}"
    );
    next("end\n");
    assert!(read("events").contains(r#""engine":"raw""#), "{all}");
}
