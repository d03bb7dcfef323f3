//! The log, for a reader that may be slow.

use std::os::fd::BorrowedFd;

use halfopen::non_blocking_writer::Output;
use jiff::Timestamp;
use serde::Serialize;

/// How many bytes may wait for the reader. Lines beyond that are lost.
const BACKLOG: usize = 1 << 18;

/// What a line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// `halfopend: MESSAGE`
    #[default]
    Text,
    /// An object with the time.
    Json,
}

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Info,
    Warning,
    Error,
}

/// Writes lines to the log. A slow reader delays no check: it loses lines, and is told how many.
pub struct Log<O> {
    out: O,
    format: Format,
    lost: u64,
}

/// A line as an object.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    level: Level,
    message: &'a str,
}

impl<O: Output> Log<O> {
    /// Creates a log.
    pub fn new(out: O, format: Format) -> Self {
        Self { out, format, lost: 0 }
    }

    /// Writes what has been done.
    pub fn info(&mut self, message: &str) {
        self.write(Level::Info, message);
    }

    /// Writes what has failed, although the program goes on.
    pub fn warn(&mut self, message: &str) {
        self.write(Level::Warning, message);
    }

    /// Writes what ends the program.
    pub fn error(&mut self, message: &str) {
        self.write(Level::Error, message);
    }

    /// Passes on what the reader takes.
    pub fn flush(&mut self) {
        let _ = self.out.flush();
    }

    /// Returns what can be written when the reader has taken some, if something waits for it.
    pub fn backlog(&self) -> Option<BorrowedFd<'_>> {
        self.out.backlog().map(|(_, out)| out)
    }

    /// Writes a line, or loses it if the reader is too slow.
    fn write(&mut self, level: Level, message: &str) {
        if self.out.backlog().is_some_and(|(bytes, _)| bytes > BACKLOG) {
            self.lost += 1;
            return;
        }
        if self.lost > 0 {
            let lost = std::mem::take(&mut self.lost);
            self.append(Level::Warning, &format!("{lost} lines of the log were lost here"));
        }
        self.append(level, message);
        self.flush();
    }

    fn append(&mut self, level: Level, message: &str) {
        let line = render(self.format, Timestamp::now(), level, message) + "\n";
        if self.out.write_all(line.as_bytes()).is_err() {
            self.lost += 1; // the disk is full
        }
    }
}

/// Returns a message as one line.
fn render(format: Format, time: Timestamp, level: Level, message: &str) -> String {
    match format {
        // What others wrote must not look like a line of its own, nor move the cursor.
        Format::Text => format!("halfopend: {}", message.replace(char::is_control, " ")),
        Format::Json => {
            let line = Line { time: format!("{time:.3}"), level, message };
            serde_json::to_string(&line).expect("a string")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::os::fd::AsFd;

    use super::*;

    /// A reader that takes nothing while it is asleep.
    struct Sleeper {
        descriptor: std::fs::File,
        asleep: bool,
        waiting: Vec<u8>,
    }

    impl Write for Sleeper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.waiting.extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Output for Sleeper {
        fn backlog(&self) -> Option<(usize, BorrowedFd<'_>)> {
            self.asleep.then(|| (self.waiting.len(), self.descriptor.as_fd()))
        }
    }

    #[test]
    fn a_slow_reader_loses_lines_and_is_told_how_many() {
        let descriptor = std::fs::File::open("/dev/null").unwrap();
        let mut log = Log::new(Sleeper { descriptor, asleep: true, waiting: vec![] }, Format::Text);
        let message = "x".repeat(1000);
        (0..1000).for_each(|_| log.info(&message));
        let taken = std::mem::take(&mut log.out.waiting);
        assert!(taken.len() <= BACKLOG + 2000, "{}", taken.len());
        log.out.asleep = false;
        log.info("awake");
        let lines = taken.split(|byte| *byte == b'\n').count() - 1;
        let expected = format!(
            "halfopend: {} lines of the log were lost here\nhalfopend: awake\n",
            1000 - lines
        );
        assert_eq!(String::from_utf8_lossy(&log.out.waiting), expected);
    }

    #[test]
    fn a_message_is_one_line() {
        let message = "cannot read \"a\nb\u{1b}[2J\"";
        let text = render(Format::Text, Timestamp::UNIX_EPOCH, Level::Info, message);
        assert_eq!(text, "halfopend: cannot read \"a b [2J\"");
        let json = render(Format::Json, Timestamp::UNIX_EPOCH, Level::Warning, message);
        let object: serde_json::Value = serde_json::from_str(&json).unwrap();
        let expected = serde_json::json!({
            "time": "1970-01-01T00:00:00.000Z", "level": "warning", "message": message,
        });
        assert_eq!((object, json.lines().count()), (expected, 1));
    }
}
