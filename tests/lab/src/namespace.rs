//! A network namespace, which is a host of its own. Only a file descriptor keeps it.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::process::{self, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns, unshare};

use super::{Capture, Outcome, Running, patience};

/// A host of its own. It has no name under /run/netns, so the kernel removes it with its last
/// descriptor, socket and process, even if the tests are killed.
pub struct Namespace {
    handle: File,
}

impl Namespace {
    /// Creates a host with a loopback interface and no other.
    pub fn new() -> Self {
        let handle = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap_or_else(|error| {
                panic!("cannot make a network namespace ({error}): run the tests as root or inside `unshare --user --map-root-user`")
            });
            File::open("/proc/thread-self/ns/net").expect("/proc is mounted")
        })
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let namespace = Self { handle };
        namespace.configure(&["link set lo up"]);
        // Only the test's own traffic, and link-local addresses that work at once.
        for family in ["all", "default"] {
            namespace.sysctl(&format!("net.ipv6.conf.{family}.disable_ipv6"), "0");
            namespace.sysctl(&format!("net.ipv6.conf.{family}.accept_dad"), "0");
            namespace.sysctl(&format!("net.ipv6.conf.{family}.router_solicitations"), "0");
            namespace.sysctl(&format!("net.ipv4.conf.{family}.rp_filter"), "0");
        }
        namespace
    }

    /// Joins this host to another by a new pair of interfaces, both up.
    pub fn cable(&self, here: &str, other: &Self, there: &str) {
        let other_path = format!("/proc/{}/fd/{}", process::id(), other.handle.as_raw_fd());
        self.configure(&[
            &format!("link add {here} type veth peer name {there} netns {other_path}"),
            &format!("link set {here} up"),
        ]);
        other.configure(&[&format!("link set {there} up")]);
        self.wait_until_usable(here);
        other.wait_until_usable(there);
    }

    /// Adds addresses, each with its prefix length, to an interface, and waits until they work.
    pub fn address(&self, interface: &str, addresses: &[&str]) {
        let lines: Vec<_> = addresses
            .iter()
            .map(|address| format!("address add {address} dev {interface}"))
            .collect();
        self.configure(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        self.wait_until_usable(interface);
    }

    /// Kernel threads finish what `ip` begins. Until they have noticed the carrier, the interface
    /// drops what it should send. Until they have begun to use an IPv6 address, neighbours get no
    /// answer for it, and ask again only after a second.
    fn wait_until_usable(&self, interface: &str) {
        let patience = Instant::now() + patience();
        while !(self.sends(interface) && self.enter(|| uses_its_ipv6_addresses(interface))) {
            assert!(Instant::now() < patience, "{interface} does not come into use");
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn sends(&self, interface: &str) -> bool {
        let told = self.run("ip", &["-o", "link", "show", "dev", interface]);
        told.contains(" state UP ") && !told.contains(" qdisc noop ")
    }

    /// Runs the closure on a thread in this namespace. Sockets that it opens stay in the namespace.
    pub fn enter<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            scope
                .spawn(|| {
                    setns(&self.handle, CloneFlags::CLONE_NEWNET)
                        .expect("may enter the namespace that it made");
                    act()
                })
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs a program to its end, and returns its output. Panics with the program's message if it
    /// fails.
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(program);
        command.args(arguments);
        let outcome = self.outcome(command);
        assert!(
            outcome.code == 0,
            "{program} {arguments:?} failed with {}: {}{}",
            outcome.code,
            outcome.stderr,
            outcome.stdout
        );
        outcome.stdout
    }

    /// Runs a program to its end, whether it succeeds or fails.
    pub fn outcome(&self, command: Command) -> Outcome {
        self.enter(|| Outcome::of(command))
    }

    /// Starts a program. It ends when the returned value is dropped, if not before.
    pub fn spawn(&self, command: Command) -> Running {
        self.enter(|| Running::start(command))
    }

    /// Runs `ip` commands, one per line. IPv6 is recognised by its colons, unless a line begins
    /// with the family. Lines of one family that follow each other take one process.
    pub fn configure(&self, lines: &[&str]) {
        let lines: Vec<_> = lines.iter().map(|line| with_family(line)).collect();
        for lines in lines.chunk_by(|(family, _), (next, _)| family == next) {
            let batch: Vec<_> = lines.iter().map(|(_, line)| *line).collect();
            self.feed("ip", &[lines[0].0, "-batch", "-"], &batch.join("\n"));
        }
    }

    /// Adds nftables rules.
    pub fn nft(&self, rules: &str) {
        self.feed("nft", &["-f", "-"], rules);
    }

    /// Runs a program that reads its commands from standard input.
    fn feed(&self, program: &str, arguments: &[&str], commands: &str) {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped());
        let mut running = self.spawn(command);
        let mut input = running.child.stdin.take().expect("piped above");
        input.write_all(commands.as_bytes()).expect("it reads its commands");
        drop(input);
        let outcome = running.wait();
        assert!(outcome.code == 0, "{program} refused {commands}: {}", outcome.stderr);
    }

    /// Sets a kernel parameter in this namespace only.
    pub fn sysctl(&self, name: &str, value: &str) {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        self.enter(|| {
            fs::write(&path, value)
                .unwrap_or_else(|error| panic!("cannot write {value} to {path}: {error}"));
        });
    }

    /// A listener of the kernel's own TCP, with its default queue.
    ///
    /// An earlier listener at the same address may exist for a moment after its value was dropped:
    /// while another test starts a program, the new process has a copy of every descriptor until
    /// execve.
    pub fn listen(&self, address: SocketAddr) -> TcpListener {
        let patience = Instant::now() + patience();
        self.enter(|| {
            loop {
                match TcpListener::bind(address) {
                    Ok(listener) => return listener,
                    Err(error)
                        if error.kind() == ErrorKind::AddrInUse && Instant::now() < patience =>
                    {
                        thread::sleep(Duration::from_millis(1));
                    }
                    Err(error) => panic!("cannot listen on {address}: {error}"),
                }
            }
        })
    }

    /// Captures every packet that crosses the interface from now on.
    pub fn capture(&self, interface: &str) -> Capture {
        self.enter(|| Capture::on(interface))
    }
}

/// Returns the option of `ip` for the family of a command, and the command without it.
fn with_family(line: &str) -> (&str, &str) {
    match line.split_once(' ') {
        Some((family @ ("-4" | "-6"), rest)) => (family, rest),
        _ if line.contains("::") => ("-6", line),
        _ => ("-4", line),
    }
}

/// Returns true if the interface has a link-local address, and each of its addresses has a route to
/// this host and receives its solicited-node group (RFC 4291 §2.7.1), in the namespace of this
/// thread.
fn uses_its_ipv6_addresses(interface: &str) -> bool {
    let table = |name: &str| {
        fs::read_to_string(format!("/proc/thread-self/net/{name}")).expect("IPv6 is there")
    };
    let (addresses, groups, routes) = (table("if_inet6"), table("igmp6"), table("ipv6_route"));
    let ours: Vec<_> = addresses
        .lines()
        .filter(|line| line.split_whitespace().last() == Some(interface))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let in_use = |address: &&str| {
        let group = format!("ff0200000000000000000001ff{}", &address[26..]);
        groups.contains(&group)
            && routes.lines().any(|line| line.starts_with(&format!("{address} 80 ")))
    };
    ours.iter().any(|address| address.starts_with("fe80")) && ours.iter().all(in_use)
}
