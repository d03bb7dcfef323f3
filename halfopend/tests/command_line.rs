//! The program as a caller sees it: exit codes, and what goes where.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc::O_NONBLOCK;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::Pid;
use nix::unistd::mkfifo;

fn halfopend(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_halfopend")).args(arguments).output().expect("halfopend")
}

/// Returns the exit code, standard output and standard error.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = halfopend(arguments);
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn a_usage_error_is_told_on_standard_error_with_exit_code_2() {
    for arguments in [
        &[][..],
        &["--no-such-option", "192.0.2.7:443"],
        &["192.0.2.7"],
        &["--config"],
        &["--config", "a.toml", "192.0.2.7:443"],
        &["--log", "xml", "192.0.2.7:443"],
    ] {
        let (code, out, messages) = run(arguments);
        assert_eq!((code, &*out), (Some(2), ""), "{arguments:?}");
        assert!(messages.starts_with("halfopend: "), "{messages}");
    }
}

#[test]
fn help_and_version_are_answers() {
    for argument in ["--help", "-h", "--version", "-V"] {
        let (code, out, messages) = run(&[argument]);
        assert_eq!((code, &*messages), (Some(0), ""), "{argument}");
        assert!(out.contains("halfopend"), "{out}");
    }
}

#[test]
fn check_says_what_it_understood() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.toml");
    let text = "[pool.web]\nfile = 'web.txt'\nwitness = ['192.0.2.1:22']\n\
                [pool.mail]\ntargets = ['mail.example:25']\ninterval = '1m'\nretries = 0\n";
    fs::write(&file, text).unwrap();
    fs::write(folder.path().join("web.txt"), "192.0.2.0/30:80,443\n").unwrap();
    let (code, out, messages) = run(&["--config", file.to_str().unwrap(), "--check"]);
    assert_eq!((code, &*messages), (Some(0), ""));
    let expected = "2 pools, 9 targets\n\
                    web: 8 targets and 1 witness every 5s, 3 SYNs at most\n\
                    mail: 1 target every 60s, 1 SYN at most\n";
    assert_eq!(out, expected);
    let (code, out, _) = run(&["192.0.2.7:443", "--check"]);
    assert_eq!(code, Some(0));
    assert_eq!(out, "1 pool, 1 target\ndefault: 1 target every 5s, 3 SYNs at most\n");
}

#[test]
fn check_names_the_line_of_a_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.toml");
    let name = file.to_str().unwrap();
    fs::write(&file, "[pool.web]\ntargets = ['192.0.2.7:443']\nfall = 0\n").unwrap();
    let (code, out, messages) = run(&["--config", name, "--check"]);
    assert_eq!((code, &*out), (Some(2), ""));
    assert!(messages.starts_with(&format!("halfopend: {name}:3:8: ")), "{messages}");
    let (code, _, messages) = run(&["--config", name, "--check", "--log", "json"]);
    let object: serde_json::Value = serde_json::from_str(&messages).expect("an object");
    assert_eq!((code, &object["level"]), (Some(2), &"error".into()));
    let (code, _, messages) = run(&["10.0.0.0/8:1", "--check"]);
    let expected = "halfopend: more than 1000000 targets, all pools together\n";
    assert_eq!((code, &*messages), (Some(2), expected));
}

/// A process that ends with its test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    fn start(command: &mut Command) -> Self {
        Self(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a program"))
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn output(&mut self) -> BufReader<ChildStdout> {
        BufReader::new(self.0.stdout.take().unwrap())
    }

    /// Sends a signal, and returns the exit code and the log.
    fn end(mut self, signal: Signal) -> (Option<i32>, String) {
        kill(Pid::from_raw(self.pid().try_into().unwrap()), signal).unwrap();
        let mut log = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (self.0.wait().unwrap().code(), log)
    }
}

/// Starts the program on an open port, and returns it and the port.
fn checking(arguments: &[&str]) -> (Process, TcpListener) {
    start(&mut Command::new(env!("CARGO_BIN_EXE_halfopend")), arguments)
}

fn start(command: &mut Command, arguments: &[&str]) -> (Process, TcpListener) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = port.local_addr().unwrap().to_string();
    (Process::start(command.args([&target, "--listen", "none"]).args(arguments)), port)
}

/// Prints what a file has and gets, for a minute at most.
fn follow(file: &Path) -> Process {
    let tail = ["60", "tail", "--follow", "--lines=+1", file.to_str().unwrap()];
    Process::start(Command::new("timeout").args(tail))
}

/// Reads events until one says that a target is up.
fn wait_until_up(out: &mut impl BufRead) {
    let is_up = |line: io::Result<String>| event(&line.unwrap())["event"] == "up";
    assert!(out.lines().any(is_up));
}

fn event(line: &str) -> serde_json::Value {
    serde_json::from_str(line).expect(line)
}

#[test]
fn a_signal_ends_it_with_exit_code_0() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let (mut program, _port) = checking(&["--log", "json"]);
        wait_until_up(&mut program.output());
        let (code, log) = program.end(signal);
        assert_eq!(code, Some(0), "{log}");
        let first: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
        assert_eq!(first["message"], "checking 1 pool, 1 target");
    }
}

#[test]
fn events_are_appended_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.jsonl");
    fs::write(&file, "before\n").unwrap();
    let (program, _port) = checking(&["--events", file.to_str().unwrap()]);
    let mut tail = follow(&file);
    let mut lines = tail.output();
    let mut before = String::new();
    lines.read_line(&mut before).unwrap();
    assert_eq!(before, "before\n");
    wait_until_up(&mut lines);
    assert_eq!(program.end(Signal::SIGTERM).0, Some(0));
}

/// The limit on the size of files stands for a full disk: the kernel writes what fits, then
/// refuses.
#[test]
fn events_that_a_full_disk_has_refused_are_counted_and_told_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.jsonl");
    fs::write(&file, "").unwrap();
    let mut limited = Command::new("prlimit");
    limited.args(["--fsize=10:unlimited", env!("CARGO_BIN_EXE_halfopend")]);
    let (program, _port) = start(&mut limited, &["--events", file.to_str().unwrap()]);
    let mut tail = follow(&file);
    let mut lines = tail.output();
    let mut first = vec![0; 10];
    lines.read_exact(&mut first).unwrap();

    let pid = program.pid().to_string();
    let freed = Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited"]).status();
    assert!(freed.expect("prlimit").success());
    // Nothing else needs to happen: the torn line goes on, and what was lost is told again.
    lines.read_until(b'\n', &mut first).unwrap();
    assert_eq!(event(std::str::from_utf8(&first).unwrap())["event"], "snapshot");
    let is_up = |line: io::Result<String>| event(&line.unwrap())["to"] == "up";
    assert!(lines.lines().any(is_up));
    let (code, log) = program.end(Signal::SIGTERM);
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("events are lost until they can be written: File too large\n"), "{log}");
    assert!(log.contains("events are written again; "), "{log}");
}

/// None of them keeps the program waiting.
#[test]
fn a_fifo_is_no_configuration_and_takes_events_only_for_a_reader() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let name = fifo.to_str().unwrap();
    let (code, _, messages) = run(&["--config", name]);
    let expected = format!("halfopend: cannot read {name}: not a regular file\n");
    assert_eq!((code, messages), (Some(2), expected.clone()));
    let config = folder.path().join("a.toml");
    fs::write(&config, "[pool.web]\nfile = 'fifo'\n").unwrap();
    let (code, _, messages) = run(&["--config", config.to_str().unwrap(), "--listen", "none"]);
    assert_eq!((code, messages), (Some(2), expected));
    let (code, _, messages) = run(&["127.0.0.1:1", "--listen", "none", "--events", name]);
    let expected =
        format!("halfopend: cannot write to {name}: nothing reads it; start its reader first\n");
    assert_eq!((code, messages), (Some(1), expected));
    let mut options = fs::File::options();
    let reader = options.read(true).custom_flags(O_NONBLOCK).open(&fifo).unwrap();
    let (program, _port) = checking(&["--events", name]);
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    let mut ready = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
    poll(&mut ready, PollTimeout::from(60_000_u16)).unwrap();
    wait_until_up(&mut BufReader::new(&reader));
    assert_eq!(program.end(Signal::SIGTERM).0, Some(0));
}

#[test]
fn a_file_for_events_that_cannot_be_opened_is_a_fault_of_this_machine() {
    let (code, out, messages) =
        run(&["127.0.0.1:1", "--listen", "none", "--events", "/nonexistent/events"]);
    assert_eq!((code, &*out), (Some(1), ""));
    let expected = "halfopend: cannot write to /nonexistent/events: No such file or directory\n";
    assert_eq!(messages, expected);
}
