//! Hooks of the whole daemon, which checks a target in a network of its own.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use lab::{Lab, Running};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::processes::{parent, wait_until_gone};

/// Ends a test that hangs.
const PATIENCE: Duration = Duration::from_mins(5);

const TARGET: &str = "198.18.0.7:443";

/// A daemon that checks one target, which is open, with a hook in a folder of its own.
struct Site {
    lab: Lab,
    folder: TempDir,
    listener: Option<TcpListener>,
    running: Running,
}

impl Site {
    /// Starts a daemon whose hook is a shell script.
    fn new(script: &str) -> Self {
        Self::prepare(|folder| {
            let file = folder.join("script");
            fs::write(&file, in_folder(folder, script)).expect("its own folder");
            vec!["/bin/sh".to_owned(), file.display().to_string()]
        })
    }

    /// Starts a daemon with this hook, or with none if it has no words.
    fn with_hook(words: &[&str]) -> Self {
        Self::prepare(|_| words.iter().map(ToString::to_string).collect())
    }

    fn prepare(hook: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let (lab, folder) = (Lab::new(), TempDir::new().expect("a place for temporary files"));
        let listener = Some(lab.server.listen(TARGET.parse().expect("an endpoint")));
        let hook = hook(folder.path());
        fs::write(folder.path().join("config.toml"), configuration(&hook)).expect("its own folder");
        let mut command = Command::new("sh");
        command.args(["-c", r#"cd "$1"; exec "$0" --config config.toml 2>errors"#]);
        command.arg(env!("CARGO_BIN_EXE_halfopend")).arg(folder.path());
        let running = lab.client.spawn(command);
        Self { lab, folder, listener, running }
    }

    /// Writes another configuration, and asks the daemon to read it.
    fn reload(&self, configuration: &str) {
        fs::write(self.folder.path().join("config.toml"), configuration).expect("its own folder");
        self.signal(Signal::SIGHUP);
    }

    fn daemon(&self) -> i32 {
        self.running.child.id().cast_signed()
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    #[track_caller]
    fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < deadline, "waited until {what}: {}", self.running.said());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Returns the numbers in a file, once there are so many.
    fn processes(&self, count: usize) -> Vec<i32> {
        self.until("the processes have begun", |site| site.file("pids").lines().count() >= count);
        self.file("pids").lines().map(|line| line.parse().expect("a number")).collect()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.daemon()), signal).expect("its own process");
    }
}

/// Returns a script that runs in a folder.
fn in_folder(folder: &Path, script: &str) -> String {
    format!("cd '{}'\n{script}\n", folder.display())
}

fn configuration(hook: &[String]) -> String {
    let hook = if hook.is_empty() { String::new() } else { format!("hook = {hook:?}\n") };
    let times = "interval = \"1s\"\ntimeout = \"1s\"\ntransition_interval = \"1s\"\nrise = 1\n";
    format!("[pool.web]\ntargets = [{TARGET:?}]\n{times}{hook}")
}

/// Returns a field of `/proc/PID/status`.
fn status(text: &str, name: &str) -> String {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("no {name} in {text}")).trim().to_owned()
}

#[test]
fn a_hook_follows_the_target() {
    let mut site = Site::new(
        r#"cat >> objects; echo "$HALFOPEN_EVENT $HALFOPEN_FROM $HALFOPEN_TO" >> log; exit 3"#,
    );
    site.until("the target is up", |site| site.file("log") == "up unknown up\n");
    site.listener = None;
    site.until("it is down", |site| site.file("log") == "up unknown up\ndown up down\n");
    site.until("it is down", |site| site.file("objects").lines().count() == 2);
    // The same objects as on standard output, which also has a snapshot of the start.
    let said = site.running.said();
    let said: Vec<_> =
        said.lines().filter(|line| !line.contains(r#""event":"snapshot""#)).collect();
    assert_eq!(site.file("objects").lines().collect::<Vec<_>>(), said);
    site.signal(Signal::SIGTERM);
    let errors = site.folder.path().join("errors");
    assert_eq!(site.running.wait().code, 0);
    let errors = fs::read_to_string(errors).expect("the log");
    assert!(errors.contains(&format!("(down {TARGET}): exit code 3\n")), "{errors}");
}

#[test]
fn a_killed_daemon_leaves_no_process_behind() {
    let site = Site::new(
        r#"
        trap '' TERM
        echo $$ >> pids
        setsid sh -c 'trap "" TERM; echo $$ >> pids; while :; do sleep 100; done' &
        while :; do sleep 100; done"#,
    );
    let mut processes = site.processes(2);
    let runner = parent(processes[0]);
    let helper = parent(runner);
    assert_eq!(parent(helper), site.daemon());
    processes.extend([runner, helper]);
    site.signal(Signal::SIGKILL);
    wait_until_gone(&processes);
}

#[test]
fn a_daemon_that_is_asked_to_end_waits_for_its_hook() {
    let site =
        Site::new("echo $$ >> pids; until [ -e gate ]; do sleep 0.01; done; echo ended >> log");
    let hook = site.processes(1)[0];
    let processes = [hook, parent(hook), parent(parent(hook))];
    // Like systemd with KillMode=control-group, except that the hook may go on.
    for pid in [processes[1], processes[2], site.daemon()] {
        kill(Pid::from_raw(pid), Signal::SIGTERM).expect("a process of this test");
    }
    let daemon = format!("/proc/{}/status", site.daemon());
    site.until("the daemon has taken its signal", |_| {
        let daemon = fs::read_to_string(&daemon).expect("it waits for the hook");
        status(&daemon, "ShdPnd") == "0000000000000000"
    });
    fs::write(site.folder.path().join("gate"), "").expect("its own folder");
    let outcome = site.running.wait();
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let log = fs::read_to_string(site.folder.path().join("log")).expect("the hook has ended");
    assert_eq!(log, "ended\n");
    wait_until_gone(&processes);
}

#[test]
fn a_reload_changes_hooks() {
    let mut site = Site::new(r#"echo "one $HALFOPEN_POOL $HALFOPEN_EVENT" >> log"#);
    site.until("the target is up", |site| site.file("log") == "one web up\n");
    let other = site.folder.path().join("other");
    let script = r#"echo "two $HALFOPEN_POOL $HALFOPEN_EVENT" >> log"#;
    fs::write(&other, in_folder(site.folder.path(), script)).expect("its own folder");
    let hook = ["/bin/sh".to_owned(), other.display().to_string()];
    site.reload(&configuration(&hook).replace("pool.web", "pool.mail"));
    site.until("the other hook has run twice", |site| site.file("log").lines().count() == 4);
    let log = site.file("log");
    let mut lines: Vec<_> = log.lines().collect();
    lines.sort_unstable(); // pools do not wait for each other
    let expected = ["one web removed", "one web up", "two mail added", "two mail up"];
    assert_eq!(lines, expected);
    // The former hook is forgotten.
    site.listener = None;
    site.until("the target is down", |site| site.file("log").contains("two mail down\n"));
    assert_eq!(site.file("log").lines().count(), 5);
}

/// No helper was started, and none can be any more.
#[test]
fn a_first_hook_needs_a_restart() {
    let site = Site::with_hook(&[]);
    site.until("the target is up", |site| site.running.said().contains(r#""event":"up""#));
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", site.daemon()));
    assert_eq!(children.expect("the kernel lists children"), "");
    site.reload(&configuration(&["/bin/true".to_owned()]));
    let refusal = "reload: a change of pool.web.hook needs a restart; nothing has changed";
    site.until("the log refuses", |site| site.file("errors").contains(refusal));
}

/// The daemon has given up everything, its hooks nothing: one changes the firewall.
#[test]
fn hooks_keep_the_privilege_that_the_daemon_gives_up() {
    let hook = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/hooks/nftables");
    let hook = hook.canonicalize().expect("a file").display().to_string();
    let mut site = Site::with_hook(&[&hook, "inet", "lb", "healthy"]);
    site.lab.client.nft("table inet lb { set healthy { type ipv4_addr; }; }");
    let elements =
        |site: &Site| site.lab.client.run("nft", &["list", "set", "inet", "lb", "healthy"]);
    // The set may have come after the first event.
    site.listener = None;
    site.until("it is down", |site| site.running.said().contains(r#""event":"down""#));
    site.listener = Some(site.lab.server.listen(TARGET.parse().expect("an endpoint")));
    site.until("it is in the set", |site| elements(site).contains("198.18.0.7"));
    site.listener = None;
    site.until("it is not in the set", |site| !elements(site).contains("198.18.0.7"));

    let of = |pid: i32| fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let helper = fs::read_to_string(format!("/proc/{0}/task/{0}/children", site.daemon()))
        .expect("the kernel lists children");
    let helper: i32 = helper.trim().parse().expect("one child");
    let (daemon, helper_status) = (of(site.daemon()), of(helper));
    assert_eq!(status(&daemon, "Seccomp"), "2");
    assert_eq!(status(&helper_status, "Seccomp"), "0");
    assert_eq!(status(&helper_status, "NoNewPrivs"), "0");
    let administrator = 1 << 12; // CAP_NET_ADMIN
    let has = |text: &str| {
        u64::from_str_radix(&status(text, "CapPrm"), 16).expect("bits") & administrator
    };
    assert_eq!((has(&daemon), has(&helper_status)), (0, administrator));

    // The kernel lists raw sockets by inode. The daemon has some, and its helper has none.
    let raw: String = ["raw", "raw6"]
        .map(|table| fs::read_to_string(format!("/proc/{helper}/net/{table}")).expect("a table"))
        .concat();
    let has_raw = |pid: i32| sockets(pid).iter().any(|inode| raw.contains(&format!(" {inode} ")));
    assert_eq!((has_raw(site.daemon()), has_raw(helper)), (true, false), "{raw}");
}

/// Returns the inodes of the sockets of a process.
fn sockets(pid: i32) -> Vec<String> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).expect("a process of this test");
    let links = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let inode = |link: std::path::PathBuf| {
        let link = link.to_str()?.to_owned();
        Some(link.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
    };
    links.filter_map(inode).collect()
}
