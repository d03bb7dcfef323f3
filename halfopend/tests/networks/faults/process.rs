//! What the process itself suffers: it is stopped, starved, has no descriptors, or a wall clock
//! that steps.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{ENGINES, Stage};

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
