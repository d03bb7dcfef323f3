use std::str;
use std::time::Duration;

use halfopen::status::{Expected, Policy, Range, Status};
use halfopen::verdict::{Reason, Verdict};

use super::assert_fit_for_a_line;

/// A text is a range that alerts as the guidelines say, at its bounds and on either side of them,
/// or is refused in a line.
pub fn range(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let guideline = guideline(text);
    let range = match text.parse::<Range>() {
        Ok(range) => range,
        Err(error) => {
            assert_eq!(guideline, None);
            return assert_fit_for_a_line(&error.to_string());
        }
    };
    let guideline = guideline.expect("refused");
    assert_eq!(range.to_string(), text);
    // It is shown in the performance data as it was written.
    assert!(text.bytes().all(|byte| b"0123456789.eE+-~:@".contains(&byte)), "{text:?}");
    let policy = Policy {
        expected: Expected::Open { refused: Status::Critical },
        warning: Some(range),
        critical: None,
    };
    for time in times(text) {
        let verdict =
            Verdict { response_time: Some(time), ..Verdict::without_probe(Reason::SynAck) };
        let judgement = policy.judge(&Ok(verdict));
        let word = judgement.remark.map(|remark| remark.to_string());
        let word = word.as_deref().and_then(|remark| remark.split(' ').next());
        assert_eq!(word, guideline.alert(time.as_secs_f64()), "{text} at {time:?}");
        let wanted = if word.is_some() { Status::Warning } else { Status::Ok };
        assert_eq!(judgement.status, wanted);
    }
}

/// Monitoring Plugins guidelines, "Threshold and Ranges".
#[derive(Debug, PartialEq)]
struct Guideline {
    inside: bool,
    start: f64,
    end: f64,
}

fn guideline(text: &str) -> Option<Guideline> {
    let inside = text.starts_with('@');
    let bounds: Vec<_> = text[usize::from(inside)..].split(':').collect();
    let number = |text: &str| text.parse().ok().filter(|number: &f64| number.is_finite());
    let (start, end) = match bounds[..] {
        [""] | ["", ""] => return None,
        [end] | ["", end] => (0.0, number(end)?),
        ["~", ""] => (f64::NEG_INFINITY, f64::INFINITY),
        ["~", end] => (f64::NEG_INFINITY, number(end)?),
        [start, ""] => (number(start)?, f64::INFINITY),
        [start, end] => (number(start)?, number(end)?),
        _ => return None,
    };
    (start <= end).then_some(Guideline { inside, start, end })
}

impl Guideline {
    fn alert(&self, seconds: f64) -> Option<&'static str> {
        match (self.inside, seconds < self.start, seconds > self.end) {
            (true, false, false) => Some("inside"),
            (false, true, _) => Some("under"),
            (false, _, true) => Some("over"),
            _ => None,
        }
    }
}

/// The bounds of the range, and the least time before and after each.
fn times(range: &str) -> Vec<Duration> {
    let bounds = range.split([':', '@']).filter_map(|bound| bound.parse().ok());
    let mut times: Vec<_> = bounds.filter_map(|b| Duration::try_from_secs_f64(b).ok()).collect();
    times.extend([Duration::ZERO, Duration::from_secs(1)]);
    let least = Duration::from_nanos(1);
    times.iter().flat_map(|t| [t.saturating_sub(least), *t, t.saturating_add(least)]).collect()
}
