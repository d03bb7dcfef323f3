//! Too few descriptors.

use std::collections::HashSet;
use std::fmt::Write;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{ENGINES, Stage, limited, program, right};
use crate::support::crowd::Findings;
use crate::support::names::{Names, address, answer, name_service};
use crate::support::process::wait_until;
use lab::with_own_clock;

/// The loader needs one beside the standard streams, to read the C library.
const FEWEST: u32 = 4;

#[test]
fn with_too_few_descriptors_nothing_is_learnt_and_with_enough_all() {
    let stage = Stage::new();
    for engine in ENGINES {
        for targets in [
            &["198.19.0.2:80"][..],
            &["[2001:db8::2]:81"],
            &["198.19.0.2:80,81", "[2001:db8::2]:80"],
        ] {
            // The program tries to get descriptors until the deadline.
            let arguments = [&["-t", "1"], targets].concat();
            let run = |limit| {
                let check = with_own_clock(limited("-n", limit, engine, &arguments));
                stage.lab.client.outcome(check)
            };
            let found: Vec<_> = (FEWEST..=24).map(|limit| right(&run(limit))).collect();
            println!("{engine} {targets:?}: {found:?}");
            let scarce = run(FEWEST);
            assert_eq!((found[0], scarce.code), (0, 3), "{scarce:#?}");
            assert!(scarce.stdout.contains("Too many open files"), "{scarce:#?}");
            assert_eq!(found.last(), Some(&if targets.len() == 1 { 1 } else { 3 }));
        }
    }
}

/// The kernel polls no more descriptors than the limit allows, whether or not they are open.
#[test]
fn a_limit_that_is_lowered_below_what_is_open_ends_no_check_and_loses_no_output() {
    let stage = Stage::new();
    for (target, limit) in [("198.19.0.2", 1), ("2001:db8::2", 0)] {
        let capture = stage.lab.server.capture("server0");
        let check = with_own_clock(program("raw", &["-t", "3", target, "82"]));
        let check = stage.lab.client.spawn(check);
        wait_until(|| capture.segments().iter().any(|segment| segment.flags == "SYN"));
        let limit = format!("--nofile={limit}:");
        stage.lab.client.run("prlimit", &["--pid", &check.child.id().to_string(), &limit]);
        let verdict = check.wait().verdict();
        assert_eq!((verdict.ending(), verdict.tries), ((Some("filtered"), 2), Some(3)));
    }
}

/// A resolver that may open no file finds no name, and does not say why.
#[test]
fn a_name_that_cannot_be_looked_up_for_want_of_descriptors_is_no_state() {
    const NAMES: usize = 150;
    let stage = Stage::new();
    answer(name_service(&stage.lab), address);
    let mut hosts = "127.0.0.1 localhost\n".to_owned();
    let (mut listed, mut served) = (Vec::new(), Vec::new());
    for number in 0..NAMES {
        writeln!(hosts, "198.19.0.2 listed{number}.test").expect("memory");
        listed.push(format!("listed{number}.test:80"));
        served.push(format!("served{number}.test:80"));
    }
    let names = Names::with_hosts(&hosts);
    for engine in ENGINES {
        for targets in [&listed, &served] {
            let targets: Vec<_> = targets.iter().map(String::as_str).collect();
            for limit in (10..=20).chain([32, 64, 128, 200]) {
                let command = limited("-n", limit, engine, &[&["-4"], &targets[..]].concat());
                let outcome = stage.lab.client.outcome(names.shown_to(&command));
                println!(
                    "{engine}, {limit} descriptors: {} right {:?}",
                    right(&outcome),
                    outcome.elapsed
                );
            }
        }
    }
}

/// A slow name service, which never fails to answer. Returns the questions that have arrived by the
/// time that `ended` is true.
fn answer_slowly(server: UdpSocket, ended: Arc<AtomicBool>) -> JoinHandle<HashSet<Vec<u8>>> {
    server.set_read_timeout(Some(Duration::from_millis(100))).expect("a socket of ours");
    thread::spawn(move || {
        let (mut question, mut asked) = ([0; 512], HashSet::new());
        loop {
            match server.recv_from(&mut question) {
                Ok((length, from)) => {
                    asked.insert(question[12..length].to_vec());
                    if !ended.load(Ordering::SeqCst) {
                        thread::sleep(Duration::from_millis(30));
                        let _ = server.send_to(&address(&question[..length]), from);
                    }
                }
                Err(_) if ended.load(Ordering::SeqCst) => return asked,
                Err(_) => {}
            }
        }
    })
}

/// A name that was not looked up is not reported as nonexistent.
#[test]
fn a_name_that_was_never_looked_up_was_not_probed() {
    const NAMES: usize = 600;
    let stage = Stage::new();
    let ended = Arc::new(AtomicBool::new(false));
    let service = answer_slowly(name_service(&stage.lab), Arc::clone(&ended));
    let names = Names::with_hosts("127.0.0.1 localhost\n");
    let targets: Vec<_> = (0..NAMES).map(|number| format!("n{number}.test:80")).collect();
    let targets: Vec<_> = targets.iter().map(String::as_str).collect();
    let arguments = [&["-4", "-t", "3"], &targets[..]].concat();
    let command = with_own_clock(limited("-n", 256, "auto", &arguments));
    let findings = Findings::of(&stage.lab.client.outcome(names.shown_to(&command)));

    assert_eq!((findings.all.len(), findings.summary.targets), (NAMES, NAMES));
    ended.store(true, Ordering::SeqCst);
    let asked = service.join().expect("answers questions");
    let was_asked = |target: &str| {
        let label = target.strip_suffix(".test:80").expect("a target of ours").as_bytes();
        asked.iter().any(|name| name[1..].starts_with(&[label, b"\x04test"].concat()))
    };
    let mut unasked = 0;
    for finding in &findings.all {
        if !was_asked(&finding.target) {
            unasked += 1;
            assert_eq!((&finding.state, &*finding.status), (&None, "UNKNOWN"), "{finding:?}");
            assert!(finding.reason.starts_with("not probed: the deadline came"), "{finding:?}");
        }
    }
    assert!((1..NAMES).contains(&unasked), "{unasked} of {NAMES} names were not looked up");
    assert_eq!(findings.summary.not_probed, unasked, "{:?}", findings.summary);
    assert!(findings.summary.open > 0, "{:?}", findings.summary);
}

/// The descriptors are enough for one look-up at a time. The second begins when nine tenths of the
/// time are over, and is not answered.
#[test]
fn a_look_up_that_begins_late_proves_nothing_by_silence() {
    const TIMEOUT: Duration = Duration::from_secs(2);
    let stage = Stage::new();
    let names = Names::with_hosts("127.0.0.1 localhost\n");
    let server = name_service(&stage.lab);
    let checks = ENGINES.map(|engine| {
        let arguments = ["-4", "-t", "2", "first.test:80", "second.test:80"];
        let check = stage.lab.client.spawn(names.shown_to(&limited("-n", 32, engine, &arguments)));
        let mut question = [0; 512];
        let (length, asker) = server.recv_from(&mut question).expect("the program asks");
        (check, question[..length].to_vec(), asker)
    });
    thread::sleep(TIMEOUT / 10 * 9);
    for (_, question, asker) in &checks {
        let _ = server.send_to(&address(question), asker);
    }
    for (check, ..) in checks {
        let findings = Findings::of(&check.wait());
        let second = findings.of_target("second.test:80");
        assert_eq!((&second.state, &*second.status), (&None, "UNKNOWN"), "{second:?}");
        let wanted = "not probed: the deadline came before its first SYN";
        assert_eq!(second.reason, wanted, "{second:?}");
    }
}
