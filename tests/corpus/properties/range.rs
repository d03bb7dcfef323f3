use std::str;
use std::time::Duration;

use halfopen::status::{Expected, Judgement, Policy, Range, Status};
use halfopen::verdict::{Reason, Verdict};

use super::assert_fit_for_a_line;

/// A text is a range that is shown as it was written, or is refused in one line. What the
/// guidelines say about all ranges holds: `@` inverts one, a number alone begins at 0, and the
/// times that do not alert are contiguous. What single ranges mean is in the guidelines' table
/// (`tests/command_line/grammar.rs`).
pub fn range(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let bounds = text.strip_prefix('@').unwrap_or(text);
    let inverted = format!("@{bounds}");
    if let Err(error) = text.parse::<Range>() {
        assert!(inverted.parse::<Range>().is_err(), "{text:?}");
        return assert_fit_for_a_line(&error.to_string());
    }
    let range: Range = text.parse().unwrap();
    assert_eq!(range.to_string(), text);
    // It is shown in the performance data as it was written.
    assert!(text.bytes().all(|byte| b"0123456789.eE+-~:@".contains(&byte)), "{text:?}");

    let times = times(text);
    let outside: Vec<_> = times.iter().map(|time| alert(bounds, *time)).collect();
    assert!(outside.is_sorted_by_key(|alert| order(alert.as_deref())), "{text}: {outside:?}");
    for (time, outside) in times.iter().zip(&outside) {
        let inside = alert(&inverted, *time);
        assert_eq!(inside.as_deref(), outside.is_none().then_some("inside"), "{text} at {time:?}");
        if !bounds.contains(':') {
            assert_eq!(alert(&format!("0:{bounds}"), *time), *outside, "{text} at {time:?}");
        }
    }
}

/// Below the range, within it, above it.
fn order(alert: Option<&str>) -> u8 {
    match alert {
        Some("under") => 0,
        None => 1,
        Some("over") => 2,
        Some(other) => panic!("{other}"),
    }
}

/// Returns the first word of the reason why a response time alerts, if it does.
fn alert(range: &str, time: Duration) -> Option<String> {
    let policy = Policy {
        expected: Expected::Open { refused: Status::Critical },
        warning: Some(range.parse().expect(range)),
        critical: None,
    };
    let verdict = Verdict { response_time: Some(time), ..Verdict::without_probe(Reason::SynAck) };
    let Judgement { status, remark } = policy.judge(&Ok(verdict));
    assert_eq!(status, if remark.is_some() { Status::Warning } else { Status::Ok });
    let remark = remark?.to_string();
    remark.split(' ').next().map(str::to_owned)
}

/// The bounds of the range, and the least time before and after each, in order.
fn times(range: &str) -> Vec<Duration> {
    let bounds = range.split([':', '@']).filter_map(|bound| bound.parse().ok());
    let mut times: Vec<_> = bounds.filter_map(|b| Duration::try_from_secs_f64(b).ok()).collect();
    times.extend([Duration::ZERO, Duration::from_secs(1)]);
    let least = Duration::from_nanos(1);
    let around = |time: &Duration| [time.saturating_sub(least), *time, time.saturating_add(least)];
    let mut times: Vec<_> = times.iter().flat_map(around).collect();
    times.sort_unstable();
    times
}
