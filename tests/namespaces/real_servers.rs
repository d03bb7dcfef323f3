//! Why this program exists: a check that connects leaves a line in the server's log each time, a
//! half-open one leaves none. Real Postfix, real Squid.

use std::fs::{self, Permissions};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::User;
use tempfile::TempDir;

use lab::{Lab, Running, SERVER_V4, SERVER_V6, contained, patience};

const CHECKS: usize = 10;

#[test]
fn ten_checks_leave_no_line_in_the_mail_log() {
    let lab = Lab::new();
    let postfix = postfix(&lab);
    for address in [SERVER_V4, SERVER_V6] {
        assert_checks_leave_no_line(
            &lab,
            &postfix,
            address,
            &["connect from", "lost connection after CONNECT from", "disconnect from"],
        );
    }
}

#[test]
fn ten_checks_leave_no_line_in_the_proxy_log() {
    let lab = Lab::new();
    let squid = squid(&lab);
    for address in [SERVER_V4, SERVER_V6] {
        assert_checks_leave_no_line(
            &lab,
            &squid,
            address,
            &["error:transaction-end-before-headers"],
        );
    }
}

/// `per_connection` is what the server logs for a client that connects and disconnects, one text
/// per line.
fn assert_checks_leave_no_line(
    lab: &Lab,
    server: &Server,
    address: IpAddr,
    per_connection: &[&str],
) {
    // A first connection, because a server may log more for that one: about the machine, or its
    // configuration.
    connect(lab, server, address, 1, per_connection);

    let before = server.log();
    for _ in 0..CHECKS {
        let verdict = lab.verdict(&[&address.to_string(), &server.port.to_string()]);
        assert_eq!(verdict.ending(), (Some("open"), 0), "{verdict:?}");
    }
    // The control. Both servers accept connections one after another, so lines that the checks had
    // caused would come before these.
    connect(lab, server, address, CHECKS, per_connection);

    let log = server.log();
    let (earlier, new) = log.split_at(before.len());
    assert_eq!(earlier, before);
    for text in per_connection {
        assert_eq!(
            count(new, text),
            CHECKS,
            "lines with {text:?}, of which each plain connection leaves one: {new:#?}"
        );
    }
    assert_eq!(new.len(), CHECKS * per_connection.len(), "no line is anybody else's: {new:#?}");
}

/// Opens and closes connections, and waits until the log has the last of them.
fn connect(lab: &Lab, server: &Server, address: IpAddr, times: usize, per_connection: &[&str]) {
    let last = per_connection.last().expect("a server that logs connections");
    let expected = count(&server.log(), last) + times;
    for _ in 0..times {
        lab.client.enter(|| {
            TcpStream::connect(SocketAddr::new(address, server.port)).expect("the server accepts")
        });
    }
    wait_until("the log tells of every connection", || count(&server.log(), last) >= expected);
}

/// Counts lines with that text as whole words: `connect from` is not part of `disconnect from`.
fn count(lines: &[String], text: &str) -> usize {
    lines.iter().filter(|line| line.contains(&format!(" {text}"))).count()
}

/// A running server. Its processes end and its files are removed when the value is dropped.
struct Server {
    running: Running,
    log_file: PathBuf,
    port: u16,
    _directory: TempDir,
}

impl Server {
    /// Returns the lines of the log under test.
    fn log(&self) -> Vec<String> {
        lines(&self.log_file)
    }

    /// Waits until `file` says that the server listens. A connection to find out would be in the
    /// log under test.
    fn wait_until_ready(mut self, file: &Path, line: &str) -> Self {
        let mut ended = false;
        wait_until(&format!("{} says {line:?}", file.display()), || {
            ended = self.running.child.try_wait().expect("waits for its own child").is_some();
            ended || lines(file).iter().any(|said| said.contains(line))
        });
        assert!(
            !ended,
            "the server ended: {:#?}, after it had logged {:#?}",
            self.running.wait(),
            lines(file)
        );
        self
    }
}

/// Only an SMTP server and its log, whatever the configuration of the machine's own Postfix.
#[expect(clippy::too_many_lines, reason = "two configuration files")]
fn postfix(lab: &Lab) -> Server {
    let (directory, path) = directory();
    let log_file = path.join("mail.log");
    let port = 2525;
    write(
        &path.join("main.cf"),
        &format!(
            "compatibility_level = 3.6
            queue_directory = {path}/queue
            data_directory = {path}/data
            maillog_file = {path}/mail.log
            maillog_file_prefixes = {path}
            inet_interfaces = {SERVER_V4} {SERVER_V6}
            myhostname = mail.example
            # No look-ups, no accounts, no statistics: services of their own that a connection would start.
            smtpd_peername_lookup = no
            local_recipient_maps =
            alias_maps =
            smtpd_client_connection_count_limit = 0
            smtpd_client_connection_rate_limit = 0
            ",
            path = path.display()
        ),
    );
    // Service, type, private, unprivileged, chroot, wakeup, processes at most, command.
    write(
        &path.join("master.cf"),
        &format!("{port} inet n - n - 1 smtpd\npostlog unix-dgram n - n - 1 postlogd\n"),
    );
    fs::create_dir(path.join("queue")).expect("an empty directory");
    fs::create_dir(path.join("data")).expect("an empty directory");
    let owner = User::from_name("postfix")
        .expect("reads /etc/passwd")
        .expect("Postfix is installed and so has its user");
    chown(path.join("data"), Some(owner.uid.as_raw()), None).unwrap_or_else(|error| {
        panic!(
            "Postfix works as its own user, whom this process may not act for ({error}): run the \
             tests as root, or as a user with subordinate ids (Debian package uidmap, a line in \
             /etc/subuid and /etc/subgid) in `unshare --user --map-root-user --map-auto`"
        )
    });

    let running =
        lab.server.spawn(daemon(&["postfix", "-c", &path.display().to_string(), "start-fg"]));
    let server = Server { running, log_file: log_file.clone(), port, _directory: directory };
    server.wait_until_ready(&log_file, "daemon started")
}

/// A proxy that caches nothing.
fn squid(lab: &Lab) -> Server {
    let (directory, path) = directory();
    let port = 3128;
    let configuration = path.join("squid.conf");
    write(
        &configuration,
        &format!(
            "http_port {SERVER_V4}:{port}
            http_port [{SERVER_V6}]:{port}
            access_log stdio:{path}/access.log
            cache_log {path}/cache.log
            coredump_dir {path}
            pid_filename none
            pinger_enable off
            cache deny all
            visible_hostname proxy.example
            ",
            path = path.display()
        ),
    );
    // As root, Squid changes to its own user, whom a user namespace may not have. So it starts as
    // another user.
    let somebody_else = ["unshare", "--user", "--map-user=65534", "--map-group=65534"];
    let squid = ["squid", "-N", "-f", &configuration.display().to_string()];
    let running = lab.server.spawn(daemon(&[&somebody_else[..], &squid].concat()));
    let server = Server { running, log_file: path.join("access.log"), port, _directory: directory };
    server.wait_until_ready(&path.join("cache.log"), &format!("local=[{SERVER_V6}]:{port}"))
}

/// A command whose processes and shared memory end with it.
fn daemon(command: &[&str]) -> Command {
    let script = "mount -t tmpfs tmpfs /dev/shm && exec \"$@\"";
    contained(script, ["sh"].iter().chain(command))
}

/// A new directory that a server's own user may enter.
fn directory() -> (TempDir, PathBuf) {
    let directory = TempDir::new().expect("a place for temporary files");
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755))
        .expect("its own directory");
    let path = directory.path().to_owned();
    (directory, path)
}

/// Returns a configuration without the indentation that it has here.
fn write(path: &Path, configuration: &str) {
    let lines: String = configuration.lines().flat_map(|line| [line.trim_start(), "\n"]).collect();
    fs::write(path, lines).expect("writes into its own directory");
}

/// A file that does not exist yet has no lines.
fn lines(path: &Path) -> Vec<String> {
    let bytes = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience();
    while !holds() {
        assert!(Instant::now() < deadline, "waited {:?} until {what}", patience());
        thread::sleep(Duration::from_millis(10));
    }
}
