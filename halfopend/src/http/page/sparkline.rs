//! The last hour of a target as a picture.

use std::fmt::Write;
use std::time::Duration;

use super::html::milliseconds;
use crate::live::History;

/// The height of the picture, and of the line for a time of zero. A minute is two units wide.
const HEIGHT: u32 = 24;
const GROUND: f64 = 18.0;

/// Draws the longest round-trip time of each minute, from zero to the longest of all, with gaps
/// if nothing was measured, and marks below for the minutes in which checks failed.
pub(super) fn sparkline(history: &History, out: &mut String) {
    let longest = history.minutes().flatten().max();
    let failed = history.failed().filter(|failed| *failed).count();
    let words = match (longest, failed) {
        (None, 0) => return,
        (None, _) => "no answer".to_owned(),
        (Some(longest), 0) => format!("at most {}", milliseconds(longest)),
        (Some(longest), _) => {
            format!("at most {}; checks failed in {failed} minutes", milliseconds(longest))
        }
    };
    let _ = write!(
        out,
        "<svg class=\"line\" viewBox=\"-2 0 124 {HEIGHT}\" role=\"img\" \
         aria-label=\"In the last hour: {words}\"><title>{words}</title><path class=\"ground\" d=\"M0 {GROUND}h120\"/>"
    );
    if let Some(longest) = longest {
        times(history, longest, out);
    }
    failures(history, out);
    out.push_str("</svg>");
}

fn times(history: &History, longest: Duration, out: &mut String) {
    out.push_str("<path d=\"");
    let mut is_drawing = false;
    for (minute, time) in history.minutes().enumerate() {
        if let Some(time) = time {
            let share = time.as_secs_f64() / longest.as_secs_f64();
            let (x, y) = (2 * minute + 1, (GROUND - share * (GROUND - 2.0)).round());
            if !is_drawing {
                let _ = write!(out, "M{x} {y}L"); // a minute alone is a dot: a line of no length
            }
            let _ = write!(out, "{x} {y} ");
        }
        is_drawing = time.is_some();
    }
    out.push_str("\"/>");
}

fn failures(history: &History, out: &mut String) {
    let mut minutes = history.failed().enumerate().filter(|(_, failed)| *failed).peekable();
    if minutes.peek().is_none() {
        return;
    }
    out.push_str("<path class=\"failed\" d=\"");
    for (minute, _) in minutes {
        let _ = write!(out, "M{} 22h2", 2 * minute);
    }
    out.push_str("\"/>");
}
