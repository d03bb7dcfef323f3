//! A program that is stopped while it waits, and continued when its time is over. Time goes on
//! while it is stopped. It has the clock of the machine.

use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::faults::ENGINES;
use crate::support::names::{Names, address, name_service};
use crate::support::process::{signal, state, wait_until};
use lab::{Lab, Running, halfopen_path};

/// The timeout of the programs here.
const TIMEOUT: Duration = Duration::from_secs(8);

const MOMENT: Duration = Duration::from_millis(1);

#[test]
fn a_look_up_ends_at_the_deadline() {
    let lab = Lab::new();
    let questions = name_service(&lab); // receives them, and never answers
    let names = Names::with_hosts("127.0.0.1 localhost\n");
    let checks = ENGINES.map(|engine| {
        let mut command = Command::new(halfopen_path());
        command.args(["--engine", engine, "-4", "-t", "8", "hangs.test", "80"]);
        let check = lab.client.spawn(names.shown_to(&command));
        questions.recv(&mut [0; 512]).expect("the program asks");
        check
    });
    assert_end_as_soon_as_continued(checks.into());
}

/// When it goes on, the deadline has come, and the answer is unread. If the look-up gets to run
/// first, there is time to see that the port is closed.
#[test]
fn a_name_service_that_answers_meanwhile_is_not_silent() {
    let lab = Lab::new();
    let server = name_service(&lab);
    let names = Names::with_hosts("127.0.0.1 localhost\n");
    let mut checks = Vec::new();
    for engine in ENGINES.into_iter().cycle().take(8) {
        let mut command = Command::new(halfopen_path());
        command.args(["--engine", engine, "-o", "json", "-4", "-t", "8", "served.test", "80"]);
        let check = lab.client.spawn(names.shown_to(&command));
        let mut question = [0; 512];
        let (length, asker) = server.recv_from(&mut question).expect("the program asks");
        wait_until(|| state(&check) == 'S');
        signal(&check, Signal::SIGSTOP);
        wait_until(|| state(&check) == 'T');
        server.send_to(&address(&question[..length]), asker).expect("it has a socket");
        checks.push(check);
    }
    thread::sleep(TIMEOUT * 2);
    for check in checks {
        signal(&check, Signal::SIGCONT);
        let verdict = check.wait().verdict();
        let honest = [(None, 3), (Some("closed"), 2)];
        assert!(honest.contains(&verdict.ending()), "{verdict:?}");
    }
}

#[test]
fn reading_targets_ends_at_the_deadline() {
    let lab = Lab::new();
    let mut command = Command::new(halfopen_path());
    command.args(["-t", "8", "--targets", "-"]).stdin(Stdio::piped());
    assert_end_as_soon_as_continued(vec![lab.client.spawn(command)]);
}

#[track_caller]
fn assert_end_as_soon_as_continued(checks: Vec<Running>) {
    for check in &checks {
        wait_until(|| state(check) == 'S');
        signal(check, Signal::SIGSTOP);
    }
    thread::sleep(TIMEOUT);
    for mut check in checks {
        signal(&check, Signal::SIGCONT);
        // A program that does not get to run is not asleep.
        let mut asleep = Duration::ZERO;
        while check.child.try_wait().expect("waits for its own child").is_none() {
            thread::sleep(MOMENT);
            if state(&check) == 'S' {
                asleep += MOMENT;
            }
            assert!(asleep < TIMEOUT / 8, "it waits for what was left");
        }
    }
}
