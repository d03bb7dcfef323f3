//! The progress of a long pool, for people at a terminal.

use std::io::{Stderr, Write};
use std::time::Duration;

use crate::non_blocking_writer::NonBlockingWriter;

/// A shorter check shows no bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// The shortest time between changes of the bar.
const INTERVAL: Duration = Duration::from_millis(250);

/// The length of the bar, in characters.
const WIDTH: usize = 30;

/// Moves to the beginning of the line and erases it (ECMA-48, CR and EL).
const CLEAR: &str = "\r\x1b[K";

/// A bar on the terminal that appears after a second, and is erased when the value is dropped. If
/// the terminal takes no output, the bar is out of date, or does not appear.
pub struct Progress {
    terminal: NonBlockingWriter<Stderr>,
    /// When the program ends at the latest, since its start.
    deadline: Duration,
    next: Duration,
}

impl Progress {
    /// Creates a bar on `terminal` for a program that ends at `deadline`.
    pub fn new(terminal: Stderr, deadline: Duration) -> Self {
        Self { terminal: NonBlockingWriter::new(terminal), deadline, next: PATIENCE }
    }

    /// Shows that `ended` of `total` targets have ended, `elapsed` after the start of the program.
    pub fn advance(&mut self, ended: u128, total: u128, elapsed: Duration) {
        if elapsed < self.next {
            return;
        }
        self.next = elapsed + INTERVAL;
        let _ = self.terminal.flush();
        if self.terminal.is_idle() {
            // Without wrapping (DECAWM), the line fits in any terminal.
            let bar = bar(ended, total, elapsed, self.deadline);
            let _ = write!(self.terminal, "{CLEAR}\x1b[?7l{bar}\x1b[?7h");
            let _ = self.terminal.flush();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.next > PATIENCE {
            let _ = write!(self.terminal, "{CLEAR}");
            let _ = self.terminal.flush();
        }
    }
}

/// `[######------------------------] 200 of 1000 targets, 8 s left`
fn bar(ended: u128, total: u128, elapsed: Duration, deadline: Duration) -> String {
    let full = ended.saturating_mul(WIDTH as u128).checked_div(total).unwrap_or_default();
    let full = "#".repeat(usize::try_from(full).map_or(WIDTH, |full| full.min(WIDTH)));
    let longest = deadline.saturating_sub(elapsed).as_millis();
    let left = elapsed.as_millis().saturating_mul(total.saturating_sub(ended)).checked_div(ended);
    let left = left.map_or(longest, |left| left.min(longest)).div_ceil(1000);
    format!("[{full:-<WIDTH$}] {ended} of {total} targets, {left} s left")
}
