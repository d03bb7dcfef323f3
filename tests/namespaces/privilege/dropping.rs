//! What is left of the privilege when the program begins to read its input: its targets come from a
//! FIFO here, and it hangs there until the test has inspected it through /proc.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use nix::libc::O_NONBLOCK;
use nix::sys::stat::Mode;
use nix::unistd::{geteuid, mkfifo};
use tempfile::TempDir;

use crate::support::caller::Caller;
use crate::support::preloaded::Preloaded;
use crate::support::process::wait_until;
use crate::support::scratch::{folder_for_everybody, set_mode};
use lab::{Lab, Outcome, Running, SERVER_V4};

/// Bits of the capability sets in /proc/PID/status.
pub(super) const NOTHING: u64 = 0;

/// A program that hangs reading its targets.
pub(super) struct Held {
    running: Running,
    targets: File,
    _folder: TempDir,
}

impl Held {
    fn start(lab: &Lab, caller: &Caller) -> Self {
        Self::start_with(lab, caller, &[], &[])
    }

    /// Starts it with these libraries preloaded.
    pub(super) fn start_with(
        lab: &Lab,
        caller: &Caller,
        options: &[&str],
        libraries: &[&Preloaded],
    ) -> Self {
        let folder = folder_for_everybody();
        let fifo = folder.path().join("targets");
        mkfifo(&fifo, Mode::empty()).expect("our own directory");
        set_mode(&fifo, 0o644);
        let name = fifo.to_str().expect("plain letters");
        let words = [&["-o", "json", "--targets", name], options].concat();
        let mut command = caller.command(&words);
        for library in libraries {
            command.env("LD_PRELOAD", &library.path);
        }
        let running = lab.client.spawn(command);
        // Fails until there is a reader (fifo(7)).
        let open = || OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(&fifo);
        let targets = OnceCell::new();
        wait_until(|| open().is_ok_and(|opened| targets.set(opened).is_ok()));
        let targets = targets.into_inner().expect("waited for");
        Self { running, targets, _folder: folder }
    }

    /// Writes the target to the FIFO, and returns the verdict.
    pub(super) fn go_on(mut self, target: IpAddr) -> Outcome {
        writeln!(self.targets, "{}", SocketAddr::new(target, 80)).expect("the program reads");
        drop(self.targets);
        self.running.wait()
    }

    fn read(&self, file: &str) -> String {
        let path = format!("/proc/{}/{file}", self.running.child.id());
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Returns the status of each of its threads.
    fn statuses(&self) -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.running.child.id()));
        let tasks = tasks.expect("the program hangs").map(|task| task.expect("readable").path());
        tasks.map(|task| fs::read_to_string(task.join("status")).expect("readable")).collect()
    }

    /// Asserts that no thread has other capabilities than `kept`, another user or group than `id`,
    /// or a way to get them back.
    pub(super) fn assert_has_dropped(&self, id: u32, kept: u64) {
        for status in self.statuses() {
            let field = |name: &str| field(&status, name);
            let set = |name: &str| u64::from_str_radix(field(name), 16).expect("hexadecimal");
            for name in ["CapPrm", "CapEff"] {
                assert_eq!(set(name), kept, "{status}");
            }
            for name in ["CapInh", "CapAmb"] {
                assert_eq!(set(name), NOTHING, "{status}");
            }
            for name in ["Uid", "Gid"] {
                let ids: Vec<_> = field(name).split_whitespace().collect();
                assert_eq!(ids, [&*id.to_string(); 4], "{status}");
            }
            assert_eq!(field("NoNewPrivs"), "1", "{status}");
            let filtered = if cfg!(feature = "seccomp") { "2" } else { "0" };
            assert_eq!(field("Seccomp"), filtered, "{status}");
        }
        let limits = self.read("limits");
        let core = limits.lines().find(|line| line.starts_with("Max core file size"));
        let core: Vec<_> = core.expect("a limit").split_whitespace().skip(4).take(2).collect();
        assert_eq!(core, ["0", "0"], "{limits}");
    }

    /// Asserts that execve cannot give anything back to root.
    fn assert_bounding_set_is_empty(&self) {
        for status in self.statuses() {
            assert_eq!(field(&status, "CapBnd"), "0000000000000000", "{status}");
        }
    }

    /// Asserts that no other process of the same user may inspect it: its files in /proc belong to
    /// root (proc(5)).
    fn assert_belongs_to_root(&self) {
        let owner = fs::metadata(format!("/proc/{}/environ", self.running.child.id()));
        assert_eq!(owner.expect("the program hangs").uid(), geteuid().as_raw());
    }

    /// Returns how many raw sockets it has, of either address family.
    fn raw_sockets(&self) -> [usize; 2] {
        let folder = fs::read_dir(format!("/proc/{}/fd", self.running.child.id()));
        let links = folder.expect("we may look").flatten().map(|fd| fs::read_link(fd.path()));
        let held: BTreeSet<_> =
            links.flatten().map(|link| link.to_string_lossy().into_owned()).collect();
        ["net/raw", "net/raw6"].map(|table| {
            let inodes = self.read(table);
            let inodes = inodes.lines().skip(1).filter_map(|line| line.split_whitespace().nth(9));
            inodes.filter(|inode| held.contains(&format!("socket:[{inode}]"))).count()
        })
    }
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {status}")).trim()
}

/// Stops the program before it reads, inspects it, and lets it continue.
fn assert_drops_all_before_reading(caller: impl Fn(&Lab) -> Caller, look: fn(&Held)) {
    let lab = Lab::new();
    let _listener = lab.server.listen(SocketAddr::new(SERVER_V4, 80));
    let caller = caller(&lab);
    let held = Held::start(&lab, &caller);
    held.assert_has_dropped(caller.id, NOTHING);
    look(&held);
    let outcome = held.go_on(SERVER_V4);
    assert_eq!(outcome.verdict().ending(), (Some("open"), 0), "{outcome:?}");
}

fn has_raw_sockets(held: &Held) {
    assert!(held.raw_sockets().iter().all(|count| *count > 0), "{:?}", held.raw_sockets());
}

#[test]
fn root_keeps_its_sockets_and_nothing_else() {
    assert_drops_all_before_reading(Caller::root, |held| {
        has_raw_sockets(held);
        held.assert_bounding_set_is_empty();
    });
}

#[test]
fn a_file_capability_is_gone_when_targets_are_read() {
    for flags in ["+p", "+ep"] {
        let caller = |lab: &Lab| Caller::user(lab).with_file_capability(flags);
        assert_drops_all_before_reading(caller, |held| {
            has_raw_sockets(held);
            held.assert_belongs_to_root();
        });
    }
}

#[test]
fn the_user_and_the_group_of_a_setuid_program_are_gone_when_targets_are_read() {
    let caller = |lab: &Lab| Caller::user(lab).with_setuid_and_setgid();
    assert_drops_all_before_reading(caller, |held| {
        has_raw_sockets(held);
        held.assert_bounding_set_is_empty();
        held.assert_belongs_to_root();
    });
}

#[test]
fn an_ambient_capability_is_gone_when_targets_are_read() {
    assert_drops_all_before_reading(Caller::user_with_ambient_net_raw, has_raw_sockets);
}

#[test]
fn callers_without_privilege_are_confined_too() {
    assert_drops_all_before_reading(Caller::user, |held| {
        assert_eq!(held.raw_sockets(), [0, 0]);
        held.assert_belongs_to_root();
    });
}
