//! Targets from a file or from standard input.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{HALFOPEN, Loopback, Said, halfopen, run, segments_received};

/// The longest file that is read.
const LONGEST: u64 = 64 << 20;

#[test]
fn a_line_is_a_target_and_comments_and_blanks_are_ignored() {
    let _network = Loopback::new().listen("127.0.0.1");
    let both = ["127.0.0.1:8025", "127.0.0.1:8026"];
    for text in [
        "127.0.0.1:8025\n127.0.0.1:8026\n",
        "127.0.0.1:8025\n127.0.0.1:8026",
        "127.0.0.1:8025,8026",
        "127.0.0.1 8025\n127.0.0.1\t8026\r\n",
        "127.0.0.1 \t 8025,8026 # both\n",
        "\t127.0.0.1\t\t8025-8026\n",
        "# a pool\n\n127.0.0.1:8025\n\n   \n\t\n127.0.0.1:8026\n\n#\n",
        "127.0.0.1:8025\r\n\r\n# CRLF\r\n127.0.0.1:8026\r\n",
        "127.0.0.1:8025 # the mail server\n127.0.0.1:8026# the other one\n",
        "  127.0.0.1:8025\t\n\t127.0.0.1:8026  \n",
        "#127.0.0.1:8027\n127.0.0.1:8025\n  # 127.0.0.1:8028\n127.0.0.1:8026",
        "\u{feff}127.0.0.1:8025\n127.0.0.1:8026\n",
        "\u{feff}# with a byte order mark\n127.0.0.1:8025\n127.0.0.1:8026\n",
    ] {
        let (_directory, file) = file_of(text.as_bytes());
        let said = halfopen(["-o", "json", "--targets", file.to_str().unwrap()]);
        assert_eq!(
            (targets(&said), said.code),
            (both.map(str::to_owned).into(), 2),
            "{text:?}: {}",
            said.stdout
        );
        let said = from_standard_input(&["-o", "json", "--targets", "-"], text.as_bytes());
        assert_eq!((targets(&said), said.code), (both.map(str::to_owned).into(), 2), "{text:?}");
    }
}

#[test]
fn one_line_is_a_single_check() {
    let _network = Loopback::new().listen("127.0.0.1");
    let (_directory, file) = file_of(b"127.0.0.1:8025\n");
    let said = halfopen(["--targets", file.to_str().unwrap()]);
    assert!(
        said.stdout.starts_with("TCP HALF-OPEN OK - 127.0.0.1:8025 open in "),
        "{}",
        said.stdout
    );
    assert_eq!(said.code, 0);
}

#[test]
fn words_and_files_add_up() {
    let _network = Loopback::new().listen("127.0.0.1");
    let (_directory, file) = file_of(b"127.0.0.1:8026\n127.0.0.1:8025\n");
    let file = file.to_str().unwrap();
    for words in [
        ["127.0.0.1:8025", "--targets", file].as_slice(),
        &["--targets", file, "127.0.0.1:8025"],
        &["127.0.0.1", "8025", "--targets", file],
        &["-H", "127.0.0.1", "-p", "8025", "--targets", file],
    ] {
        let said = halfopen([&["-o", "json"], words].concat());
        let wanted = ["127.0.0.1:8025", "127.0.0.1:8025", "127.0.0.1:8026"];
        assert_eq!(targets(&said), wanted, "{words:?}: {}", said.stdout);
    }
}

#[test]
fn a_bad_line_is_named_before_anything_is_sent() {
    let _network = Loopback::new().listen("127.0.0.1");
    for (text, place, why) in [
        ("127.0.0.1:0\n", "1:1", "\"0\" is not a port"),
        ("127.0.0.1:8025\n127.0.0.1:65536\n", "2:1", "\"65536\" is not a port"),
        ("127.0.0.1:8025\n\n  127.0.0.1:8010-8000\n", "3:3", "\"8010-8000\" ends before it begins"),
        ("# first\r\n\t127.0.0.1:80x\r\n", "2:2", "\"80x\" is not a port"),
        ("127.0.0.1\n", "1:1", "has no port"),
        ("127.0.0.1:8025 127.0.0.1:8026\n", "1:1", "one target per line"),
        ("127.0.0.1 8025 8026\n", "1:1", "write several ports as 25,80"),
        ("127.0.0.1:8025 8026\n", "1:1", "has a port already"),
        ("127.0.0.010:8025\n", "1:1", "without leading zeros"),
        ("127.0.0.010 8025\n", "1:1", "without leading zeros"),
        ("127.1 8025\n", "1:1", "\"127.1\""),
        ("8025\n", "1:1", "\"8025\" is a port without a host"),
        ("198.18.0.1/24:80\n", "1:1", "198.18.0.0/24"),
        ("198.18.0.0/33:80\n", "1:1", "198.18.0.0/33"),
        ("224.0.0.1:80\n", "1:1", "is not the address of one host"),
        ("fe80::1:80\n", "1:1", ""),
        ("a|b:80\n", "1:1", ""),
        ("127.0.0.1:25,,80\n", "1:1", "\"25,,80\" is not a port"),
        ("\u{feff}127.0.0.1:0\n", "1:", "\"0\" is not a port"),
    ] {
        let (_directory, file) = file_of(text.as_bytes());
        let said = halfopen(["127.0.0.1:8025", "--targets", file.to_str().unwrap()]);
        assert_refused(&said, &format!("{}:{place}", file.display()));
        assert!(said.stdout.contains(why), "{text:?}: {}", said.stdout);
        let said = from_standard_input(&["--targets", "-"], text.as_bytes());
        assert_refused(&said, &format!("standard input:{place}"));
    }
    assert_eq!(segments_received(), 0);
}

#[test]
fn bytes_that_are_not_text_are_named() {
    let garbage: Vec<u8> =
        (0..100_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect();
    for (bytes, place) in [
        (b"127.0.0.1:8025\n\xff\xfe\n".as_slice(), "2:1"),
        (b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\n", "1:1"),
        (b"\0\0\0\0", "1:1"),
        (b"127.0.0.1:80\xff\n", "1:"),
        (&garbage, "1:"),
    ] {
        let (_directory, file) = file_of(bytes);
        let said = halfopen(["--targets", file.to_str().unwrap()]);
        assert_refused(&said, &format!("{}:{place}", file.display()));
    }
}

#[test]
fn a_file_without_targets_is_refused() {
    let _network = Loopback::new();
    for text in ["", "\n", "\n\n\n", "# nobody\n", "   \n\t\n", "\u{feff}", "\r\n"] {
        let (_directory, file) = file_of(text.as_bytes());
        let said = halfopen(["--targets", file.to_str().unwrap()]);
        assert_refused(&said, "names no target");
        let said = from_standard_input(&["--targets", "-"], text.as_bytes());
        assert_refused(&said, "standard input names no target");
    }
    let closed = run("sh", ["-c", "exec \"$0\" --targets - <&-", HALFOPEN]);
    assert_refused(&closed, "standard input");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    let missing = missing.to_str().unwrap();
    assert_refused(&halfopen(["--targets", missing]), missing);
    let directory = directory.path().to_str().unwrap();
    let said = halfopen(["--targets", directory]);
    assert_refused(&said, directory);
    assert!(said.stdout.contains("Is a directory"), "{}", said.stdout);
    assert_refused(&halfopen(["--targets"]), "--targets");
    assert_refused(&halfopen(["--targets", ""]), "nothing to check:");
}

/// No more memory than the largest file needs.
#[test]
fn a_file_that_is_too_long_is_refused_and_not_read_to_its_end() {
    let directory = tempfile::tempdir().unwrap();
    for length in [LONGEST + 1, 200_000_000, 1 << 40] {
        let path = directory.path().join("long");
        File::create(&path).unwrap().set_len(length).unwrap();
        let said = within_memory(&["--targets", path.to_str().unwrap()]);
        assert_refused(&said, "is longer than 64 MiB");
        let endless = "exec \"$0\" --targets - < /dev/zero";
        assert_refused(&run("sh", ["-c", endless, HALFOPEN]), "is longer than 64 MiB");
    }
}

/// A message is short, however long the line that it is about.
#[test]
fn a_line_without_end_makes_no_message_without_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("zeros");
    File::create(&path).unwrap().set_len(LONGEST).unwrap();
    let said = within_memory(&["-t", "1000", "--targets", path.to_str().unwrap()]);
    assert_refused(&said, &format!("{}:1:1", path.display()));
    for line in [
        "a".repeat(1 << 20),
        format!("{}:80", "a".repeat(1 << 20)),
        format!("127.0.0.1:{}", "1,".repeat(1 << 20)),
    ] {
        fs::write(&path, &line).unwrap();
        assert_refused(&halfopen(["--targets", path.to_str().unwrap()]), ":1:1");
    }
    let word = "a".repeat(100_000);
    assert_refused(&halfopen([word.as_str(), "80"]), "host name");
    assert_refused(&halfopen(["127.0.0.1", word.as_str()]), "is not a port");
}

/// The deadline is that of the whole program. This pipe is neither written nor closed.
#[test]
fn standard_input_without_end_is_not_waited_for() {
    let mut child = Command::new(HALFOPEN)
        .args(["--targets", "-", "-t", "0.5"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let open = child.stdin.take();
    let said = Said::from(child.wait_with_output().expect("the program ends"));
    drop(open);
    assert_refused(&said, "standard input was not read to its end before the deadline");
}

#[test]
fn thousands_of_lines_are_thousands_of_targets() {
    let _network = Loopback::new();
    let lines: Vec<_> = (0..5000).map(|n| format!("127.2.{}.{}:9", n / 250, n % 250)).collect();
    let (_directory, file) = file_of(lines.join("\n").as_bytes());
    let said = halfopen(["--targets", file.to_str().unwrap()]);
    assert!(
        said.stdout.starts_with("TCP HALF-OPEN CRITICAL - 0 of 5000 open: "),
        "{}",
        said.stdout
    );
    assert!(said.first_line().len() < 4096 && said.stdout.len() < 8192);
}

/// Runs the program with little memory, but enough for any file that it reads.
fn within_memory(words: &[&str]) -> Said {
    let limited = "ulimit -v 400000; exec \"$0\" \"$@\"";
    run("sh", [&["-c", limited, HALFOPEN], words].concat())
}

fn assert_refused(said: &Said, why: &str) {
    assert_eq!((said.code, said.stderr.as_str()), (3, ""));
    assert!(said.stdout.len() < 4096, "{} bytes", said.stdout.len());
    assert!(said.stdout.starts_with("TCP HALF-OPEN UNKNOWN - "), "{}", said.stdout);
    assert!(said.stdout.contains(why), "{why:?} is not in {}", said.stdout);
    assert_eq!(said.stdout.matches('\n').count(), 1, "{}", said.stdout);
    assert!(!said.stdout.contains('|'), "{}", said.stdout);
}

/// The targets of the JSON output, sorted.
fn targets(said: &Said) -> Vec<String> {
    let lines = said.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut targets: Vec<_> =
        lines.filter_map(|line| line["target"].as_str().map(str::to_owned)).collect();
    targets.sort_unstable();
    targets
}

fn file_of(bytes: &[u8]) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path: &Path = directory.path();
    let path = path.join("targets");
    fs::write(&path, bytes).unwrap();
    (directory, path)
}

fn from_standard_input(words: &[&str], bytes: &[u8]) -> Said {
    let mut command = Command::new(HALFOPEN);
    let mut child = command
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    child.wait_with_output().unwrap().into()
}
