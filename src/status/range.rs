//! Thresholds of response times.

use std::fmt;
use std::str::FromStr;

/// A Nagios threshold range, `[@]start:end` (Monitoring Plugins guidelines, "Threshold and
/// Ranges"): alerts outside of start to end, both included, or inside with `@`. Start is 0 when
/// left out, `~` is minus infinity, an end left out is infinity.
///
/// ```
/// use halfopen::status::{Range, RangeError};
///
/// let half_a_second: Range = "0.5".parse()?;
/// assert_eq!(half_a_second.to_string(), "0.5"); // alerts below 0 and above 0.5
/// assert_eq!("2:1".parse::<Range>(), Err(RangeError::Order));
/// # Ok::<(), RangeError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    text: String,
    start: f64,
    end: f64,
    alert_inside: bool,
}

impl Range {
    /// Returns why `seconds` raises an alert, or `None` if it does not.
    pub(super) fn alert(&self, seconds: f64) -> Option<String> {
        let inside = (self.start..=self.end).contains(&seconds);
        match (inside, self.alert_inside) {
            (true, true) => Some(format!("inside {} s", self.text)),
            (false, false) if seconds < self.start => Some(format!("under {} s", self.start)),
            (false, false) => Some(format!("over {} s", self.end)),
            _ => None,
        }
    }
}

impl fmt::Display for Range {
    /// As it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A text that is not a threshold range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// It does not have the form of a range.
    #[error("write END, START:, START:END, ~:END or @START:END, in seconds")]
    Form,
    /// Its start is above its end.
    #[error("the start of the range is above its end: write START:END, the smaller number first")]
    Order,
}

impl FromStr for Range {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let bounds = text.strip_prefix('@').unwrap_or(text);
        let (start, end) = match bounds.split_once(':') {
            Some((start, end)) => (start, end),
            None => ("", bounds),
        };
        if start.is_empty() && end.is_empty() {
            return Err(RangeError::Form);
        }
        let start = match start {
            "" => 0.0,
            "~" => f64::NEG_INFINITY,
            number => decimal(number)?,
        };
        let end = if end.is_empty() { f64::INFINITY } else { decimal(end)? };
        if start > end {
            return Err(RangeError::Order);
        }
        Ok(Self { text: text.to_owned(), start, end, alert_inside: text.starts_with('@') })
    }
}

fn decimal(text: &str) -> Result<f64, RangeError> {
    text.parse().ok().filter(|number: &f64| number.is_finite()).ok_or(RangeError::Form)
}
