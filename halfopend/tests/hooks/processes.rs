//! Processes, as the kernel shows them.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// Ends a test that hangs.
const PATIENCE: Duration = Duration::from_mins(5);

/// Returns true if there is no such process any more, or only its exit status is left.
fn is_gone(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, after)| after.starts_with(['Z', 'X']))
}

/// Waits until none of these processes is left.
#[track_caller]
pub(crate) fn wait_until_gone(pids: &[i32]) {
    let deadline = Instant::now() + PATIENCE;
    while !pids.iter().all(|pid| is_gone(*pid)) {
        assert!(Instant::now() < deadline, "processes are left: {pids:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn parent(pid: i32) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let (_, after) = stat.rsplit_once(") ").expect("the name is in brackets");
    after.split_whitespace().nth(1).and_then(|parent| parent.parse().ok()).expect("a number")
}
