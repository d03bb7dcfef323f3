//! Headers that are unusual, truncated or wrong: the program never crashes, and no true answer that
//! follows is lost.

use crate::support::tun::{Family, in_both_families};

use super::answer::Answer;
use super::open::assert_open_at_once;
use super::scenario::{Scenario, to_each, to_first};
use super::sent::Sent;

in_both_families!(
    ip_options_in_the_answer_are_skipped,
    malformed_options_do_not_hide_a_valid_header,
    a_header_that_is_truncated_or_has_a_wrong_length_is_ignored,
    a_malformed_answer_before_the_true_one_is_ignored,
);

fn ip_options_in_the_answer_are_skipped(family: Family) {
    let open = move |syn: &Sent| Answer { ip_options: ip_options(family), ..syn.syn_ack() };
    assert_open_at_once(&Scenario::new(family).on_syn(to_first(open)).run());

    let closed = move |syn: &Sent| Answer { ip_options: ip_options(family), ..syn.rst_ack() };
    let story = Scenario::new(family).on_syn(to_first(closed)).run();
    story.assert_verdict("closed", 1, 2);
    story.assert_sent(&["SYN"]);
}

fn malformed_options_do_not_hide_a_valid_header(family: Family) {
    const LIES: &[(&str, &[u8])] = &[
        ("MSS of length 0", &[2, 0, 5, 0xb4]),
        ("MSS of length 1", &[2, 1, 5, 0xb4]),
        ("MSS of length 2", &[2, 2, 0, 0]),
        ("MSS of length 3", &[2, 3, 5, 0]),
        ("MSS that overruns the header", &[1, 1, 2, 4]),
        ("an option of length 255", &[2, 255, 5, 0xb4]),
        ("an unknown option of length 0", &[253, 0, 0, 0]),
        ("an unknown option of length 1", &[253, 1, 0, 0]),
        ("a kind without its length at the very end", &[1, 1, 1, 3]),
        ("the longest header, all of it overrun", &[8; 40]),
        ("forty times nothing", &[1; 40]),
        ("a window shift of 255", &[3, 3, 255, 0]),
    ];
    for &(name, lie) in LIES {
        let story = Scenario::new(family)
            .on_syn(to_first(move |syn| Answer { options: lie.to_vec(), ..syn.syn_ack() }))
            .run();
        println!("{name}: {}", story.outcome.stdout);
        assert_open_at_once(&story);
    }
}

type Malformed = (&'static str, fn(&Sent) -> Answer);

/// Each would be a valid SYN+ACK if its header were complete.
const MALFORMED: &[Malformed] = &[
    ("no TCP header at all", |syn| Answer { cut_to: Some(0), ..syn.syn_ack() }),
    ("one byte", |syn| Answer { cut_to: Some(1), ..syn.syn_ack() }),
    ("the ports alone", |syn| Answer { cut_to: Some(4), ..syn.syn_ack() }),
    ("cut behind the acknowledgement number", |syn| Answer { cut_to: Some(12), ..syn.syn_ack() }),
    ("cut behind the flags", |syn| Answer { cut_to: Some(14), ..syn.syn_ack() }),
    ("one byte short", |syn| Answer { cut_to: Some(19), options: Vec::new(), ..syn.syn_ack() }),
    ("cut within its options", |syn| Answer { cut_to: Some(24), ..syn.syn_ack() }),
    ("a data offset of 0", |syn| Answer { data_offset: Some(0), ..syn.syn_ack() }),
    ("a data offset of 16, within the header", |syn| Answer {
        data_offset: Some(16),
        ..syn.syn_ack()
    }),
    ("a data offset of 60, beyond the end", |syn| Answer {
        data_offset: Some(60),
        ..syn.syn_ack()
    }),
];

fn a_header_that_is_truncated_or_has_a_wrong_length_is_ignored(family: Family) {
    for (name, malform) in MALFORMED {
        let story = Scenario::new(family)
            .options(&["-t", "0.3", "--retries", "1"])
            .on_syn(to_each(malform))
            .run();
        println!("{name}: {}", story.outcome.stdout);
        story.assert_verdict("filtered", 2, 2);
        story.assert_sent(&["SYN", "SYN"]);
    }
}

fn a_malformed_answer_before_the_true_one_is_ignored(family: Family) {
    for (name, malform) in MALFORMED {
        let story = Scenario::new(family)
            .on_syn(|syns| match syns {
                [first] => vec![malform(first).into(), first.syn_ack().into()],
                _ => Vec::new(),
            })
            .run();
        println!("{name}: {}", story.outcome.stdout);
        assert_open_at_once(&story);
    }
}

/// IPv4: no-operations and a full record route (RFC 791 §3.1). IPv6: a padded destination options
/// header before the TCP header (RFC 8200 §4.6).
pub(super) fn ip_options(family: Family) -> Vec<u8> {
    const TCP: u8 = 6;
    match family {
        Family::V4 => vec![1, 7, 7, 8, 198, 18, 1, 2, 1, 1, 1, 0],
        Family::V6 => vec![TCP, 0, 1, 4, 0, 0, 0, 0],
    }
}
