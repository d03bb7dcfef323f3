//! Too few threads. The limit does not apply to root, so an ordinary user runs these programs.

use lab::with_own_clock;

use super::{Stage, assert_unknown_in_one_line, program, right};
use crate::support::caller::Caller;
use crate::support::names::Names;

#[test]
fn without_a_thread_no_name_is_looked_up() {
    let stage = Stage::new();
    let user = Caller::user(&stage.lab);
    let names = Names::with_hosts("198.19.0.2 listed.test\n");
    let alone = |arguments: &[&str]| {
        let program = user.program.to_str().expect("plain letters");
        let limited = ["--nproc=1", program, "--engine", "connect", "-o", "json"];
        let command = user.command_of("prlimit", &[&limited, arguments].concat());
        stage.lab.client.outcome(names.shown_to(&with_own_clock(command)))
    };
    let outcome = alone(&["listed.test", "80"]);
    assert_unknown_in_one_line(&outcome);
    assert!(
        outcome.json()["reason"].as_str().expect("a reason").contains("thread"),
        "{outcome:#?}"
    );
    // Nor is a file read, because that may hang. The message names the shortage, not the file.
    let file = alone(&["--targets", "/dev/null"]);
    assert_eq!(file.code, 3, "{file:#?}");
    let message = "TCP HALF-OPEN UNKNOWN - cannot start to read /dev/null: ";
    assert!(file.stdout.starts_with(message), "{file:#?}");
    assert!(file.stdout.contains("; try: higher limits on processes and open files"), "{file:#?}");
    // Addresses need no thread.
    assert_eq!(right(&alone(&["198.19.0.2", "80"])), 1);
    assert_eq!(right(&alone(&["198.19.0.2:80,81,82", "-t", "1"])), 3);

    let unlimited = program("connect", &["listed.test", "80"]);
    assert_eq!(right(&stage.lab.client.outcome(names.shown_to(&unlimited))), 1);
}
