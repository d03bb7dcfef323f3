//! JSON Lines are written as soon as verdicts are reached, without waiting for the slowest.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::crowd::{CLOSED, Crowd, Findings, expected, lines};
use crate::support::names::{Names, name_service};
use crate::support::process::{signal, wait_until};
use lab::{Direction, Outcome, Running, halfopen_path};

/// Returns the whole lines that a running program has printed so far.
fn lines_of(running: &Running) -> usize {
    running.said().matches('\n').count()
}

fn still_runs(running: &mut Running) -> bool {
    running.child.try_wait().expect("a child of ours").is_none()
}

#[test]
fn open_targets_are_reported_while_a_silent_one_is_pending() {
    let crowd = Crowd::new();
    // The silent target takes a quarter of an hour.
    let options = ["-o", "json", "-t", "2000", "--retries", "9"];
    let mut command = Command::new(halfopen_path());
    command.args(options).args(["198.19.0.2:82", "198.18.0.0/24:80"]);
    let mut pool = crowd.lab.client.spawn(command);
    wait_until(|| lines_of(&pool) >= 256);
    let said = pool.said();
    assert!(still_runs(&mut pool), "the silent target's last wait is yet to end");
    let told = lines(&said);
    assert_eq!(told.len(), 256);
    assert!(told.iter().all(|finding| finding.state.as_deref() == Some("open")), "{told:#?}");

    signal(&pool, Signal::SIGINT);
    let findings = Findings::of(&pool.wait());
    assert_eq!((&findings.all[..256], findings.summary.open), (&told[..], 256));
}

#[test]
fn a_look_up_that_hangs_delays_no_other_target() {
    let crowd = Crowd::new();
    let names = Names::with_hosts("127.0.0.1 localhost\n");
    let _dns = name_service(&crowd.lab); // receives the question, and never answers
    let literals: Vec<_> = (1..=50).map(|host| format!("198.18.3.{host}:80")).collect();
    let targets = ["hangs.test:80"].into_iter().chain(literals.iter().map(String::as_str));
    let within = |timeout| {
        names.command(&["-t", timeout].into_iter().chain(targets.clone()).collect::<Vec<_>>())
    };
    let mut pool = crowd.lab.client.spawn(within("600"));
    wait_until(|| lines_of(&pool) >= 50);
    let told = lines(&pool.said());
    assert!(still_runs(&mut pool), "it waits for the name");
    assert!(told.iter().all(|finding| finding.state.as_deref() == Some("open")), "{told:#?}");

    drop(pool);

    let outcome = crowd.lab.client.outcome(within("2"));
    let findings = Findings::of(&outcome);
    let name = findings.of_target("hangs.test:80");
    assert_eq!(
        (name.state.as_deref(), &*name.status, name.address, name.tries),
        (Some("unreachable"), "CRITICAL", None, Some(0))
    );
    assert_eq!((findings.summary.open, findings.summary.unreachable, findings.code), (50, 1, 2));
    outcome.assert_waited_at_most(2.05);
}

/// Output that is not read yet is kept in memory, which must be bounded. So targets wait, and none
/// is lost.
#[test]
fn new_targets_wait_for_a_reader_that_has_stopped() {
    // A line has more than a hundred bytes, and a pipe takes 64 KiB.
    const UNREAD: usize = ((1 << 20) + (1 << 16)) / 100 + 1000;
    for engine in ["raw", "connect"] {
        let crowd = Crowd::new();
        let capture = crowd.lab.server.capture("server0");
        let mut command = Command::new(halfopen_path());
        command
            .args(["--engine", engine, "-o", "json", "--rate", "0", "-t", "50", "198.18.0.0/17:81"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut pool = crowd.lab.client.enter(|| command.spawn().expect("the built program"));
        let mut begun = 0;
        loop {
            let more = capture.segments();
            begun += more.iter().filter(|segment| segment.direction == Direction::In).count();
            if begun > 0 && more.is_empty() {
                break;
            }
        }
        assert!(begun < UNREAD, "{engine}: {begun} targets were begun");

        let mut stdout = String::new();
        let mut output = pool.stdout.take().expect("piped");
        output.read_to_string(&mut stdout).expect("text");
        let code = pool.wait().expect("our child").code().expect("no signal");
        let elapsed = Duration::ZERO;
        let outcome = Outcome { code, stdout, stderr: String::new(), elapsed, times: None };
        let findings = Findings::of(&outcome);
        findings.assert_states(expected("198.18.0.0", 32_768, &[CLOSED]));
        assert_eq!(findings.code, 2);
    }
}
