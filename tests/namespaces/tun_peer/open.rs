//! True answers of servers: prompt, slow, late, repeated, from unusual stacks.

use std::time::Duration;

use crate::support::tun::{Family, in_both_families};
use lab::Verdict;

use super::answer::{ACK, Answer, FIN, PSH, RST, URG};
use super::icmp::final_errors;
use super::scenario::{Injection, Scenario, Story, at_once, back_to_back, to_first};
use super::sent::Sent;

/// The second attempt leaves 0.5 s after the first, the third a second later, and the verdict
/// follows after two more.
pub(super) const THREE_TRIES: &[&str] = &["-t", "3.5"];

in_both_families!(
    an_open_port_gets_exactly_one_rst,
    a_closed_port_gets_nothing_more,
    a_silent_peer_is_filtered_after_every_attempt,
    a_slow_answer_shows_in_the_round_trip_time,
    a_pause_of_the_program_shows_in_no_round_trip_time,
    late_syn_ack_counts_and_gets_its_rst,
    late_rst_ack_counts,
    an_answer_to_a_syn_that_was_sent_twice_gives_no_round_trip_time,
    an_answer_to_a_fresh_syn_has_its_own_round_trip_time,
    the_answer_to_the_last_attempt_counts,
    syn_acks_to_two_attempts_each_get_their_rst,
    a_repeated_syn_ack_gets_another_rst,
    every_syn_ack_of_a_burst_gets_its_rst,
    a_syn_ack_beside_a_refusal_gets_its_rst,
    a_syn_ack_with_an_end_right_behind_it_is_open,
    a_syn_ack_with_hop_limit_255_gets_one_rst,
    a_window_of_zero_is_open,
    a_syn_ack_without_options_is_open,
    a_syn_ack_with_every_option_is_open,
    a_syn_ack_that_carries_data_is_open,
    a_syn_ack_that_asks_to_push_is_open,
    a_syn_ack_with_any_sequence_number_gets_its_rst,
);

fn an_open_port_gets_exactly_one_rst(family: Family) {
    let story = Scenario::new(family).on_syn(to_first(Sent::syn_ack)).run();
    assert_open_at_once(&story);
    assert_eq!(story.verdict().status, "OK");
}

fn a_closed_port_gets_nothing_more(family: Family) {
    let story = Scenario::new(family).on_syn(to_first(Sent::rst_ack)).run();
    story.assert_verdict("closed", 1, 2);
    story.assert_sent(&["SYN"]);
    assert_eq!(story.verdict().reason, "RST+ACK");
    assert_eq!(story.verdict().status, "CRITICAL");
}

fn a_silent_peer_is_filtered_after_every_attempt(family: Family) {
    let story = Scenario::new(family).options(&["-t", "0.7"]).run();
    story.assert_verdict("filtered", 3, 2);
    story.assert_sent(&["SYN", "SYN", "SYN"]);
    story.assert_silence();
    assert!(story.verdict().rtt.is_none(), "{story:#?}");
}

fn a_slow_answer_shows_in_the_round_trip_time(family: Family) {
    let delay = Duration::from_millis(100);
    let story = Scenario::new(family)
        .by_the_real_clock()
        .on_syn(move |syns| match syns {
            [first] => vec![Injection::from(first.syn_ack()).after(delay)],
            _ => Vec::new(),
        })
        .run();
    assert_open_at_once(&story);
    let round_trip = story.verdict().rtt.expect("open has a time");
    assert!(round_trip >= delay.as_secs_f64(), "{story:#?}");
    assert!(round_trip <= story.outcome.elapsed.as_secs_f64(), "{story:#?}");
}

fn a_pause_of_the_program_shows_in_no_round_trip_time(family: Family) {
    let (delay, pause) = (Duration::from_millis(250), Duration::from_millis(1500));
    let answers: [fn(&Sent, Family) -> Injection; 3] = [
        |syn, _| syn.syn_ack().into(),
        |syn, _| syn.rst_ack().into(),
        |syn, family| {
            let (kind, code, _) = final_errors(family)[0];
            syn.icmp(family.router(), kind, code).into()
        },
    ];
    for answer in answers {
        let story = Scenario::new(family)
            .by_the_real_clock()
            .options(&["--retries", "0"])
            .on_syn(to_first(move |syn| answer(syn, family).after(delay).before_a_pause(pause)))
            .run();
        assert_no_pause(&story.verdict(), delay, pause);
    }
}

/// Asserts that the round-trip time is that of an answer `delay` after the SYN, although the
/// program was then stopped for `pause`.
#[track_caller]
pub(crate) fn assert_no_pause(verdict: &Verdict, delay: Duration, pause: Duration) {
    let round_trip = Duration::from_secs_f64(verdict.rtt.expect("an answer has a time"));
    assert!(round_trip >= delay, "{verdict:?}");
    // The rest is the start and the end of the program.
    assert!(round_trip + pause <= verdict.elapsed, "{verdict:?}");
}

fn late_syn_ack_counts_and_gets_its_rst(family: Family) {
    let story = answer_first_when_second_is_sent(family, Sent::syn_ack);
    story.assert_verdict("open", 2, 0);
    story.assert_sent(&["SYN", "SYN", "RST"]);
    assert_reset(story.resets()[0], &story.syns()[0].syn_ack());
}

fn late_rst_ack_counts(family: Family) {
    let story = answer_first_when_second_is_sent(family, Sent::rst_ack);
    story.assert_verdict("closed", 2, 2);
    story.assert_sent(&["SYN", "SYN"]);
}

/// It is unknown which of the two was answered (Karn's algorithm).
fn an_answer_to_a_syn_that_was_sent_twice_gives_no_round_trip_time(family: Family) {
    let story = answer_first_when_second_is_sent(family, Sent::syn_ack);
    assert_eq!(story.syns()[0].packet[40..], story.syns()[1].packet[40..], "the same segment");
    assert_eq!(story.verdict().rtt, None, "{story:#?}");
}

fn an_answer_to_a_fresh_syn_has_its_own_round_trip_time(family: Family) {
    let story = Scenario::new(family)
        .options(THREE_TRIES)
        .on_syn(|syns| match syns {
            [_, _, third] => vec![third.syn_ack().into()],
            _ => Vec::new(),
        })
        .run();
    story.assert_verdict("open", 3, 0);
    assert_ne!(story.syns()[2].source_port, story.syns()[1].source_port);
    assert!(story.verdict().rtt.is_some(), "{story:#?}");
}

fn the_answer_to_the_last_attempt_counts(family: Family) {
    let story = Scenario::new(family)
        .options(THREE_TRIES)
        .on_syn(|syns| match syns {
            [_, _, third] => vec![third.syn_ack().into()],
            _ => Vec::new(),
        })
        .run();
    story.assert_verdict("open", 3, 0);
    story.assert_sent(&["SYN", "SYN", "SYN", "RST"]);
    assert_reset(story.resets()[0], &story.syns()[2].syn_ack());
}

fn syn_acks_to_two_attempts_each_get_their_rst(family: Family) {
    let story = Scenario::new(family)
        .options(THREE_TRIES)
        .on_syn(|syns| match syns {
            [first, second] => vec![at_once(&[first.syn_ack(), second.syn_ack()])],
            _ => Vec::new(),
        })
        .run();
    story.assert_verdict("open", 2, 0);
    story.assert_sent(&["SYN", "SYN", "RST", "RST"]);
    let (syns, resets) = (story.syns(), story.resets());
    assert_reset(resets[0], &syns[0].syn_ack());
    assert_reset(resets[1], &syns[1].syn_ack());
}

fn a_repeated_syn_ack_gets_another_rst(family: Family) {
    let story = Scenario::new(family)
        .on_syn(|syns| match syns {
            [first] => vec![at_once(&[first.syn_ack(), first.syn_ack()])],
            _ => Vec::new(),
        })
        .run();
    story.assert_verdict("open", 1, 0);
    story.assert_sent(&["SYN", "RST", "RST"]);
    for reset in story.resets() {
        assert_reset(reset, &story.syns()[0].syn_ack());
    }
}

fn every_syn_ack_of_a_burst_gets_its_rst(family: Family) {
    const BURST: usize = 200;
    let story = Scenario::new(family)
        .on_syn(|syns| match syns {
            [first] => vec![at_once(&vec![first.syn_ack(); BURST])],
            _ => Vec::new(),
        })
        .run();
    story.assert_verdict("open", 1, 0);
    assert_eq!(story.resets().len(), BURST);
}

fn a_syn_ack_beside_a_refusal_gets_its_rst(family: Family) {
    let story = Scenario::new(family)
        .on_syn(|syns| match syns {
            [first] => vec![at_once(&[first.rst_ack(), first.syn_ack()])],
            _ => Vec::new(),
        })
        .run();
    story.assert_verdict("closed", 1, 2);
    story.assert_sent(&["SYN", "RST"]);
    assert_reset(story.resets()[0], &story.syns()[0].syn_ack());
}

/// A segment with hop limit 255 reaches the listening socket of the reserved port, and the kernel
/// answers it. The program must not answer again.
fn a_syn_ack_with_an_end_right_behind_it_is_open(family: Family) {
    for end in ENDS {
        for stopped in [false, true] {
            let script = to_first(move |syn| with_an_end(syn, end, stopped));
            let story = Scenario::new(family).on_syn(script).run();
            story.assert_verdict("open", 1, 0);
            assert_eq!(story.verdict().reason, "SYN+ACK");
        }
    }
}

/// What a server that ends the connection at once sends after its SYN+ACK.
pub(crate) const ENDS: [fn(&Sent) -> Answer; 3] = [
    |syn| syn.rst_ack(),
    |syn| Answer { flags: RST, acknowledgement: 0, ..syn.rst_ack() },
    |syn| Answer { flags: FIN | ACK, options: Vec::new(), ..syn.syn_ack() },
];

/// A SYN+ACK and an end right behind it.
pub(crate) fn with_an_end(syn: &Sent, end: fn(&Sent) -> Answer, stopped: bool) -> Injection {
    let syn_ack = syn.syn_ack();
    let end = Answer { sequence: syn_ack.sequence.wrapping_add(1), ..end(syn) };
    let both = back_to_back([syn_ack.packet(), end.packet()]);
    if stopped { both.at_once() } else { both }
}

fn a_syn_ack_with_hop_limit_255_gets_one_rst(family: Family) {
    let neighbour = |syn: &Sent| Answer { hop_limit: 255, ..syn.syn_ack() };
    // With `--dscp`, which the kernel's RST would lack, the program sends the RST itself.
    for options in [&[][..], &["--dscp", "46"]] {
        let story = Scenario::new(family).options(options).on_syn(to_first(neighbour)).run();
        assert_open_at_once(&story);
    }

    let story = Scenario::new(family)
        .options(THREE_TRIES)
        .on_syn(move |syns| match syns {
            [first, second] => {
                vec![at_once(&[neighbour(first), neighbour(second), neighbour(second)])]
            }
            _ => Vec::new(),
        })
        .run();
    story.assert_verdict("open", 2, 0);
    story.assert_sent(&["SYN", "SYN", "RST", "RST", "RST"]);
}

fn a_window_of_zero_is_open(family: Family) {
    assert_opens(family, |syn| Answer { window: 0, ..syn.syn_ack() });
}

fn a_syn_ack_without_options_is_open(family: Family) {
    assert_opens(family, |syn| Answer { options: Vec::new(), ..syn.syn_ack() });
    assert_opens(family, |syn| Answer { options: Vec::new(), window: 0, ..syn.syn_ack() });
}

fn a_syn_ack_with_every_option_is_open(family: Family) {
    let mss = [2, 4, 0x05, 0xb4];
    let window_scale = [1, 3, 3, 14];
    let sack_permitted = [4, 2];
    let timestamps = [8, 10, 0, 0, 0, 1, 0, 0, 0, 0];
    let fast_open_cookie = [34, 10, 1, 2, 3, 4, 5, 6, 7, 8];
    let experiment = [254, 6, 0xca, 0xfe, 0, 0];
    let parts: [&[u8]; 6] =
        [&mss, &window_scale, &sack_permitted, &timestamps, &fast_open_cookie, &experiment];
    let options = parts.concat();
    assert_opens(family, move |syn| Answer { options: options.clone(), ..syn.syn_ack() });
}

fn a_syn_ack_that_carries_data_is_open(family: Family) {
    assert_opens(family, |syn| Answer { payload: b"220 mail ESMTP\r\n".to_vec(), ..syn.syn_ack() });
    assert_opens(family, |syn| Answer { payload: vec![0x55; 1400], ..syn.syn_ack() });
}

fn a_syn_ack_that_asks_to_push_is_open(family: Family) {
    assert_opens(family, |syn| Answer { flags: syn.syn_ack().flags | PSH | URG, ..syn.syn_ack() });
}

fn a_syn_ack_with_any_sequence_number_gets_its_rst(family: Family) {
    for sequence in [0, 1, u32::MAX] {
        assert_opens(family, move |syn| Answer { sequence, ..syn.syn_ack() });
    }
}

/// Asserts that this answer, prompt and alone, makes the port open.
#[track_caller]
fn assert_opens(family: Family, answer: impl Fn(&Sent) -> Answer + Send + 'static) {
    assert_open_at_once(&Scenario::new(family).on_syn(to_first(answer)).run());
}

/// Asserts that the verdict is open after one SYN, and that nothing else was sent but its RST.
#[track_caller]
pub(super) fn assert_open_at_once(story: &Story) {
    story.assert_verdict("open", 1, 0);
    story.assert_sent(&["SYN", "RST"]);
    assert_eq!(story.verdict().reason, "SYN+ACK");
    assert_reset(story.resets()[0], &story.syns()[0].syn_ack());
}

/// Asserts RFC 9293 §3.5.2: the RST takes its sequence number from the acknowledgement that it
/// answers.
#[track_caller]
pub(super) fn assert_reset(reset: &Sent, answer: &Answer) {
    let expected = (answer.destination_port, answer.source_port, answer.acknowledgement);
    assert_eq!((reset.source_port, reset.destination_port, reset.sequence), expected);
}

/// A script that answers the first SYN when the second has left.
fn answer_first_when_second_is_sent(
    family: Family,
    answer: impl Fn(&Sent) -> Answer + Send + 'static,
) -> Story {
    Scenario::new(family)
        .options(THREE_TRIES)
        .on_syn(move |syns| match syns {
            [first, _] => vec![answer(first).into()],
            _ => Vec::new(),
        })
        .run()
}
