//! The ways to name a target, and the other words that callers pass.

use std::os::unix::fs::symlink;

use crate::program::{HALFOPEN, Loopback, Said, halfopen, run};

const PORT: &str = "8025";

#[test]
fn every_form_names_the_same_ipv4_target() {
    let _network = Loopback::new().listen("127.0.0.1");
    for words in [
        ["127.0.0.1", PORT].as_slice(),
        &["127.0.0.1:8025"],
        &["-H", "127.0.0.1", "-p", PORT],
        &["-p", PORT, "-H", "127.0.0.1"],
        &["127.0.0.1", "-p", PORT],
        &["-p", PORT, "127.0.0.1"],
        &["--hostname", "127.0.0.1", "--port", PORT],
        &["--hostname=127.0.0.1", "--port=8025"],
        &["-H127.0.0.1", "-p8025"],
        &["::ffff:127.0.0.1", PORT],
        &["[::ffff:127.0.0.1]:8025"],
        &["-H", "::ffff:127.0.0.1", "-p", PORT],
        &["--", "127.0.0.1", PORT],
        &["-4", "127.0.0.1", PORT],
        &["127.0.0.1", PORT, "-4"],
        &["-t", "2", "127.0.0.1", "-v", PORT],
        &["-vt2", "127.0.0.1", PORT],
    ] {
        assert_open(words, "127.0.0.1:8025");
    }
}

#[test]
fn every_form_names_the_same_ipv6_target() {
    let _network = Loopback::new().listen("::1");
    for words in [
        ["::1", PORT].as_slice(),
        &["[::1]", PORT],
        &["[::1]:8025"],
        &["-H", "::1", "-p", PORT],
        &["-H", "[::1]", "-p", PORT],
        &["::1", "-p", PORT],
        &["0:0:0:0:0:0:0:1", PORT],
        &["-6", "::1", PORT],
    ] {
        assert_open(words, "[::1]:8025");
    }
}

#[test]
fn a_name_is_looked_up() {
    let _network = Loopback::new().listen("127.0.0.1").listen("::1");
    for words in [
        ["localhost", PORT].as_slice(),
        &["localhost:8025"],
        &["-H", "localhost", "-p", PORT],
        &["-4", "localhost", PORT],
    ] {
        let said = halfopen(words);
        let begin = "TCP HALF-OPEN OK - localhost:8025 at ";
        let rest = said.stdout.strip_prefix(begin).unwrap_or_else(|| panic!("{}", said.stdout));
        let (address, rest) = rest.split_once(' ').expect("words");
        assert!(["127.0.0.1", "::1"].contains(&address), "{}", said.stdout);
        assert!(rest.starts_with("open in "), "{}", said.stdout);
        assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{words:?}");
    }
}

/// Nagios command definitions pass them for unset macros.
#[test]
fn empty_words_are_ignored() {
    let _network = Loopback::new().listen("127.0.0.1");
    for words in [
        ["", "127.0.0.1", PORT].as_slice(),
        &["127.0.0.1", "", PORT],
        &["127.0.0.1", PORT, ""],
        &["", "", "127.0.0.1", "", "", PORT, "", ""],
        &["", "127.0.0.1:8025", ""],
        &["-w", "", "127.0.0.1", PORT],
        &["--warning", "", "127.0.0.1", PORT],
        &["-w", "", "-c", "", "127.0.0.1", PORT],
        &["127.0.0.1", PORT, "-w", "", "-c", ""],
        &["-H", "127.0.0.1", "-p", PORT, "-w", "", "-c", "", "-t", "", "-r", ""],
        &["-H", "", "127.0.0.1", PORT],
        &["-H", "", "127.0.0.1", "-p", PORT],
        &["-p", "", "127.0.0.1", PORT],
        &["-S", "", "-I", "", "--mark", "", "127.0.0.1", PORT],
        &["-4w", "", "127.0.0.1", PORT],
        &["-H", "127.0.0.1", "-p", PORT, "", "-w", "", ""],
    ] {
        assert_open(words, "127.0.0.1:8025");
    }
}

#[test]
fn an_empty_value_does_not_swallow_the_next_word() {
    let _network = Loopback::new().listen("127.0.0.1");
    let said = assert_open(&["-t", "", "-w", "", "127.0.0.1", PORT], "127.0.0.1:8025");
    assert!(said.stdout.ends_with(";;;0;10\n"), "{}", said.stdout);
}

#[test]
fn every_way_to_write_a_timeout_is_understood() {
    let _network = Loopback::new().listen("127.0.0.1");
    for (written, seconds) in [
        ("2", "2"),
        ("0.5", "0.5"),
        (".5", "0.5"),
        ("500ms", "0.5"),
        ("1500ms", "1.5"),
        ("2s", "2"),
        ("2.5s", "2.5"),
        ("3600", "3600"),
    ] {
        let said = assert_open(&["-t", written, "127.0.0.1", PORT], "127.0.0.1:8025");
        assert!(said.stdout.ends_with(&format!(";;;0;{seconds}\n")), "{}", said.stdout);
    }
}

#[test]
fn of_an_option_given_twice_the_last_wins() {
    let _network = Loopback::new().listen("127.0.0.1");
    let target = ["127.0.0.1", PORT];
    let timeout = halfopen([&["-t", "5", "-t", "3"], target.as_slice()].concat());
    assert!(timeout.stdout.ends_with(";;;0;3\n"), "{}", timeout.stdout);
    let format = halfopen([&["-o", "json", "-o", "nagios"], target.as_slice()].concat());
    assert!(format.stdout.starts_with("TCP HALF-OPEN OK"), "{}", format.stdout);
    let expected =
        halfopen([&["--expect", "closed", "--expect", "open"], target.as_slice()].concat());
    assert_eq!(expected.code, 0);
    let warning = halfopen([&["-w", "0", "-w", "1000"], target.as_slice()].concat());
    assert_eq!(warning.code, 0);
    assert_open(&["-H", "127.0.0.9", "-p", "1", "-H", "127.0.0.1", "-p", PORT], "127.0.0.1:8025");
    assert_eq!(halfopen(["-r", "ok", "-r", "warn", "127.0.0.1", "8026"]).code, 1);
    assert_eq!(halfopen(["-r", "ok", "-r", "", "127.0.0.1", "8026"]).code, 0);
}

#[test]
fn the_name_it_is_called_by_makes_no_difference() {
    let _network = Loopback::new().listen("127.0.0.1");
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("check_tcp_half_open");
    symlink(HALFOPEN, &link).unwrap();
    let link = link.to_str().unwrap();
    let said = run(link, ["127.0.0.1", PORT]);
    assert_eq!(said.code, 0);
    assert!(said.stdout.starts_with("TCP HALF-OPEN OK - 127.0.0.1:8025 open in "));
    assert_eq!(run(link, ["--help"]), halfopen(["--help"]));
    assert_eq!(run(link, ["127.0.0.1", "0"]), halfopen(["127.0.0.1", "0"]));
}

/// As for a load balancer's external check: no environment, and no descriptors except those that
/// the program opens itself.
#[test]
fn neither_environment_nor_standard_streams_are_needed() {
    let _network = Loopback::new().listen("127.0.0.1");
    let bare = |port| {
        let script = r#"exec env -i "$0" 127.0.0.1 "$1" <&- >&- 2>&-"#;
        run("sh", ["-c", script, HALFOPEN, port])
    };
    assert_eq!(bare(PORT).code, 0);
    assert_eq!(bare("8026").code, 2);
    assert_eq!(bare("0").code, 3);
}

/// Checks a target that is open, and asserts that the output calls it by this name.
fn assert_open(words: &[&str], target: &str) -> Said {
    let said = halfopen(words);
    let begin = format!("TCP HALF-OPEN OK - {target} open in ");
    assert!(said.stdout.starts_with(&begin), "{words:?}: {}", said.stdout);
    assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{words:?}");
    said
}
