//! A program with lent privilege reads only what its caller could read without it.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::chown;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::support::caller::Caller;
use crate::support::scratch::{folder_for_everybody, set_mode};
use lab::{Lab, Outcome};

/// A file with a target, for root alone, in a folder for everybody.
struct Secret {
    path: PathBuf,
    _folder: TempDir,
}

impl Secret {
    fn new() -> Self {
        let folder = folder_for_everybody();
        let path = folder.path().join("targets");
        fs::write(&path, "198.19.0.2:80\n").expect("our own directory");
        set_mode(&path, 0o600);
        Self { path, _folder: folder }
    }

    /// Runs the program with a standard input that it may write to, but not read from.
    fn given_to(&self, lab: &Lab, caller: &Caller, name: &str) -> Outcome {
        let mut command = caller.command(&["--targets", name]);
        let input = OpenOptions::new().append(true).open(&self.path).expect("we may write");
        command.stdin(input);
        lab.client.spawn(command).wait()
    }
}

/// The caller could not read it either, however the file is named.
#[test]
fn a_file_that_the_caller_cannot_read_is_not_read() {
    let (lab, secret) = (Lab::new(), Secret::new());
    let path = secret.path.to_str().expect("plain letters");
    let capture = lab.server.capture("server0");
    for caller in Caller::lent(&lab).into_iter().chain([Caller::user(&lab)]) {
        let outcome = lab.client.outcome(caller.command_of("cat", &[path]));
        assert!(outcome.stderr.contains("Permission denied"), "{outcome:?}");
        for name in [path, &format!("/proc/self/root{path}"), "/proc/self/fd/0", "/dev/stdin"] {
            let outcome = secret.given_to(&lab, &caller, name);
            let line = format!(
                "TCP HALF-OPEN UNKNOWN - cannot read {name}: Permission denied; \
                 see halfopen --help\n"
            );
            assert_eq!((outcome.code, outcome.stdout), (3, line));
        }
        let outcome = secret.given_to(&lab, &caller, "-");
        assert_eq!(outcome.code, 3, "{outcome:?}");
        assert!(outcome.stdout.contains("standard input names no target"), "{outcome:?}");
    }
    assert!(capture.segments().is_empty());
}

/// This includes the process itself: its memory and environment stay unreadable, and its sockets
/// are not files.
#[test]
fn what_the_program_holds_is_no_file_of_targets() {
    let lab = Lab::new();
    for caller in
        [Caller::user(&lab).with_file_capability("+p"), Caller::user(&lab).with_setuid_and_setgid()]
    {
        for name in ["/proc/self/mem", "/proc/self/environ", "/proc/self/fd/4", "/proc/1/environ"] {
            let outcome = caller.check(&lab, &["--targets", name]);
            assert_eq!(outcome.code, 3, "{outcome:?}");
            let line = format!("TCP HALF-OPEN UNKNOWN - cannot read {name}: ");
            assert!(outcome.stdout.starts_with(&line), "{outcome:?}");
        }
    }
}

/// The program reads what the caller may read.
#[test]
fn a_file_of_the_callers_own_is_read() {
    let (lab, secret) = (Lab::new(), Secret::new());
    let path = secret.path.to_str().expect("plain letters");
    set_mode(&secret.path, 0o644);
    for caller in Caller::lent(&lab) {
        for name in [path, "/proc/self/fd/0", "/dev/stdin"] {
            let outcome = secret.given_to(&lab, &caller, name);
            assert_eq!(outcome.code, 2, "{outcome:?}");
            assert!(outcome.stdout.contains("198.19.0.2:80 closed"), "{outcome:?}");
        }
    }
}

/// Root's right to read everything is gone by then.
#[test]
fn root_reads_a_file_of_another_users_own_as_standard_input_only() {
    let (lab, secret) = (Lab::new(), Secret::new());
    let path = secret.path.to_str().expect("plain letters");
    let other = Caller::user(&lab).with_setuid_and_setgid().id;
    chown(&secret.path, Some(other), None).expect("another user to give it to");
    let root = Caller::root(&lab);
    let outcome = root.check(&lab, &["--targets", path]);
    assert_eq!(outcome.code, 3, "{outcome:?}");
    assert!(outcome.stdout.contains(&format!("cannot read {path}: Permission denied")));
    let mut command = root.command(&["--targets", "-"]);
    command.stdin(File::open(&secret.path).expect("root may"));
    let outcome = lab.client.spawn(command).wait();
    assert!(outcome.stdout.contains("198.19.0.2:80 closed"), "{outcome:?}");
}
