//! Whole numbers as people write them.

use std::str::FromStr;

/// Parses decimal digits, without sign and without leading zeros: programs that know octal numbers
/// read `010` as 8.
pub fn whole<T: FromStr>(text: &str) -> Option<T> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let padded = text.len() > 1 && text.starts_with('0');
    if digits && !padded { text.parse().ok() } else { None }
}
