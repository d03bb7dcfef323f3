//! The progress bar of a long pool, and terminals that do not take output.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::thread;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{FlowArg, tcflow};
use nix::unistd::Pid;

use crate::program::{CLOSED, HALFOPEN, Loopback, OPEN, SILENT, halfopen, run, segments_received};
use crate::slow_readers::wait_until;

/// One target answers. The other one is silent for seconds, so that there is a bar.
const POOL: [&str; 2] = [OPEN, SILENT];

#[test]
fn a_bar_shows_the_progress_of_a_long_pool_and_is_erased_at_the_end() {
    let _network = Loopback::new().listen("127.0.0.1").overload();
    let (master, slave) = terminal();
    let child = start(&["-t", "3"], slave);
    let reader = thread::spawn(move || until_nobody_writes(master));
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(2));
    let shown = reader.join().unwrap();
    let bar = "[###############---------------] 1 of 2 targets, ";
    assert!(shown.contains(bar), "{shown:?}");
    assert!(shown.ends_with("\r\x1b[K"), "{shown:?}");
    for frame in shown.split("\r\x1b[K") {
        let visible = frame.replace("\x1b[?7l", "").replace("\x1b[?7h", "");
        assert!(visible.len() < 80 && !visible.contains(char::is_control), "{shown:?}");
    }
}

#[test]
fn a_short_pool_shows_no_bar() {
    let _network = Loopback::new().listen("127.0.0.1").overload();
    let (master, slave) = terminal();
    let child = start(&["-t", "0.5"], slave);
    let reader = thread::spawn(move || until_nobody_writes(master));
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(2));
    let shown = reader.join().unwrap();
    assert!(shown.is_empty(), "{shown:?}");
}

#[test]
fn a_stopped_terminal_holds_up_no_verdict() {
    let _network = Loopback::new().listen("127.0.0.1").overload();
    let (_master, slave) = terminal();
    tcflow(&slave, FlowArg::TCOOFF).expect("as Ctrl-S does");
    let mut child = start(&["-t", "3"], slave);
    wait_until(|| child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(2));
}

#[test]
fn a_signal_ends_a_check_whose_terminal_is_stopped() {
    let _network = Loopback::new().listen("127.0.0.1").overload();
    let (_master, slave) = terminal();
    tcflow(&slave, FlowArg::TCOOFF).expect("as Ctrl-S does");
    let before = segments_received();
    let mut child = start(&["-t", "1000"], slave);
    // SYN, SYN+ACK and RST of the first target, and three SYNs of the second. The last of these
    // leaves when the bar has been shown for two seconds.
    wait_until(|| segments_received() >= before + 6);
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    wait_until(|| child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

#[test]
fn a_signal_ends_a_check_whose_terminal_is_not_read() {
    let _network = Loopback::new();
    let (master, slave) = terminal();
    let mut command = Command::new(HALFOPEN);
    command.args(["-o", "text", "127.0.0.0/20:8026"]); // more lines than a terminal holds
    command.stdout(slave.try_clone().unwrap()).stderr(Stdio::null());
    command.env("LD_PRELOAD", lab::own_clock()); // all of them before the deadline
    let mut child = command.spawn().expect("the built program");
    // Lines have come, and it waits. The terminal may have room again, of which a pseudo-terminal
    // tells nobody who waits for it.
    wait_until(|| has_output(&master) && is_asleep(&child));
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    wait_until(|| child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(2), "the verdicts were there");
}

#[test]
fn a_terminal_shows_the_progress_of_a_pool() {
    let _network = Loopback::new().listen("127.0.0.1").overload();
    let on_terminal = |words: &str| {
        let command = format!("'{HALFOPEN}' --retries 1 -t 3 {words}");
        run("script", ["--quiet", "--return", "--command", &command, "/dev/null"]).stdout
    };
    let slow = format!("{CLOSED} {SILENT}");
    let shown = on_terminal(&format!("-o text {slow}"));
    let (bar, result) = shown.split_once("TARGET").expect("needs script (bsdutils)");
    assert!(bar.contains("1 of 2 targets"), "{bar:?}");
    assert!(bar.ends_with("\r\u{1b}[K"), "the bar is gone before the result: {bar:?}");
    assert!(result.contains("0 of 2 open in 3."), "{result:?}");
    let calls = [
        format!("-o text {OPEN} {CLOSED}"),
        format!("-o text {SILENT}"),
        slow.clone(),
        format!("-o json {slow}"),
        format!("-o text {slow} 2>/dev/null"),
    ];
    thread::scope(|scope| {
        let running = calls.map(|words| scope.spawn(move || on_terminal(&words)));
        for shown in running.map(|call| call.join().unwrap()) {
            assert!(!shown.contains(" targets"), "{shown:?}");
        }
    });
    let piped = halfopen(["-o", "text", "--retries", "1", "-t", "3", CLOSED, SILENT]);
    assert_eq!(piped.stderr, "");
}

fn terminal() -> (File, OwnedFd) {
    let pair = openpty(None, None).expect("a pseudo-terminal");
    (pair.master.into(), pair.slave)
}

/// Starts the program with that terminal as its standard error.
fn start(options: &[&str], terminal: OwnedFd) -> Child {
    let mut command = Command::new(HALFOPEN);
    command.env("LD_PRELOAD", lab::own_clock());
    command.args(["-o", "text"]).args(options).args(POOL);
    command.stdout(Stdio::null()).stderr(terminal).spawn().expect("the built program")
}

fn until_nobody_writes(mut master: File) -> String {
    let (mut shown, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match master.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => shown.extend(&buffer[..length]),
            Err(error) if error.raw_os_error() == Some(Errno::EIO as i32) => break,
            Err(error) => panic!("{error}"),
        }
    }
    String::from_utf8(shown).expect("text")
}

fn has_output(master: &File) -> bool {
    let mut watched = [PollFd::new(master.as_fd(), PollFlags::POLLIN)];
    poll(&mut watched, PollTimeout::ZERO).unwrap() > 0
}

/// By the state that the kernel shows.
fn is_asleep(child: &Child) -> bool {
    fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap().contains(") S ")
}
