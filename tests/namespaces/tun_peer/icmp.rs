//! ICMP errors of routers and hosts: those that quote our SYN count, and mean what RFC 792, RFC
//! 1812 and RFC 4443 say.

use smoltcp::wire::TcpSeqNumber;

use crate::support::tun::{Family, in_both_families};

use super::answer::IcmpError;
use super::open::{THREE_TRIES, assert_open_at_once, assert_reset};
use super::scenario::{PORT, Scenario, Story, back_to_back, to_each, to_first};
use super::sent::Sent;

in_both_families!(
    a_final_error_ends_the_check_at_once,
    a_transient_error_does_not_end_the_other_attempts,
    an_error_for_every_attempt_is_the_verdict_after_the_last,
    an_error_that_says_nothing_about_the_port_is_ignored,
    an_error_about_another_segment_is_ignored,
    an_error_from_the_peer_itself_counts,
    the_shortest_quotation_is_enough,
    a_late_error_about_an_earlier_attempt_counts,
    an_error_after_the_answer_to_an_earlier_attempt_changes_nothing,
    an_error_followed_by_silence_is_the_verdict,
    an_error_right_behind_a_syn_ack_changes_nothing,
    an_error_right_behind_a_refusal_changes_nothing,
    an_error_that_was_queued_together_with_a_syn_ack_changes_nothing,
);

/// Type, code, and the state that it means.
pub(crate) type Meaning = (u8, u8, &'static str);

pub(crate) fn final_errors(family: Family) -> &'static [Meaning] {
    match family {
        Family::V4 => {
            &[(3, 3, "closed"), (3, 9, "filtered"), (3, 10, "filtered"), (3, 13, "filtered")]
        }
        Family::V6 => {
            &[(1, 4, "closed"), (1, 1, "filtered"), (1, 5, "filtered"), (1, 6, "filtered")]
        }
    }
}

pub(crate) fn transient_errors(family: Family) -> &'static [Meaning] {
    match family {
        Family::V4 => &[
            (3, 0, "unreachable"),
            (3, 1, "unreachable"),
            (3, 5, "unreachable"),
            (3, 6, "unreachable"),
            (3, 7, "unreachable"),
            (3, 8, "unreachable"),
            (3, 11, "unreachable"),
            (3, 12, "unreachable"),
            (3, 14, "unreachable"),
            (3, 15, "unreachable"),
            (11, 0, "filtered"),
        ],
        Family::V6 => &[
            (1, 0, "unreachable"),
            (1, 2, "unreachable"),
            (1, 3, "unreachable"),
            (1, 7, "unreachable"),
            (3, 0, "filtered"),
        ],
    }
}

/// Fragmentation needed, reassembly time exceeded, source quench, parameter problems, codes that
/// are undefined.
pub(crate) fn meaningless_errors(family: Family) -> &'static [(u8, u8)] {
    match family {
        Family::V4 => &[(3, 4), (3, 16), (3, 255), (11, 1), (4, 0), (12, 0)],
        Family::V6 => &[(1, 8), (1, 255), (2, 0), (3, 1), (4, 0)],
    }
}

fn a_final_error_ends_the_check_at_once(family: Family) {
    for &(kind, code, state) in final_errors(family) {
        let story = Scenario::new(family)
            .on_syn(to_first(move |syn| syn.icmp(family.router(), kind, code)))
            .run();
        println!("type {kind} code {code}: {}", story.outcome.stdout);
        story.assert_verdict(state, 1, 2);
        story.assert_sent(&["SYN"]);
        assert_names_the_router(&story, family);
    }
}

fn a_transient_error_does_not_end_the_other_attempts(family: Family) {
    for &(kind, code, _) in transient_errors(family) {
        let story = Scenario::new(family)
            .options(THREE_TRIES)
            .on_syn(move |syns| match syns {
                [first] => vec![first.icmp(family.router(), kind, code).into()],
                [_, second] => vec![second.syn_ack().into()],
                _ => Vec::new(),
            })
            .run();
        println!("type {kind} code {code}: {}", story.outcome.stdout);
        story.assert_verdict("open", 2, 0);
        story.assert_sent(&["SYN", "SYN", "RST"]);
        assert_reset(story.resets()[0], &story.syns()[1].syn_ack());
    }
}

fn an_error_for_every_attempt_is_the_verdict_after_the_last(family: Family) {
    for &(kind, code, state) in transient_errors(family) {
        let story = Scenario::new(family)
            .options(&["-t", "0.35"])
            .on_syn(to_each(move |syn| syn.icmp(family.router(), kind, code)))
            .run();
        println!("type {kind} code {code}: {}", story.outcome.stdout);
        story.assert_verdict(state, 3, 2);
        story.assert_sent(&["SYN", "SYN", "SYN"]);
        assert_names_the_router(&story, family);
    }
}

fn an_error_that_says_nothing_about_the_port_is_ignored(family: Family) {
    for &(kind, code) in meaningless_errors(family) {
        let story = Scenario::new(family)
            .options(&["-t", "0.3", "--retries", "1"])
            .on_syn(to_each(move |syn| syn.icmp(family.router(), kind, code)))
            .run();
        println!("type {kind} code {code}: {}", story.outcome.stdout);
        story.assert_verdict("filtered", 2, 2);
        story.assert_sent(&["SYN", "SYN"]);
        story.assert_silence();
    }
}

fn an_error_about_another_segment_is_ignored(family: Family) {
    type Misquotation = fn(IcmpError, Family) -> IcmpError;
    let misquotations: [(&str, Misquotation); 6] = [
        ("sequence number one less", |error, _| {
            error.misquoted(|tcp| tcp.set_seq_number(tcp.seq_number() - 1))
        }),
        ("sequence number one more", |error, _| {
            error.misquoted(|tcp| tcp.set_seq_number(tcp.seq_number() + 1))
        }),
        ("sequence number 0", |error, _| {
            error.misquoted(|tcp| tcp.set_seq_number(TcpSeqNumber(0)))
        }),
        ("another source port", |error, _| {
            error.misquoted(|tcp| tcp.set_src_port(tcp.src_port() ^ 1))
        }),
        ("another destination port", |error, _| error.misquoted(|tcp| tcp.set_dst_port(PORT + 1))),
        ("another destination", |error, family| error.about_packet_to(family.stranger())),
    ];
    for (name, misquotation) in misquotations {
        for &(kind, code, _) in final_errors(family) {
            let story = Scenario::new(family)
                .options(&["-t", "0.2", "--retries", "0"])
                .on_syn(to_each(move |syn| {
                    misquotation(syn.icmp(family.router(), kind, code), family)
                }))
                .run();
            println!("{name}, type {kind} code {code}: {}", story.outcome.stdout);
            story.assert_verdict("filtered", 1, 2);
            story.assert_sent(&["SYN"]);
            story.assert_silence();
        }
    }
}

fn an_error_from_the_peer_itself_counts(family: Family) {
    let (kind, code, state) = final_errors(family)[0];
    let story =
        Scenario::new(family).on_syn(to_each(move |syn| syn.icmp(family.peer(), kind, code))).run();
    story.assert_verdict(state, 1, 2);
    let reason = story.verdict().reason;
    assert_eq!(reason, format!("ICMP port unreachable from {}", family.peer()));
}

fn the_shortest_quotation_is_enough(family: Family) {
    for &(kind, code, state) in final_errors(family) {
        let story = Scenario::new(family)
            .on_syn(to_first(move |syn| syn.icmp(family.router(), kind, code).quoting_only(8)))
            .run();
        println!("type {kind} code {code}: {}", story.outcome.stdout);
        story.assert_verdict(state, 1, 2);
        story.assert_sent(&["SYN"]);
    }
}

fn a_late_error_about_an_earlier_attempt_counts(family: Family) {
    for &(kind, code, state) in final_errors(family) {
        let story = Scenario::new(family)
            .options(THREE_TRIES)
            .on_syn(move |syns| match syns {
                [first, _] => vec![first.icmp(family.router(), kind, code).into()],
                _ => Vec::new(),
            })
            .run();
        println!("type {kind} code {code}: {}", story.outcome.stdout);
        story.assert_verdict(state, 2, 2);
        story.assert_sent(&["SYN", "SYN"]);
    }
}

fn an_error_after_the_answer_to_an_earlier_attempt_changes_nothing(family: Family) {
    let (kind, code, _) = transient_errors(family)[0];
    let story = Scenario::new(family)
        .options(THREE_TRIES)
        .on_syn(move |syns| match syns {
            [first, second] => {
                vec![second.icmp(family.router(), kind, code).into(), first.syn_ack().into()]
            }
            _ => Vec::new(),
        })
        .run();
    story.assert_verdict("open", 2, 0);
    assert_reset(story.resets()[0], &story.syns()[0].syn_ack());
}

/// It was about one of the SYNs, and says more than silence.
fn an_error_followed_by_silence_is_the_verdict(family: Family) {
    let (kind, code, state) = transient_errors(family)[0];
    let story = Scenario::new(family)
        .options(&["-t", "0.35"])
        .on_syn(to_first(move |syn| syn.icmp(family.router(), kind, code)))
        .run();
    story.assert_verdict(state, 3, 2);
    story.assert_sent(&["SYN", "SYN", "SYN"]);
    assert_names_the_router(&story, family);
}

fn an_error_right_behind_a_syn_ack_changes_nothing(family: Family) {
    for (error, stopped) in errors_behind_a_segment(family) {
        let story = Scenario::new(family)
            .on_syn(to_first(move |syn| {
                let both = back_to_back([syn.syn_ack().packet(), error(syn).packet()]);
                if stopped { both.at_once() } else { both }
            }))
            .run();
        assert_open_at_once(&story);
    }
}

fn an_error_right_behind_a_refusal_changes_nothing(family: Family) {
    for (error, stopped) in errors_behind_a_segment(family) {
        let story = Scenario::new(family)
            .on_syn(to_first(move |syn| {
                let both = back_to_back([syn.rst_ack().packet(), error(syn).packet()]);
                if stopped { both.at_once() } else { both }
            }))
            .run();
        story.assert_verdict("closed", 1, 2);
        assert_eq!(story.verdict().reason, "RST+ACK");
    }
}

/// The kernel does not report which of the two came first. A segment that acknowledges our SYN says
/// more.
fn an_error_that_was_queued_together_with_a_syn_ack_changes_nothing(family: Family) {
    for (error, _) in errors_behind_a_segment(family).filter(|(_, stopped)| *stopped) {
        let story = Scenario::new(family)
            .on_syn(to_first(move |syn| {
                back_to_back([error(syn).packet(), syn.syn_ack().packet()]).at_once()
            }))
            .run();
        assert_open_at_once(&story);
    }
}

/// Final errors about a SYN. Every second one arrives while the program is stopped. There are
/// twenty of each, so that a race is not won by luck.
pub(crate) fn errors_behind_a_segment(
    family: Family,
) -> impl Iterator<Item = (impl Fn(&Sent) -> IcmpError + Copy + Send + 'static, bool)> {
    final_errors(family).iter().cycle().take(20).flat_map(move |&(kind, code, _)| {
        let error = move |syn: &Sent| syn.icmp(family.router(), kind, code);
        [(error, false), (error, true)]
    })
}

#[track_caller]
fn assert_names_the_router(story: &Story, family: Family) {
    let reason = story.verdict().reason;
    assert!(
        reason.starts_with("ICMP ") && reason.ends_with(&format!(" from {}", family.router())),
        "{reason}"
    );
}
