use std::io::{self, Read};

use halfopen::target::Target;
use halfopen::target_file::{FileError, read};

use super::assert_fit_for_a_line;

/// A file has the targets of its lines, up to the first that is not a target. Comments, blanks and
/// the way that it is read change nothing.
pub fn targets_file(bytes: &[u8]) {
    let whole = outcome(read("pool.txt", bytes));
    assert_eq!(whole, line_by_line(bytes));
    assert_eq!(whole, outcome(read("pool.txt", Drops { left: bytes, turn: 0 })));
    assert_eq!(whole, outcome(read("pool.txt", commented(bytes).as_slice())));
    let broken = read("pool.txt", bytes.chain(Broken));
    assert!(matches!(broken, Err(FileError::Read { .. })), "{broken:?}");
}

/// The targets, or the position of the first line that is not a target and the message about it.
type Outcome = Result<Vec<Target>, Option<(usize, usize, String)>>;

fn outcome(read: Result<Vec<Target>, FileError>) -> Outcome {
    let error = match read {
        Ok(targets) => return Ok(targets),
        Err(error) => error,
    };
    let message = error.to_string();
    assert_fit_for_a_line(&message);
    match error {
        FileError::Empty(file) => {
            assert_eq!(message, format!("{file} names no target"));
            Err(None)
        }
        FileError::Line { line, column, cause, .. } => {
            assert_eq!(message, format!("pool.txt:{line}:{column}: {cause}"));
            Err(Some((line, column, cause.to_string())))
        }
        error => panic!("{error:?} of bytes that can be read"),
    }
}

fn line_by_line(bytes: &[u8]) -> Outcome {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let mut targets = Vec::new();
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        // After a line break, so that a second byte order mark is not taken for one.
        let alone = outcome(read("pool.txt", [b"\n", line].concat().as_slice()));
        match alone {
            Ok(one) => {
                assert_eq!(one, [target(line).expect("read as a target")]);
                targets.extend(one);
            }
            Err(None) => assert_eq!(word(line), b""),
            Err(Some((2, column, cause))) => {
                assert_eq!(target(line), None);
                assert!(line[column - 1..].starts_with(word(line)));
                return Err(Some((number, column, cause)));
            }
            Err(elsewhere) => panic!("{elsewhere:?}"),
        }
    }
    if targets.is_empty() { Err(None) } else { Ok(targets) }
}

fn target(line: &[u8]) -> Option<Target> {
    str::from_utf8(word(line)).ok()?.parse().ok()
}

/// The content of a line without comment and blanks.
fn word(line: &[u8]) -> &[u8] {
    let end = line.iter().position(|byte| *byte == b'#').unwrap_or(line.len());
    line[..end].trim_ascii()
}

/// The same with a comment after each line.
fn commented(bytes: &[u8]) -> Vec<u8> {
    let lines: Vec<_> = bytes.split(|byte| *byte == b'\n').collect();
    lines.join(b"\t# 198.18.0.1:0\r\n".as_slice())
}

/// Hands out a few bytes at a time, and is interrupted in between.
struct Drops<'a> {
    left: &'a [u8],
    turn: usize,
}

impl Read for Drops<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.turn += 1;
        if self.turn.is_multiple_of(3) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let some = buffer.len().min(self.turn);
        self.left.read(&mut buffer[..some])
    }
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ConnectionReset.into())
    }
}
