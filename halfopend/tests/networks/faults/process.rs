//! What the process itself suffers: it is stopped, starved, has no descriptors, or a wall clock
//! that steps.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use lab::Lab;

use super::{ENGINES, Stage};
use crate::daemon::{Daemon, Files, wait_until};
use crate::http::curl;

#[test]
fn a_process_that_is_stopped_for_ten_seconds() {
    for engine in ENGINES {
        let mut stage = Stage::new(engine, |command| command);
        stage.daemon.signal(Signal::SIGSTOP);
        thread::sleep(Duration::from_secs(10));
        stage.daemon.signal(Signal::SIGCONT);
        stage.kill_the_mortal();
        stage.judge();
    }
}

#[test]
fn a_process_that_has_to_wait_for_the_processor() {
    for engine in ENGINES {
        let mut stage = Stage::new(engine, |command| command);
        let hog = || {
            let mut command = Command::new("sh");
            command.args(["-c", "while :; do :; done"]);
            stage.lab.server.spawn(command)
        };
        let hogs = [(); 4].map(|()| hog());
        stage.kill_the_mortal();
        stage.judge();
        drop(hogs);
    }
}

/// There are as many descriptors as it has open between two checks. Only the kernel's handshake
/// needs one for each check.
#[test]
fn a_process_without_descriptors() {
    for engine in ENGINES {
        let mut stage = Stage::new(engine, |command| command);
        let id = stage.daemon.id().to_string();
        let limit = |limit: &str| {
            let limit = format!("--nofile={limit}");
            stage.lab.client.run("prlimit", &["--pid", &id, &limit]);
        };
        let open = fs::read_dir(format!("/proc/{id}/fd")).expect("its own child");
        let numbers = open.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let own: u32 = numbers.filter(|number| *number < 24).max().expect("standard output");
        limit(&format!("{}:", own + 1));
        thread::sleep(Duration::from_secs(8));
        limit("1024:");
        stage.until_shown();
        stage.kill_the_mortal();
        stage.judge();
    }
}

/// Checks of dead targets take all descriptors except those for cross-checks. Without cross-checks,
/// their silence would prove nothing.
#[test]
fn a_process_with_few_descriptors_finds_the_dead_and_says_that_it_is_late() {
    let lab = Lab::new();
    let _listener = lab.server.listen("[::]:8025".parse().expect("an endpoint"));
    let files = Files::new(
        "engine = \"connect\"\n\
         [pool.live]\n\
         targets = [\"198.18.1.0/29:8025\"]\n\
         interval = \"1s\"\n\
         timeout = \"700ms\"\n\
         [pool.dead]\n\
         targets = [\"198.18.2.0/27:8025\"]\n\
         interval = \"1s\"\n\
         timeout = \"700ms\"\n",
    );
    let log = files.path("log");
    let shell = r#"exec prlimit --nofile=128:128 "$@" 2>"$0""#;
    let command = files.command(&["sh", "-c", shell, log.to_str().expect("text")]);
    let mut daemon = Daemon::of(&lab.client, command);
    let names = |network: u8, count: u8| {
        (0..count).map(move |host| format!("198.18.{network}.{host}:8025"))
    };
    for target in names(1, 8).chain(names(2, 32)) {
        daemon.until(0, "up", &target);
    }
    lab.server.nft(
        "table inet dead { chain in { type filter hook input priority 0; \
         ip daddr 198.18.2.0/27 drop; }; }",
    );
    for target in names(2, 32) {
        daemon.until(0, "down", &target);
    }
    let downs = daemon.events().into_iter().filter(|event| event["event"] == "down");
    assert!(downs.into_iter().all(|event| event["pool"] == "dead"));
    wait_until("the log says that checks are late", || {
        let log = fs::read_to_string(&log).expect("its log");
        log.contains("pool.dead and others: if all targets are silent, 29 checks run at once")
            && log.contains(" checks have waited for a descriptor")
    });
    let (_, metrics) = curl(&lab.client, &["http://127.0.0.1:10115/metrics"]);
    let line = metrics.lines().find(|line| line.contains("fault=\"descriptors\""));
    assert!(line.is_some_and(|line| !line.ends_with(" 0")), "{line:?}");
}

/// Time stamps of the kernel and of the events are then of another clock.
#[test]
fn a_wall_clock_that_steps_by_an_hour() {
    let folder = tempfile::tempdir().expect("a place for temporary files");
    let library = folder.path().join("preloaded.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/namespaces/stepping_clock.c");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O2", "-o"])
        .args([&library, &source])
        .status();
    assert!(built.expect("cc runs").success());
    for clock in ["steps", "stepped", "ahead"] {
        for engine in ENGINES {
            let mut stage = Stage::new(engine, |mut command| {
                command.env("LD_PRELOAD", &library).env("CLOCK", clock);
                command
            });
            stage.kill_the_mortal();
            stage.judge();
        }
    }
}
