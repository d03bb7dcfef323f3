//! The output formats, and streams that do not work.

use std::fs::File;
use std::io;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::program::{HALFOPEN, Loopback, Said, halfopen, run};

const OPEN: [&str; 2] = ["127.0.0.1", "8025"];
const CLOSED: [&str; 2] = ["127.0.0.1", "8026"];

#[test]
fn json_is_one_object_on_a_line() {
    let _network = Loopback::new().listen("127.0.0.1");
    let said = halfopen([&["-o", "json"], OPEN.as_slice()].concat());
    let mut object = said.json();
    let round_trip = object["rtt"].take().as_f64().expect("a number of seconds");
    assert!(round_trip > 0.0 && round_trip < 10.0);
    let rest = json!({
        "target": "127.0.0.1:8025", "address": "127.0.0.1", "port": 8025, "state": "open",
        "reason": "SYN+ACK", "status": "OK", "rtt": null, "tries": 1, "engine": "raw",
    });
    assert_eq!(object, rest);
    assert_eq!((said.code, said.stderr.as_str()), (0, ""));
}

#[test]
fn json_keeps_the_order_of_its_fields() {
    let _network = Loopback::new();
    let said = halfopen([&["-o", "json"], CLOSED.as_slice()].concat());
    let order =
        ["target", "address", "port", "state", "reason", "status", "rtt", "tries", "engine"];
    let places = order.map(|field| said.stdout.find(&format!("\"{field}\":")).expect(field));
    assert!(places.is_sorted(), "{}", said.stdout);
}

#[test]
fn json_has_null_for_missing_values() {
    let _network = Loopback::new().overload();
    let silent = halfopen(["-o", "json", "-t", "0.1", "127.0.0.1", "8027"]);
    let mut object = silent.json();
    let reason = object["reason"].take();
    assert!(reason.as_str().unwrap().starts_with("no answer to 3 SYNs in "), "{reason}");
    let rest = json!({
        "target": "127.0.0.1:8027", "address": "127.0.0.1", "port": 8027, "state": "filtered",
        "reason": null, "status": "CRITICAL", "rtt": null, "tries": 3, "engine": "raw",
    });
    assert_eq!((silent.code, object), (2, rest));

    let nameless = halfopen(["-o", "json", "-t", "5", "name.invalid", "80"]);
    let object = nameless.json();
    assert_eq!(object["target"], "name.invalid:80");
    assert_eq!(object["state"], "unreachable");
    assert_eq!(object["tries"], 0);
    for field in ["address", "rtt", "engine"] {
        assert_eq!(object[field], Value::Null, "{field}");
    }

    let wrong = halfopen([&["-o", "json", "-I", "nowhere0"], OPEN.as_slice()].concat());
    let object = wrong.json();
    assert_eq!((wrong.code, &object["state"]), (3, &Value::Null));
    assert_eq!(object["status"], "UNKNOWN");
    assert!(object["reason"].as_str().unwrap().contains("interface nowhere0"), "{object}");
}

#[test]
fn json_status_follows_the_options() {
    let _network = Loopback::new();
    let said = halfopen([&["-o", "json", "-r", "warn"], CLOSED.as_slice()].concat());
    assert_eq!(said.json()["status"], "WARNING");
    assert_eq!(said.code, 1);
}

#[test]
fn each_v_says_more() {
    let _network = Loopback::new().listen("127.0.0.1");
    for format in ["nagios", "text"] {
        let lines = |options: &[&str]| {
            let words = [&["-o", format], options, &OPEN].concat();
            let said = halfopen(&words);
            assert_eq!((said.code, said.stderr.as_str()), (0, ""));
            said.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let [quiet, v, vv, vvv] = [&[][..], &["-v"], &["-vv"], &["-vvv"]].map(lines);
        assert_eq!(v.len(), quiet.len() + 1, "one line per target");
        assert!(vv.len() > v.len());
        assert_eq!(vvv.len(), vv.len() + 3, "SYN, SYN+ACK, RST");
        assert_eq!(lines(&["-v", "-v", "-v"]).len(), vvv.len());
        assert_eq!(lines(&["-vvvv"]).len(), vvv.len());
    }
}

#[test]
fn the_packets_are_shown_in_full() {
    let _network = Loopback::new().listen("127.0.0.1");
    let said = halfopen([&["-vvv"], OPEN.as_slice()].concat());
    let lines: Vec<_> = said.stdout.lines().collect();
    let [syn, syn_ack, rst] = lines[lines.len() - 3..] else { unreachable!() };
    for (line, words) in [
        (syn, [" sent ", "> 127.0.0.1:8025 SYN seq ", " win 64240 mss 1460 sackOK wscale 7"]),
        (syn_ack, [" received 127.0.0.1:8025 > ", " SYN+ACK seq ", " ack "]),
        (rst, [" sent ", "> 127.0.0.1:8025 RST seq ", " win 0"]),
    ] {
        for word in words {
            assert!(line.contains(word), "{word:?} is not in {line:?}");
        }
    }
    let number = |line: &str, before: &str| -> u32 {
        let (_, behind) = line.split_once(before).unwrap();
        behind.split(' ').next().unwrap().parse().unwrap()
    };
    assert_eq!(number(syn_ack, " ack "), number(syn, " seq ").wrapping_add(1));
    assert_eq!(number(rst, " seq "), number(syn_ack, " ack "));
}

#[test]
fn details_do_not_mix_with_json() {
    let _network = Loopback::new().listen("127.0.0.1");
    for (option, lines) in [("-v", 1), ("-vv", 3), ("-vvv", 6)] {
        let said = halfopen([&["-o", "json", option], OPEN.as_slice()].concat());
        assert_eq!(said.json()["state"], "open");
        assert_eq!(said.stderr.lines().count(), lines, "{}", said.stderr);
    }
}

#[test]
fn text_is_aligned_and_sums_up() {
    let _network = Loopback::new().listen("127.0.0.1");
    let said = halfopen([&["-o", "text"], OPEN.as_slice()].concat());
    let lines: Vec<_> = said.stdout.lines().collect();
    let [header, row, summary] = lines[..] else { panic!("{}", said.stdout) };
    for (column, value) in [("TARGET", "127.0.0.1:8025"), ("STATE", "open"), ("REASON", "SYN+ACK")]
    {
        let at = header.find(column).expect(column);
        assert!(row[at..].starts_with(value), "{}", said.stdout);
    }
    assert!(summary.starts_with("OK"), "{summary}");
}

#[test]
fn colour_is_for_terminals_alone() {
    let _network = Loopback::new().listen("127.0.0.1");
    let text = format!("'{HALFOPEN}' -o text 127.0.0.1 8025");
    let on_terminal = |command: &str| {
        let said = run("script", ["--quiet", "--return", "--command", command, "/dev/null"]);
        assert_eq!(said.code, 0, "needs script (bsdutils): {}", said.stderr);
        said.stdout.contains('\u{1b}')
    };
    assert!(on_terminal(&format!("env -u NO_COLOR {text}")));
    assert!(on_terminal(&format!("NO_COLOR= {text}")), "an empty NO_COLOR is none");
    assert!(!on_terminal(&format!("NO_COLOR=1 {text}")));
    assert!(!on_terminal(&format!("env -u NO_COLOR '{HALFOPEN}' 127.0.0.1 8025")), "nagios");
    let piped = halfopen([&["-o", "text"], OPEN.as_slice()].concat());
    assert!(!piped.stdout.contains('\u{1b}'));
}

/// The exit code is the message.
#[test]
fn an_output_that_cannot_be_written_changes_no_verdict() {
    let _network = Loopback::new().listen("127.0.0.1");
    for (words, code) in [
        (OPEN.to_vec(), 0),
        (CLOSED.to_vec(), 2),
        ([&["-r", "warn"], CLOSED.as_slice()].concat(), 1),
        ([&["-o", "json", "-vvv"], OPEN.as_slice()].concat(), 0),
        ([&["-o", "text", "-vvv"], CLOSED.as_slice()].concat(), 2),
        (vec!["127.0.0.1", "0"], 3),
        (vec!["--help"], 3),
        (vec!["--version"], 3),
        (vec!["--self-test"], 0),
    ] {
        for (name, stdout) in [("/dev/full", full()), ("closed pipe", closed_pipe())] {
            let said = Command::new(HALFOPEN).args(&words).stdout(stdout).output().unwrap();
            let said = Said::from(said);
            assert_eq!(said.code, code, "{words:?} into a {name}");
            assert!(!said.stderr.contains("panic"), "{}", said.stderr);
        }
        for closed in [">&-", "2>&-", "<&-", "<&- >&- 2>&-"] {
            let script = format!("exec \"$0\" \"$@\" {closed}");
            let said = run("sh", [&["-c", &script, HALFOPEN], words.as_slice()].concat());
            assert_eq!(said.code, code, "{words:?} with {closed}");
        }
        let said = Command::new(HALFOPEN).args(&words).stderr(full()).output().unwrap();
        assert_eq!(Said::from(said).code, code, "{words:?} with errors into /dev/full");
    }
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").expect("needs /dev/full").into()
}

fn closed_pipe() -> Stdio {
    let (_, writer) = io::pipe().unwrap();
    writer.into()
}
