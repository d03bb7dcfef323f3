//! What the network said, what the operator asked for, and the exit code that follows from both.

use crate::program::{HALFOPEN, Loopback, Said, halfopen, run};

const OPEN: &str = "8025";
const CLOSED: &str = "8026";
const FULL: &str = "8027";

#[test]
fn an_open_port_is_ok() {
    let _network = Loopback::new().listen("127.0.0.1");
    let said = check(&[], OPEN);
    assert_eq!(said.code, 0);
    let time = said.stdout.strip_prefix("TCP HALF-OPEN OK - 127.0.0.1:8025 open in ").unwrap();
    let (milliseconds, performance) = time.split_once(" ms|time=").unwrap();
    let seconds = performance.strip_suffix("s;;;0;10\n").unwrap();
    let said_twice = milliseconds.parse::<f64>().unwrap() / 1e3 - seconds.parse::<f64>().unwrap();
    assert!(said_twice.abs() < 1e-5, "{time}");
    assert_eq!(seconds.split_once('.').unwrap().1.len(), 6, "microseconds");
}

#[test]
fn a_closed_port_is_critical_unless_told_otherwise() {
    let _network = Loopback::new();
    for (refuse, code, status) in [("ok", 0, "OK"), ("warn", 1, "WARNING"), ("crit", 2, "CRITICAL")]
    {
        let said = check(&["-r", refuse], CLOSED);
        assert_eq!(said.code, code);
        let begin = format!("TCP HALF-OPEN {status} - 127.0.0.1:8026 closed (RST+ACK in ");
        assert!(said.stdout.starts_with(&begin), "{}", said.stdout);
        assert!(!said.stdout.contains('|'), "{}", said.stdout);
    }
    assert_eq!(check(&[], CLOSED).code, 2);
}

/// JSON has no summary of a single target.
#[test]
fn the_status_of_a_single_target_in_json_is_that_of_the_exit_code() {
    let _network = Loopback::new().listen("127.0.0.1");
    for (arguments, port, code, status) in [
        (["--min-open", "1", "-c", "5:"], OPEN, 0, "OK"),
        (["--min-open", "0", "-c", "5:"], CLOSED, 0, "OK"),
        (["--min-open", "1", "-r", "ok"], CLOSED, 2, "CRITICAL"),
        (["--retries", "0", "-c", "5:"], OPEN, 2, "CRITICAL"),
    ] {
        let said = check(&[&["-o", "json"], &arguments[..]].concat(), port);
        assert_eq!(said.code, code, "{arguments:?}: {}", said.stdout);
        let field = format!("\"status\":\"{status}\"");
        assert!(said.stdout.contains(&field), "{arguments:?}: {}", said.stdout);
    }
}

#[test]
fn silence_is_critical() {
    let _network = Loopback::new().overload();
    let said = check(&["-t", "0.3"], FULL);
    assert_eq!((said.code, said.stderr.as_str()), (2, ""));
    let begin = "TCP HALF-OPEN CRITICAL - 127.0.0.1:8027 filtered (no answer to 3 SYNs in ";
    let waited = said.stdout.strip_prefix(begin).and_then(|rest| rest.strip_suffix(" ms)\n"));
    assert!(waited.is_some_and(|waited| waited.parse::<u32>().is_ok()), "{}", said.stdout);
}

#[test]
fn what_a_closed_port_means_says_nothing_of_other_states() {
    let _network = Loopback::new().overload();
    assert_eq!(check(&["-r", "ok", "-t", "0.1"], FULL).code, 2);
    assert_eq!(halfopen(["-r", "ok", "-t", "0.1", "198.18.0.1", "80"]).code, 2);
}

#[test]
fn the_expected_state_alone_is_ok() {
    let _network = Loopback::new().listen("127.0.0.1").overload();
    for expected in ["open", "closed", "filtered"] {
        for (state, port) in [("open", OPEN), ("closed", CLOSED), ("filtered", FULL)] {
            let said = check(&["--expect", expected, "-t", "0.2"], port);
            let code = if state == expected { 0 } else { 2 };
            assert_eq!(said.code, code, "{expected} expected: {}", said.stdout);
            assert!(said.first_line().contains(state), "{}", said.stdout);
        }
    }
}

#[test]
fn no_route_is_unreachable() {
    let _network = Loopback::new();
    for (host, target) in [("198.18.0.1", "198.18.0.1:80"), ("2001:db8::1", "[2001:db8::1]:80")] {
        let said = halfopen(["-t", "0.2", host, "80"]);
        let line = format!(
            "TCP HALF-OPEN CRITICAL - {target} unreachable (no route to network on this machine)\n"
        );
        assert_eq!(said, Said { code: 2, stdout: line, stderr: String::new() });
    }
}

#[test]
fn a_name_that_does_not_resolve_is_unreachable() {
    let _network = Loopback::new();
    let said = halfopen(["-t", "5", "name.invalid", "80"]);
    assert_eq!(said.code, 2);
    let begin = "TCP HALF-OPEN CRITICAL - name.invalid:80 unreachable (name does not resolve: ";
    assert!(said.stdout.starts_with(begin), "{}", said.stdout);
}

#[test]
fn what_this_machine_refuses_is_unknown() {
    let _network = Loopback::new().listen("127.0.0.1");
    for (options, named) in [
        (["-S", "198.18.0.1"].as_slice(), "198.18.0.1"),
        (&["-S", "::1"], "::1"),
        (&["-I", "nowhere0"], "nowhere0"),
    ] {
        let said = check(options, OPEN);
        assert_eq!((said.code, said.stderr.as_str()), (3, ""), "{options:?}");
        assert!(said.stdout.starts_with("TCP HALF-OPEN UNKNOWN - "), "{}", said.stdout);
        assert!(said.stdout.contains(named), "{}", said.stdout);
    }
    let broadcast = halfopen(["127.255.255.255", OPEN]);
    assert_eq!(broadcast.code, 3);
    assert!(broadcast.stdout.contains("broadcast"), "{}", broadcast.stdout);
}

/// Every form of a range, with bounds far from any response time over loopback.
#[test]
fn a_response_time_beyond_a_range_alerts() {
    let _network = Loopback::new().listen("127.0.0.1");
    for (range, alerts, why) in [
        ("10", false, ""),
        ("0", true, "over 0 s"),
        ("0:", false, ""),
        ("10:", true, "under 10 s"),
        ("~:10", false, ""),
        ("~:0", true, "over 0 s"),
        ("10:20", true, "under 10 s"),
        ("0:20", false, ""),
        (":20", false, ""),
        ("@10:20", false, ""),
        ("@0:20", true, "inside @0:20 s"),
        ("@10:", false, ""),
        ("@10", true, "inside @10 s"),
        ("@~:10", true, "inside @~:10 s"),
        ("~:-1", true, "over -1 s"),
        ("1e1", false, ""),
    ] {
        for (option, code, status) in [("-w", 1, "WARNING"), ("-c", 2, "CRITICAL")] {
            let said = check(&[option, range], OPEN);
            let (code, status) = if alerts { (code, status) } else { (0, "OK") };
            assert_eq!(said.code, code, "{option} {range}: {}", said.stdout);
            assert!(said.stdout.starts_with(&format!("TCP HALF-OPEN {status} - ")));
            let reason = format!(" ms ({why})|");
            assert_eq!(said.stdout.contains(&reason), alerts, "{}", said.stdout);
        }
    }
}

#[test]
fn critical_outweighs_warning() {
    let _network = Loopback::new().listen("127.0.0.1");
    for (warning, critical, code) in
        [("0", "0", 2), ("0", "10", 1), ("10", "0", 2), ("10", "20", 0)]
    {
        let said = check(&["-w", warning, "-c", critical], OPEN);
        assert_eq!(said.code, code, "-w {warning} -c {critical}");
        let performance = format!("s;{warning};{critical};0;10\n");
        assert!(said.stdout.ends_with(&performance), "{}", said.stdout);
    }
}

#[test]
fn a_closed_port_has_no_response_time_to_alert_on() {
    let _network = Loopback::new();
    assert_eq!(check(&["-r", "ok", "-w", "0", "-c", "0"], CLOSED).code, 0);
    assert_eq!(check(&["--expect", "closed", "-c", "0"], CLOSED).code, 0);
}

/// `timeout` would exit with 124 if it had to end the program itself.
#[test]
fn the_deadline_ends_the_program_before_its_caller_does() {
    let _network = Loopback::new().overload();
    for retries in ["0", "2", "10"] {
        let words = ["60", HALFOPEN, "-t", "0.5", "--retries", retries, "127.0.0.1", FULL];
        let said = run("timeout", words);
        assert_eq!(said.code, 2, "{}", said.stdout);
    }
}

fn check(options: &[&str], port: &str) -> Said {
    halfopen([options, &["127.0.0.1", port]].concat())
}
