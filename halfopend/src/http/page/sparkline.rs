//! The round-trip times of the last hour as a line.

use std::fmt::Write;
use std::time::Duration;

use crate::live::History;

/// The height of the picture; a minute is one unit wide.
const HEIGHT: f64 = 16.0;

/// Draws the times from zero to the longest one, with gaps where nothing was measured.
pub(super) fn sparkline(history: &History, out: &mut String) {
    let Some(longest) = history.minutes().flatten().max() else { return };
    let _ = write!(
        out,
        "<svg class=\"line\" viewBox=\"0 0 60 {HEIGHT}\" role=\"img\" \
         aria-label=\"at most {:.2} ms in the last hour\"><path d=\"",
        longest.as_secs_f64() * 1e3
    );
    let mut is_drawing = false;
    for (minute, time) in history.minutes().enumerate() {
        match time {
            Some(time) => {
                // A minute alone is a dot: a line of no length with round ends.
                let command = if is_drawing { "L" } else { "M" };
                let (x, y) = (minute, height(time, longest));
                let _ = write!(out, "{command}{x} {y}");
                if !is_drawing {
                    let _ = write!(out, "L{x} {y}");
                }
                is_drawing = true;
            }
            None => is_drawing = false,
        }
    }
    out.push_str("\"/></svg>");
}

/// Returns where the line is at that time, with a margin of one unit: to one decimal.
fn height(time: Duration, longest: Duration) -> String {
    let share = time.as_secs_f64() / longest.as_secs_f64();
    format!("{:.1}", HEIGHT - 1.0 - share * (HEIGHT - 2.0))
}
