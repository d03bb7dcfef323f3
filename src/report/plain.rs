//! Foreign text, such as names of interfaces and files, in lines that people and monitors read.

use std::fmt::Display;

/// What `text` says, fit for a part of a line: characters that break the line, steer a terminal or
/// change the order of others are written as escapes (Unicode categories Cc, Zl and Zp; UAX #9),
/// and a bar, which would begin performance data, as a slash.
pub(super) fn plain(text: impl Display) -> String {
    let mut plain = String::new();
    for c in text.to_string().chars() {
        match c {
            '|' => plain.push('/'),
            c if c.is_control() || is_invisible(c) => plain.extend(c.escape_default()),
            c => plain.push(c),
        }
    }
    plain
}

/// `text` as a label of performance data, in quotes, which are doubled within; it has no equals
/// sign (Monitoring Plugins guidelines, "Performance data").
pub(super) fn label(text: &str) -> String {
    format!("'{}'", plain(text).replace('\'', "''").replace('=', "_"))
}

/// Marks of direction, separators of lines, and what has no width.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}
