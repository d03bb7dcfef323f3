//! Answers that are lost because the receive queue of this machine is full.

use halfopen::event::Event;
use halfopen::verdict::{EndOfRun, NoVerdict, PortState};

use crate::network::{
    Conditions, check_all, check_under, millis, on_syn, remotes, rst_ack, schedule_of, secs,
    syn_ack,
};

/// Silence proves nothing while our own queue loses answers.
#[test]
fn silence_that_spans_a_loss_costs_one_more_syn() {
    for lost_at in [millis(3001), millis(5000), millis(6999)] {
        let run = check_all(
            &remotes(1),
            on_syn(move |number, _| match number {
                0 => vec![(lost_at, Event::SegmentsLost(1))],
                _ => vec![],
            }),
        );
        assert_eq!(run.syn_times(), [0, 1000, 3000, 7000], "loss at {lost_at:?}");
        let verdict = run.verdict();
        assert_eq!((verdict.state(), verdict.attempts), (PortState::Filtered, 4));
        assert!(run.end >= secs(10), "the last SYN was waited for until {:?}", run.end);
    }
}

#[test]
fn the_answer_that_was_lost_is_found() {
    let run = check_all(
        &remotes(1),
        on_syn(|number, syn| match number {
            0 => vec![(millis(3500), Event::SegmentsLost(1))],
            3 => vec![(millis(20), syn_ack(syn))],
            _ => vec![],
        }),
    );
    let verdict = run.verdict();
    assert_eq!(verdict.state(), PortState::Open);
    let times = (verdict.response_time, verdict.round_trip());
    assert_eq!((verdict.attempts, times), (4, (Some(millis(4020)), None)));
    assert_eq!(run.syn_times(), [0, 1000, 3000, 7000]);
}

#[test]
fn a_loss_before_the_last_syn_is_made_up_for_by_that_one() {
    let run = check_all(
        &remotes(1),
        on_syn(|number, _| match number {
            0 => vec![(millis(2999), Event::SegmentsLost(1))],
            _ => vec![],
        }),
    );
    assert_eq!(run.syn_times(), [0, 1000, 3000]);
    assert_eq!((run.verdict().state(), run.end), (PortState::Filtered, secs(7)));
}

#[test]
fn a_loss_does_not_touch_what_has_an_answer() {
    let run = check_all(
        &remotes(1),
        on_syn(|_, syn| vec![(millis(5), Event::SegmentsLost(9)), (millis(20), rst_ack(syn))]),
    );
    assert_eq!((run.verdict().state(), run.verdict().attempts), (PortState::Closed, 1));
}

/// A queue that is never empty must not keep a target waiting for ever.
#[test]
fn a_machine_that_loses_answers_all_the_time_knows_nothing_at_its_deadline() {
    let conditions = Conditions { deadline: secs(60), ..Conditions::of(schedule_of(2, secs(10))) };
    let run = check_under(
        conditions,
        &remotes(3),
        on_syn(|_, _| (0..80).map(|tick| (millis(100 * tick), Event::SegmentsLost(1))).collect()),
    );
    assert_eq!(run.outcomes.len(), 3);
    for (_, outcome) in &run.outcomes {
        assert_eq!(outcome.as_ref().unwrap_err(), &NoVerdict::Unfinished(EndOfRun::OutOfTime));
    }
    assert_eq!(run.end, secs(60));
}
