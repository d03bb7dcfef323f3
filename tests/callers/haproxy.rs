//! `HAProxy` on `packaging/haproxy.cfg`: a clean environment, its own user, no new privileges, no
//! descriptors.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::installed::{Daemon, Installed, replaced, snippet};
use crate::pool::Pool;
use lab::{Capture, Direction};

#[test]
fn haproxy_sees_servers_fail_and_recover_without_any_privilege() {
    let (pool, installed) = (Pool::new(), Installed::new());
    let capture = pool.lab.server.capture("server0");
    let mut haproxy = start(&pool, &installed, "");
    sees_servers_fail_and_recover(&pool, &installed, &mut haproxy);
    // Only the kernel ends a connection like this.
    assert_eq!(resets(&capture), ["RST+ACK"]);
}

#[test]
fn haproxy_may_let_the_check_have_its_capability() {
    let (pool, installed) = (Pool::new(), Installed::new());
    let capture = pool.lab.server.capture("server0");
    let mut haproxy = start(&pool, &installed, "insecure-setuid-wanted");
    sees_servers_fail_and_recover(&pool, &installed, &mut haproxy);
    assert_eq!(resets(&capture), ["RST"]);
}

fn sees_servers_fail_and_recover(pool: &Pool, installed: &Installed, haproxy: &mut Daemon) {
    let socket = installed.path("stats/socket");
    for server in ["mail1", "mail2"] {
        until(haproxy, &socket, server, "UP", "PROCOK", "0");
    }
    pool.break_backends();
    for server in ["mail1", "mail2"] {
        until(haproxy, &socket, server, "DOWN", "PROCERR", "2");
    }
    pool.mend_backends();
    for server in ["mail1", "mail2"] {
        until(haproxy, &socket, server, "UP", "PROCOK", "0");
    }
}

/// How the checks ended their connections: each way once.
fn resets(capture: &Capture) -> Vec<String> {
    let mut flags: Vec<_> = capture
        .segments()
        .into_iter()
        .filter(|segment| segment.direction == Direction::In && segment.flags.contains("RST"))
        .map(|segment| segment.flags)
        .collect();
    flags.sort();
    flags.dedup();
    flags
}

/// Reads `show stat` until the server has that state, check result and exit code.
fn until(haproxy: &mut Daemon, socket: &Path, server: &str, state: &str, check: &str, code: &str) {
    haproxy.until(&format!("{server} is {state}"), |_| {
        let mut stream = UnixStream::connect(socket).ok()?;
        stream.write_all(b"show stat\n").ok()?;
        let mut table = String::new();
        stream.read_to_string(&mut table).ok()?;
        let mut lines = table.trim_start_matches("# ").lines().map(|line| line.split(','));
        let names: Vec<_> = lines.next()?.collect();
        let found: BTreeMap<_, _> = lines
            .map(|values| names.iter().copied().zip(values).collect::<BTreeMap<_, _>>())
            .find(|row| row.get("svname") == Some(&server))?;
        let wanted = [("status", state), ("check_status", check), ("check_code", code)];
        wanted.iter().all(|(name, value)| found.get(name) == Some(value)).then_some(())
    });
}

fn start(pool: &Pool, installed: &Installed, setting: &str) -> Daemon {
    let user = installed.user("haproxy", &["stats"]);
    let mut configuration = snippet("haproxy.cfg");
    let mut words = Vec::new();
    if user == "root" {
        // It may not change its user here, so it starts as another one, unless the capability is
        // wanted.
        configuration = replaced(&configuration, "    user haproxy\n    group haproxy\n", "");
        pool.lab.client.sysctl("net.ipv4.ip_unprivileged_port_start", "0");
        if setting.is_empty() {
            words.extend(["unshare", "--user", "--map-user=65534", "--map-group=65534"]);
        }
    }
    let socket = installed.path("stats/socket");
    let own = format!("global\n    stats socket {} mode 666\n    {setting}\n", socket.display());
    let files =
        [installed.write("haproxy.cfg", &configuration), installed.write("stats.cfg", &own)];
    // With -q, it closes all descriptors before it runs a check.
    words.extend(["haproxy", "-db", "-q"]);
    for file in &files {
        words.extend(["-f", file.to_str().expect("plain letters")]);
    }
    installed.start(&pool.lab.client, &words)
}
