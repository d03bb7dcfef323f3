//! JSON Lines come as verdicts fall; nobody waits for the slowest.

use std::process::Command;
use std::time::Duration;

use super::crowd::{Crowd, Findings, lines};
use crate::foreign_traffic::wait_until;
use crate::lab::{HALFOPEN, Running};
use crate::names::{Names, name_service};

/// Whole lines that a program at work has printed by now.
fn lines_of(running: &Running) -> usize {
    running.said().matches('\n').count()
}

fn still_runs(running: &mut Running) -> bool {
    running.child.try_wait().expect("a child of ours").is_none()
}

#[test]
fn open_targets_are_told_of_while_a_silent_one_is_waited_for() {
    let crowd = Crowd::new();
    let mut command = Command::new(HALFOPEN);
    command.args(["-o", "json", "-t", "5", "198.19.0.2:82", "198.18.0.0/24:80"]);
    let mut pool = crowd.lab.client.spawn(command);
    wait_until(|| lines_of(&pool) >= 256);
    let said = pool.said();
    assert!(still_runs(&mut pool), "the silent target's last wait is yet to end");
    let told = lines(&said);
    assert_eq!(told.len(), 256);
    assert!(told.iter().all(|finding| finding.state.as_deref() == Some("open")), "{told:#?}");

    let findings = Findings::of(&pool.wait());
    assert_eq!(findings.all[..256], told);
    assert_eq!(findings.of_target("198.19.0.2:82").state.as_deref(), Some("filtered"));
    assert!(findings.elapsed >= Duration::from_millis(4990), "{:?}", findings.elapsed);
}

#[test]
fn a_look_up_that_hangs_holds_nobody_up() {
    let crowd = Crowd::new();
    let names = Names::with_hosts("127.0.0.1 localhost\n");
    let _dns = name_service(&crowd.lab); // hears the question, and says nothing
    let literals: Vec<_> = (1..=50).map(|host| format!("198.18.3.{host}:80")).collect();
    let mut arguments = vec!["-t", "2", "hangs.test:80"];
    arguments.extend(literals.iter().map(String::as_str));
    let mut pool = crowd.lab.client.spawn(names.command(&arguments));
    wait_until(|| lines_of(&pool) >= 50);
    let told = lines(&pool.said());
    assert!(still_runs(&mut pool), "it waits for the name");
    assert!(told.iter().all(|finding| finding.state.as_deref() == Some("open")), "{told:#?}");

    let findings = Findings::of(&pool.wait());
    let name = findings.of_target("hangs.test:80");
    assert_eq!(
        (name.state.as_deref(), &*name.status, name.address, name.tries),
        (Some("unreachable"), "CRITICAL", None, 0)
    );
    assert_eq!((findings.summary.open, findings.summary.unreachable, findings.code), (50, 1, 2));
    // 50 ms of them are the contract's; the rest is for a busy machine and for the mounts before the program.
    assert!(findings.elapsed >= Duration::from_secs(2), "{:?}", findings.elapsed);
    assert!(findings.elapsed < Duration::from_millis(2050 + 500), "{:?}", findings.elapsed);
}
