//! What ranges and states mean.

use std::time::Duration;

use halfopen::status::{Expected, Policy, Range, Status};
use halfopen::verdict::{LookupFailure, Outcome, PortState, Reason, Verdict};
use proptest::prelude::*;

/// Monitoring Plugins guidelines, "Threshold and Ranges".
#[test]
fn a_range_alerts_as_the_guidelines_say() {
    for (range, fine, alerting) in [
        ("10", [0.0, 5.0, 10.0].as_slice(), [10.001, 1e9].as_slice()),
        ("10:", &[10.0, 10.5, 1e9], &[0.0, 9.999]),
        ("~:10", &[0.0, 10.0], &[10.001]),
        ("10:20", &[10.0, 15.0, 20.0], &[0.0, 9.999, 20.001]),
        ("@10:20", &[0.0, 9.999, 20.001], &[10.0, 15.0, 20.0]),
        (":20", &[0.0, 20.0], &[20.001]),
        ("0:20", &[0.0, 20.0], &[20.001]),
        ("@20", &[20.001], &[0.0, 20.0]),
        ("@20:", &[19.999], &[20.0, 1e9]),
        ("@~:20", &[20.001], &[0.0, 20.0]),
        ("0", &[0.0], &[0.000_001]),
        ("10:10", &[10.0], &[9.999, 10.001]),
        ("0.5:1.5", &[0.5, 1.0, 1.5], &[0.499, 1.501]),
    ] {
        for seconds in fine {
            assert_eq!(judge(range, *seconds), Status::Ok, "{range} at {seconds} s");
        }
        for seconds in alerting {
            assert_eq!(judge(range, *seconds), Status::Warning, "{range} at {seconds} s");
        }
    }
}

#[test]
fn what_is_no_range_is_refused() {
    for text in [
        "", "@", ":", "@:", "20:10", "-1", "@20:10", "abc", "1:abc", "abc:1", "inf", "-inf", "nan",
        "infinity", "1:inf", "nan:1", "~", "10:~", "1:2:3", "1 ", " 1", "1:2 ", "5s", "5ms", "10%",
        "1,5", "@@1", "1@2", "0x10", "--1",
    ] {
        assert!(text.parse::<Range>().is_err(), "{text:?}");
    }
}

#[test]
fn a_range_reads_as_it_was_written() {
    for text in ["10", "10:", "~:10", "010.50:20", "@10:20", ":20"] {
        assert_eq!(text.parse::<Range>().unwrap().to_string(), text);
    }
}

/// If the port is not open, the status follows from its state and the options, never from the time.
#[test]
fn each_state_means_what_the_operator_wants() {
    let timed_out = Reason::NameNotResolved(LookupFailure::TimedOut);
    let silence = Reason::NoAnswer { syns: 3, waited: Duration::from_secs(7) };
    for (reason, state) in [
        (Reason::SynAck, PortState::Open),
        (Reason::RstAck, PortState::Closed),
        (silence, PortState::Filtered),
        (timed_out, PortState::Unreachable),
        (Reason::BareAck, PortState::Stale),
    ] {
        let outcome = Ok(Verdict::without_probe(reason));
        for refused in [Status::Ok, Status::Warning, Status::Critical] {
            let wanted = match state {
                PortState::Open => Status::Ok,
                PortState::Closed => refused,
                _ => Status::Critical,
            };
            assert_eq!(policy(Expected::Open { refused }, None).judge(&outcome).status, wanted);
        }
        for expected in [PortState::Closed, PortState::Filtered] {
            let wanted = if state == expected { Status::Ok } else { Status::Critical };
            assert_eq!(policy(Expected::State(expected), None).judge(&outcome).status, wanted);
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_a_range_or_refused(text in ".{0,12}") {
        let _ = text.parse::<Range>();
    }

    #[test]
    fn what_looks_like_a_range_is_one_or_refused(text in "@?[0-9.~:e+-]{0,8}") {
        if let Ok(range) = text.parse::<Range>() {
            prop_assert_eq!(range.to_string(), text);
        }
    }

    #[test]
    fn inside_and_outside_are_opposites(
        start in 0.0..100.0_f64,
        length in 0.0..100.0_f64,
        seconds in 0.0..300.0_f64,
    ) {
        let bounds = format!("{start}:{}", start + length);
        let [outside, inside] = [bounds.clone(), format!("@{bounds}")].map(|r| judge(&r, seconds));
        prop_assert_ne!(outside, inside);
    }
}

/// What a response time means if this range is a warning.
fn judge(range: &str, seconds: f64) -> Status {
    let response_time = Some(Duration::from_secs_f64(seconds));
    let open: Outcome = Ok(Verdict { response_time, ..Verdict::without_probe(Reason::SynAck) });
    let expected = Expected::Open { refused: Status::Critical };
    policy(expected, Some(range.parse().unwrap())).judge(&open).status
}

fn policy(expected: Expected, warning: Option<Range>) -> Policy {
    Policy { expected, warning, critical: None }
}
