//! Text from elsewhere, such as names of interfaces and files, in lines for people and monitors.

use std::fmt::Display;

/// Returns `text` fit to be part of a line. Characters that break the line, control a terminal or
/// change the order of others become escapes (Unicode categories Cc, Zl and Zp; UAX #9). A bar,
/// which would begin performance data, becomes a slash.
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

/// Returns `text` as a label of performance data: in quotes, with quotes inside doubled and equals
/// signs replaced (Monitoring Plugins guidelines, "Performance data").
pub(super) fn label(text: &str) -> String {
    format!("'{}'", plain(text).replace('\'', "''").replace('=', "_"))
}

/// Returns true for direction marks, line separators, and characters without width.
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
