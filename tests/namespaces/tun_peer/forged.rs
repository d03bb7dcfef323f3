//! Segments that prove nothing: each alone leaves the port filtered, and none hides the true answer
//! that follows it.

use std::iter;
use std::process::Command;

use crate::support::tun::{Family, in_both_families};
use lab::halfopen_path;

use super::answer::{ACK, Answer, FIN, PSH, RST, SYN, URG};
use super::open::assert_open_at_once;
use super::scenario::{Injection, PORT, Scenario, to_each};
use super::sent::Sent;

in_both_families!(
    a_forged_answer_to_every_attempt_is_ignored,
    a_forged_answer_before_the_true_one_is_ignored,
    ignored_answers_are_counted_for_the_curious,
    a_flood_of_forgeries_hides_nothing,
    an_answer_to_a_port_that_was_never_ours_is_ignored,
);

type Forgery = fn(&Sent, Family) -> Answer;

/// Forged answers, each with one difference from the true one.
const FORGERIES: &[(&str, Forgery)] = &[
    ("SYN+ACK one short from another address", |syn, family| Answer {
        source: family.stranger(),
        acknowledgement: syn.sequence,
        ..syn.syn_ack()
    }),
    ("SYN+ACK one too far from another port", |syn, _| Answer {
        source_port: PORT + 1,
        acknowledgement: syn.sequence.wrapping_add(2),
        ..syn.syn_ack()
    }),
    ("RST+ACK from another address", |syn, family| Answer {
        source: family.stranger(),
        ..syn.rst_ack()
    }),
    ("RST+ACK from another port", |syn, _| Answer { source_port: PORT + 1, ..syn.rst_ack() }),
    ("RST+ACK one short", |syn, _| Answer { acknowledgement: syn.sequence, ..syn.rst_ack() }),
    ("RST+ACK one too far", |syn, _| Answer {
        acknowledgement: syn.sequence.wrapping_add(2),
        ..syn.rst_ack()
    }),
    ("RST+ACK half a world away", |syn, _| Answer {
        acknowledgement: syn.sequence.wrapping_add(1 << 31),
        ..syn.rst_ack()
    }),
    ("RST+ACK acknowledging 0", |syn, _| Answer { acknowledgement: 0, ..syn.rst_ack() }),
    ("RST+ACK acknowledging bytes in the wrong order", |syn, _| Answer {
        acknowledgement: syn.sequence.wrapping_add(1).swap_bytes(),
        ..syn.rst_ack()
    }),
    ("bare RST", |syn, _| Answer { acknowledgement: 0, flags: RST, ..syn.rst_ack() }),
    ("bare RST with the right number in the field that does not count", |syn, _| Answer {
        flags: RST,
        ..syn.rst_ack()
    }),
    ("bare RST with our own sequence number", |syn, _| Answer {
        sequence: syn.sequence.wrapping_add(1),
        acknowledgement: 0,
        flags: RST,
        ..syn.rst_ack()
    }),
    ("SYN+RST+ACK", |syn, _| Answer { flags: SYN | RST | ACK, ..syn.syn_ack() }),
    ("SYN+FIN+ACK", |syn, _| Answer { flags: SYN | FIN | ACK, ..syn.syn_ack() }),
    ("SYN alone", |syn, _| Answer { flags: SYN, ..syn.syn_ack() }),
    ("SYN+FIN", |syn, _| Answer { flags: SYN | FIN, ..syn.syn_ack() }),
    ("SYN+RST", |syn, _| Answer { flags: SYN | RST, ..syn.syn_ack() }),
    ("FIN alone", |syn, _| Answer { flags: FIN, ..syn.syn_ack() }),
    ("PSH+URG", |syn, _| Answer { flags: PSH | URG, ..syn.syn_ack() }),
    ("no flags at all", |syn, _| Answer { flags: 0, ..syn.syn_ack() }),
    ("all flags", |syn, _| Answer { flags: 0xff, ..syn.syn_ack() }),
    ("our own SYN, reflected", |syn, _| Answer {
        sequence: syn.sequence,
        acknowledgement: 0,
        flags: SYN,
        ..syn.syn_ack()
    }),
];

fn a_forged_answer_to_every_attempt_is_ignored(family: Family) {
    for (name, forge) in FORGERIES {
        let story = Scenario::new(family)
            .options(&["-t", "0.3", "--retries", "1"])
            .on_syn(to_each(move |syn| forge(syn, family)))
            .run();
        println!("{name}: {}", story.outcome.stdout);
        story.assert_verdict("filtered", 2, 2);
        story.assert_sent(&["SYN", "SYN"]);
        story.assert_silence();
    }
}

fn a_forged_answer_before_the_true_one_is_ignored(family: Family) {
    for (name, forge) in FORGERIES {
        let story = Scenario::new(family)
            .on_syn(move |syns| match syns {
                [first] => vec![forge(first, family).into(), first.syn_ack().into()],
                _ => Vec::new(),
            })
            .run();
        println!("{name}: {}", story.outcome.stdout);
        assert_open_at_once(&story);
    }
}

fn ignored_answers_are_counted_for_the_curious(family: Family) {
    let story = Scenario::new(family)
        .options(&["-v", "-t", "0.3", "--retries", "1"])
        .on_syn(|syns| {
            let syn = syns.last().expect("a SYN woke the script");
            vec![
                Answer { flags: RST, ..syn.rst_ack() }.into(),
                Answer { acknowledgement: syn.sequence, ..syn.rst_ack() }.into(),
                Answer { flags: SYN, ..syn.syn_ack() }.into(),
            ]
        })
        .run();
    story.assert_verdict("filtered", 2, 2);
    // JSON has no place for details, so they are on stderr.
    for cause in ["RST without ACK", "wrong acknowledgement", "SYN without ACK"] {
        let count = format!("2 × {cause}");
        assert!(story.outcome.stderr.contains(&count), "{count}: {story:#?}");
    }
}

fn a_flood_of_forgeries_hides_nothing(family: Family) {
    // Few enough to fit into any socket buffer.
    const FLOOD: usize = 100;
    let story = Scenario::new(family)
        .on_syn(|syns| match syns {
            [first] => {
                let lie = Answer { acknowledgement: first.sequence, ..first.rst_ack() };
                let flood = iter::repeat_n(lie, FLOOD).map(Injection::from);
                flood.chain([first.syn_ack().into()]).collect()
            }
            _ => Vec::new(),
        })
        .run();
    assert_open_at_once(&story);
}

/// The kernel answers for an unused port (RFC 9293 §3.10.7.1), not the program.
fn an_answer_to_a_port_that_was_never_ours_is_ignored(family: Family) {
    let (refused, sent) = Scenario::new(family)
        .on_syn(|syns| match syns {
            [first] => vec![
                Answer { destination_port: 9, ..first.syn_ack() }.into(),
                first.rst_ack().into(),
            ],
            _ => Vec::new(),
        })
        .play(|namespace, _| {
            let mut command = Command::new(halfopen_path());
            command.args(["-o", "json", &family.peer().to_string(), &PORT.to_string()]);
            namespace.outcome(command)
        });
    assert_eq!(refused.verdict().ending(), (Some("closed"), 2), "{refused:#?}");
    let [syn, kernel] = &sent[..] else { panic!("{sent:#?}") };
    assert!(syn.is_syn());
    assert_eq!((kernel.flag_names().as_str(), kernel.source_port), ("RST", 9));
}
