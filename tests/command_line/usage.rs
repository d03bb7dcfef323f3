//! Command lines that cannot be understood, and those that ask for help: always exit code 3, always
//! on standard output.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::program::{HALFOPEN, Loopback, Said, halfopen};

#[test]
fn a_wrong_target_is_named() {
    for (words, culprit) in [
        (["127.0.0.1", "0"].as_slice(), "\"0\""),
        (&["127.0.0.1", "65536"], "\"65536\""),
        (&["127.0.0.1", "99999999999999999999"], "\"99999999999999999999\""),
        (&["127.0.0.1", "-1"], "-1"),
        (&["127.0.0.1", "+80"], "\"+80\" is not a port"),
        (&["127.0.0.1", "80x"], "\"80x\" is not a port"),
        (&["127.0.0.1", "0x50"], "\"0x50\" is not a port"),
        (&["127.0.0.1", "http"], "\"http\" is not a port"),
        (&["127.0.0.1", " 80"], "\" 80\" is not a port"),
        (&["127.0.0.1:0"], "\"0\""),
        (&["127.0.0.1:"], "is not a port"),
        (&[":80"], "\"\""),
        (&["127.0.0.1", "080"], "\"080\" is not a port: write it without leading zeros"),
        (&["127.0.0.1", "80,"], "\"80,\" is not a port: write a number from 1 to 65535"),
        (&["-H", "127.0.0.1", "-p", "+80"], "+80"),
        (&["-H", "127.0.0.1", "-p", "65536"], "65536"),
        (&["127.0.0.1"], "has no port"),
        (&["::1"], "has no port"),
        (&["-H", "127.0.0.1"], "has no port"),
        (&["::1:80"], "has no port"),
        (&["-p", "80"], "HOST PORT"),
        (&[], "HOST PORT"),
        (&[""], "HOST PORT"),
        (&["-w", "1"], "HOST PORT"),
        (&["", "80"], "\"80\" is a port without a host: write HOST PORT"),
        (&["127.0.0.1", "80", "81"], "\"127.0.0.1\" has no port"),
        (&["127.0.0.1", "80", "81"], "several ports of one host as HOST 25,80"),
        (&["127.0.0.1:80", "81"], "\"127.0.0.1:80\" has a port already, and \"81\" is another"),
        (&["-H", "127.0.0.1", "80"], "\"80\" after -H needs an option: write -p 80"),
        (&["127.0.0.1:80", "127.0.0.2", "81"], "\"127.0.0.2\" has no port"),
        (&["127.0.0.1:80", "127.0.0.2:80", "-p", "80"], "127.0.0.2:80"),
        (&["-H", "127.0.0.1", "127.0.0.2", "-p", "80"], "127.0.0.2"),
        (&["-H", "127.0.0.1", "127.0.0.2", "80"], "127.0.0.2"),
        (&["127.0.0.1", "80", "-p", "81"], "80"),
    ] {
        assert_usage_error(words, culprit);
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of hosts")]
fn a_host_that_cannot_be_one_is_named() {
    let long = "a".repeat(300);
    for host in [
        "a b",
        " ",
        "a\nb",
        "\n",
        "a\tb",
        "a,b",
        "a/b",
        "http://a",
        "a@b",
        "a;b",
        "$(a)",
        "[::1",
        "::1]",
        "[a]",
        "127.0.0.1%lo",
        "::1%lo",
        "2001:db8::1::2",
        "12345::",
        "127.0.0.010",
        "127.1",
        "2130706433",
        "0x7f000001",
        "-a",
        &long,
    ] {
        let quoted = format!("{host:?}");
        let culprit = match host {
            "-a" => "-a",
            long if long.len() > 100 => &quoted[..40],
            _ => &quoted,
        };
        assert_usage_error(&[host, "80"], culprit);
    }
    for address in [
        "224.0.0.1",
        "239.255.255.255",
        "255.255.255.255",
        "0.0.0.0",
        "::",
        "ff02::1",
        "ff02::1%lo",
        "::ffff:0.0.0.0",
        "::ffff:224.0.0.1",
    ] {
        assert_usage_error(&[address, "80"], "is not the address of one host");
    }
    assert_usage_error(&["fe80::1", "80"], "say on which interface");
    assert_usage_error(&["fe80::1%", "80"], "\"fe80::1%\"");
    assert_usage_error(&["fe80::1%nowhere0", "80"], "\"nowhere0\"");
    assert_usage_error(&["fe80::1%4000000000", "80"], "\"4000000000\"");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of options")]
fn a_wrong_option_is_named() {
    for (options, culprit) in [
        (["--bogus"].as_slice(), "--bogus"),
        (&["-x"], "-x"),
        (&["-t"], "--timeout"),
        (&["-w"], "--warning"),
        (&["-p"], "--port"),
        (&["--expect"], "--expect"),
        (&["-t", "0"], "--timeout"),
        (&["-t", "-1"], "-1"),
        (&["-t", "nan"], "--timeout"),
        (&["-t", "inf"], "--timeout"),
        (&["-t", "2h"], "--timeout"),
        (&["-t", "2 s"], "--timeout"),
        (&["-t", "ms"], "--timeout"),
        (&["-t", "1,5"], "--timeout"),
        (&["-t", "0.0001"], "--timeout"),
        (&["-t", "1e9"], "--timeout"),
        (&["--retries", "11"], "--retries \"11\": write a number from 0 to 10"),
        (&["--retries", "-1"], "-1"),
        (&["--retries", "1.5"], "--retries"),
        (&["--dscp", "64"], "--dscp \"64\": write a number from 0 to 63"),
        (&["--dscp", "010"], "--dscp \"010\": write it without leading zeros"),
        (&["--ttl", "0"], "--ttl"),
        (&["--ttl", "256"], "--ttl \"256\": write a number from 1 to 255"),
        (&["--mark", "x"], "--mark"),
        (&["--mark", "010"], "--mark \"010\": write it without leading zeros"),
        (&["--mark", "0x+7"], "--mark"),
        (&["--mark", "4294967296"], "--mark"),
        (&["-r", "maybe"], "--refuse"),
        (&["--expect", "stale"], "--expect"),
        (&["-o", "xml"], "--output"),
        (&["--engine", "steam"], "--engine"),
        (&["--rate", "x"], "--rate \"x\": write a number from 0 to 4294967295"),
        (&["--rate", "-1"], "-1"),
        (&["--min-open", "x"], "--min-open"),
        (&["--min-open", "101%"], "--min-open"),
        (&["--min-open", "2"], "--min-open 2: there is only 1 target;"),
        (&["--targets", "/nowhere"], "cannot read /nowhere: No such file or directory;"),
        (&["-S", "nowhere"], "--source"),
        (&["-S", "127.0.0.010"], "--source \"127.0.0.010\": write an IPv4 address such as"),
        (&["--self-test=yes"], "--self-test takes no value"),
        (&["--self-test"], "--self-test checks loopback and takes no target"),
        (&["-4", "-6"], "--use-ipv"),
        (&["-r", "ok", "--expect", "closed"], "--expect"),
    ] {
        let words = [&["127.0.0.1", "80"], options].concat();
        assert_usage_error(&words, culprit);
    }
}

#[test]
fn a_wrong_range_is_named() {
    for range in
        ["20:10", "-1", "abc", "@", ":", "@:", "inf", "nan", "1:inf", "~", "1:2:3", "10 20", "5s"]
    {
        for (short, long) in [("-w", "--warning"), ("-c", "--critical")] {
            assert_usage_error(&["127.0.0.1", "80", short, range], long);
            assert_usage_error(&["127.0.0.1", "80", &format!("{long}={range}")], long);
        }
    }
}

#[test]
fn an_unknown_choice_names_the_allowed_ones() {
    for (option, offered) in [
        ("--refuse", ["ok", "warn", "crit"].as_slice()),
        ("--expect", &["open", "closed", "filtered"]),
        ("--output", &["nagios", "json", "text"]),
    ] {
        let said = assert_usage_error(&["127.0.0.1", "80", option, "purple"], "purple");
        for choice in offered {
            assert!(said.stdout.contains(choice), "{}", said.stdout);
        }
    }
}

#[test]
fn an_address_of_the_other_family_is_named() {
    for (family, address) in [("-4", "::1"), ("-6", "127.0.0.1"), ("-6", "::ffff:127.0.0.1")] {
        let literal = address.trim_start_matches("::ffff:");
        assert_usage_error(&[family, address, "80"], literal);
    }
}

#[test]
fn bytes_that_are_not_text_are_a_usage_error() {
    let not_utf8 = OsStr::from_bytes(b"a\xffb");
    assert_is_usage_error(&halfopen([not_utf8, OsStr::new("80")]));
    assert_is_usage_error(&halfopen([OsStr::new("127.0.0.1"), not_utf8]));
    assert_is_usage_error(&halfopen([OsStr::new("-t"), not_utf8]));
}

#[test]
fn what_would_read_as_performance_data_is_not_printed() {
    for words in [["a|b", "80"], ["127.0.0.1", "8|0"], ["--a|b", "80"]] {
        let said = halfopen(words);
        assert_is_usage_error(&said);
        assert!(!said.stdout.contains('|'), "{}", said.stdout);
    }
}

#[test]
fn text_from_outside_controls_no_terminal() {
    let _network = Loopback::new();
    for words in [
        ["--targets", "/a\nb\u{1b}[31m\u{202e}"].as_slice(),
        &["-I", "a\nb\u{1b}[31m", "127.0.0.1", "80"],
        &["-I", "a\nb\u{1b}[31m", "127.0.0.1:80", "127.0.0.1:81"],
        &["--a\nb\u{1b}[31m"],
        &["--rate", "a\nb\u{1b}[31m", "127.0.0.1", "80"],
        &["a\nb\u{1b}[31m", "80"],
        &["127.0.0.1", "a\nb\u{1b}[31m"],
        &["[fe80::1%a\u{202e}b]:80"],
    ] {
        let said = halfopen(words);
        assert_is_usage_error(&said);
        let mut said = said.stdout.trim_end().chars();
        assert_eq!(said.find(|c| c.is_control() || *c == '\u{202e}'), None, "{words:?}");
    }
}

#[test]
fn help_is_no_success() {
    for words in [["-h"].as_slice(), &["--help"], &["127.0.0.1", "80", "-h"], &["", "-h"]] {
        let said = halfopen(words);
        assert_eq!(said.code, 3, "{words:?}");
        assert!(said.stdout.starts_with("Half-open TCP check"), "{}", said.stdout);
        assert_eq!(said.stderr, "");
    }
}

#[test]
fn version_is_no_success() {
    for word in ["-V", "--version"] {
        let said = halfopen([word]);
        let version = format!("halfopen {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(said, Said { code: 3, stdout: version, stderr: String::new() });
    }
}

#[test]
fn help_names_every_option() {
    let help = halfopen(["--help"]).stdout;
    for option in [
        "-H, --hostname",
        "-p, --port",
        "-4, --use-ipv4",
        "-6, --use-ipv6",
        "-t, --timeout",
        "-w, --warning",
        "-c, --critical",
        "-r, --refuse",
        "--expect",
        "--retries",
        "-S, --source",
        "-I, --interface",
        "--mark",
        "--dscp",
        "--ttl",
        "--engine",
        "-o, --output",
        "-v, ",
        "-h, --help",
        "-V, --version",
        "--self-test",
        "--targets",
        "--min-open",
        "--rate",
    ] {
        assert!(help.contains(option), "{option} is missing");
    }
}

#[test]
fn help_reads_well() {
    let help = halfopen(["--help"]).stdout;
    assert!(help.lines().all(|line| line.len() <= 80), "wider than a terminal");
    insta::assert_snapshot!(help);
}

/// Some callers pass no program name at all.
#[test]
fn an_empty_program_name_does_not_swallow_the_first_word() {
    let output = Command::new(HALFOPEN).arg0("").arg("--version").output().unwrap();
    let said = Said::from(output);
    assert_eq!((said.code, said.first_line().split(' ').next()), (3, Some("halfopen")));
}

/// Runs the program with a command line that it must refuse, in a message that names what is wrong.
fn assert_usage_error(words: &[&str], culprit: &str) -> Said {
    let said = halfopen(words);
    assert_is_usage_error(&said);
    assert!(said.stdout.contains(culprit), "{words:?} do not name {culprit}: {}", said.stdout);
    said
}

fn assert_is_usage_error(said: &Said) {
    assert_eq!(said.code, 3, "{}", said.stdout);
    assert!(said.stdout.starts_with("TCP HALF-OPEN UNKNOWN - "), "{}", said.stdout);
    assert_eq!(said.stdout.matches('\n').count(), 1, "{:?}", said.stdout);
    assert!(said.stdout.ends_with('\n'));
    assert_eq!(said.stderr, "");
}
