//! No answer: when SYNs leave, and when the verdict is reached.

use std::collections::HashSet;
use std::time::Duration;

use halfopen::attempt::{Attempt, SourcePort};
use halfopen::engine::simulated::{FIRST_PORT, Network};
use halfopen::event::Event;
use halfopen::verdict::{PortState, Reason};
use halfopen::wire::{Flags, Options, Segment};

use crate::network::{
    Run, SERVER, SERVER_V6, check, check_by, check_with_secret, millis, on_syn, ports, schedule_of,
    secs, syn_ack,
};

#[test]
fn three_syns_in_seven_seconds_are_the_default() {
    let run = check(silence());
    assert_eq!(run.syn_times(), [0, 1000, 3000]);
    assert_eq!(run.end, secs(7));
    let verdict = run.verdict();
    assert_eq!(verdict.state(), PortState::Filtered);
    assert_eq!(verdict.reason, Reason::NoAnswer { syns: 3, waited: secs(7) });
    assert_eq!(verdict.reason.to_string(), "no answer to 3 SYNs in 7.0 s");
    assert_eq!((verdict.attempts, verdict.round_trip()), (3, None));
    assert!(run.resets().is_empty());
}

#[test]
fn two_seconds_are_used_up_and_not_exceeded() {
    let run = check_by(schedule_of(2, secs(2)), &[SERVER], silence());
    assert_eq!(run.syn_times(), [0, 285, 857]); // 2 s · 1/7, 2 s · 3/7
    assert_about(run.end, 2.0);
    assert!(run.end <= secs(2));
}

#[test]
fn without_retries_one_second_decides() {
    let run = check_by(schedule_of(0, secs(10)), &[SERVER], silence());
    assert_eq!(run.syn_times(), [0]);
    assert_eq!(run.end, secs(1));
    assert_eq!(run.verdict().reason.to_string(), "no answer to 1 SYN in 1.0 s");
}

#[test]
fn without_retries_a_deadline_below_a_second_decides() {
    let run = check_by(schedule_of(0, millis(500)), &[SERVER], silence());
    assert_eq!(run.end, millis(500));
    assert_eq!(run.verdict().reason.to_string(), "no answer to 1 SYN in 500 ms");
}

/// The first of n timeouts is min(1 s, T / (2ⁿ − 1)), each later one is twice as long, and the
/// verdict comes when the last one has passed.
#[test]
fn every_schedule_fits_its_deadline() {
    for retries in 0..=10_u8 {
        for deadline in [0.001, 0.5, 1.0, 2.0, 6.9, 7.0, 7.1, 60.0, 2047.0, 86_400.0] {
            let limit = Duration::from_secs_f64(deadline);
            let run = check_by(schedule_of(retries, limit), &[SERVER], silence());
            let attempts = i32::from(retries) + 1;
            let parts = 2_f64.powi(attempts) - 1.0;
            let first_wait = f64::min(1.0, deadline / parts);
            assert_about(run.end, first_wait * parts);
            assert!(run.end <= limit, "{retries} retries in {deadline} s end at {:?}", run.end);
            assert_eq!(run.syns().len(), usize::from(retries) + 1);
            for (number, (at, _)) in (0..).zip(run.syns()) {
                assert_about(at, first_wait * (2_f64.powi(number) - 1.0));
            }
        }
    }
}

/// A retransmission passes equipment that drops the first SYN of a connection, and a fresh port
/// avoids what is left of an old connection.
#[test]
fn every_second_attempt_is_a_retransmission_of_the_one_before() {
    for remote in [SERVER, SERVER_V6] {
        for retries in 0..=10_u8 {
            let run = check_by(schedule_of(retries, secs(10)), &[remote], silence());
            let numbers: Vec<_> = (0..=u16::from(retries)).map(|number| number / 2).collect();
            assert_eq!(ports(&run), numbers);
            for pair in run.syns().chunks(2) {
                assert!(pair.iter().all(|(_, syn)| *syn == pair[0].1), "{pair:?}");
            }
            let sequences: HashSet<_> = run.syns().iter().map(|(_, syn)| syn.sequence.0).collect();
            assert_eq!(sequences.len(), usize::from(retries) / 2 + 1);
        }
    }
}

/// A machine with few free ports.
#[test]
fn with_one_port_all_attempts_are_retransmissions() {
    let run = check(FewPorts(1));
    assert_eq!(run.syn_times(), [0, 1000, 3000]);
    assert_eq!(ports(&run), [0, 0, 0]);
    assert_eq!(run.verdict().reason, Reason::NoAnswer { syns: 3, waited: secs(7) });
    let run = check_by(schedule_of(5, secs(63)), &[SERVER], FewPorts(2));
    assert_eq!(ports(&run), [0, 0, 1, 1, 0, 0]);
}

struct FewPorts(u16);

impl Network for FewPorts {
    fn carry(&mut self, _now: Duration, _segment: &Segment) -> Vec<(Duration, Event)> {
        Vec::new()
    }

    fn port(&self, attempt: &Attempt) -> u16 {
        match attempt.port {
            SourcePort::Same(port) => port,
            SourcePort::Fresh(count) => {
                FIRST_PORT + u16::try_from(count).expect("few attempts") % self.0
            }
        }
    }
}

#[test]
fn another_secret_means_other_sequence_numbers() {
    let schedule = schedule_of(10, secs(10));
    let sequences = |secret| -> HashSet<u32> {
        let run = check_with_secret(secret, schedule, &[SERVER], silence());
        run.syns().iter().map(|(_, syn)| syn.sequence.0).collect()
    };
    assert!(sequences([1; 16]).is_disjoint(&sequences([2; 16])));
}

#[test]
fn adjacent_targets_get_unrelated_sequence_numbers() {
    let remotes: Vec<_> = (1..=1000).map(|port| (SERVER.ip(), port).into()).collect();
    let run = check_by(schedule_of(0, secs(1)), &remotes, silence());
    let sequences: Vec<_> = run.syns().iter().map(|(_, syn)| syn.sequence.0).collect();
    let steps: HashSet<_> =
        sequences.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    assert!(steps.len() > 990, "only {} different steps", steps.len());
    let high_bits: u32 = sequences.iter().map(|sequence| sequence >> 31).sum();
    assert!((400..600).contains(&high_bits), "{high_bits} of 1000 in the upper half");
}

#[test]
fn a_syn_looks_like_that_of_any_other_stack() {
    for (remote, max_segment_size) in [(SERVER, 1460), (SERVER_V6, 1440)] {
        let run = check_by(schedule_of(2, secs(10)), &[remote], silence());
        for (_, syn) in run.syns() {
            assert_eq!(syn.destination, remote);
            assert_eq!(syn.flags, Flags::SYN);
            assert_eq!(syn.window, 64_240);
            assert_eq!(syn.acknowledgement.0, 0);
            let options = Options { max_segment_size: Some(max_segment_size), ..syn.options };
            assert_eq!(syn.options, options);
            assert!(syn.options.sack_permitted && syn.options.window_scale.is_some());
        }
    }
}

/// An answer that arrives exactly when the last timeout ends still counts.
#[test]
fn an_answer_in_the_last_moment_is_in_time() {
    let open = check(on_syn(|number, syn| match number {
        2 => vec![(secs(4), syn_ack(syn))],
        _ => vec![],
    }));
    assert_eq!(open.verdict().state(), PortState::Open);
    let late = check(on_syn(|number, syn| match number {
        2 => vec![(secs(4) + Duration::from_nanos(1), syn_ack(syn))],
        _ => vec![],
    }));
    assert_eq!(late.verdict().state(), PortState::Filtered);
}

#[test]
fn nothing_to_check_ends_at_once() {
    let run: Run = check_by(schedule_of(2, secs(10)), &[], silence());
    assert!(run.outcomes.is_empty() && run.packets.is_empty());
    assert_eq!(run.end, Duration::ZERO);
}

fn silence() -> impl Network {
    on_syn(|_, _| Vec::new())
}

/// Asserts equality up to the sum of rounding errors of nanoseconds.
fn assert_about(time: Duration, seconds: f64) {
    assert!((time.as_secs_f64() - seconds).abs() < 5e-6, "{time:?} should be {seconds} s");
}
