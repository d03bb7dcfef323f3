//! Servers that still hold an old connection on our port, and answer our SYN for it (RFC 9293
//! §3.5.1, RFC 5961 §4).

use std::time::Duration;

use crate::support::tun::{Family, in_both_families};

use super::answer::{ACK, Answer, FIN, PSH};
use super::open::assert_reset;
use super::scenario::{Injection, PORT, Scenario, Story, to_each};
use super::sent::Sent;

/// The acknowledgement number of the server's old connection, which has nothing to do with our SYN.
const OLD_CONNECTION: u32 = 0x0bad_cafe;

in_both_families!(
    an_old_connection_is_reset_and_another_port_tried_at_once,
    an_old_connection_on_every_port_is_stale,
    a_syn_ack_behind_an_old_connection_still_counts,
    an_ack_of_our_very_syn_is_an_old_connection_too,
    an_old_connection_with_hop_limit_255_is_reset_once,
    a_refusal_behind_an_old_connection_is_closed,
    an_ack_from_elsewhere_is_ignored,
    the_rest_of_an_old_connection_is_ignored,
);

fn an_old_connection_is_reset_and_another_port_tried_at_once(family: Family) {
    let story = Scenario::new(family)
        .on_syn(|syns| match syns {
            [first] => vec![first.bare_ack(OLD_CONNECTION).into()],
            [_, second] => vec![second.syn_ack().into()],
            _ => Vec::new(),
        })
        .run();
    story.assert_verdict("open", 2, 0);
    let (syns, resets) = (story.syns(), story.resets());
    assert_eq!((syns.len(), resets.len()), (2, 2), "{story:#?}");
    assert_reset(resets[0], &syns[0].bare_ack(OLD_CONNECTION));
    assert_reset(resets[1], &syns[1].syn_ack());
    assert!(story.sent[0].is_syn() && !story.sent[3].is_syn(), "{story:#?}");
    // The first timeout is 1 s, so a check that waited for its end took longer.
    story.verdict().assert_waited_at_most(0.9);
}

fn an_old_connection_on_every_port_is_stale(family: Family) {
    let story = old_connection_on_every_port(family, |syn| syn.bare_ack(OLD_CONNECTION));
    story.assert_verdict("stale", 3, 2);
    assert_eq!(story.verdict().reason, "ACK without SYN (old connection)");
    let (syns, resets) = (story.syns(), story.resets());
    assert_eq!((syns.len(), resets.len()), (3, 3), "{story:#?}");
    for (reset, syn) in resets.into_iter().zip(syns) {
        assert_reset(reset, &syn.bare_ack(OLD_CONNECTION));
    }
}

/// A bare ACK proves nothing but its endpoints, so the last attempt is still waited for.
fn a_syn_ack_behind_an_old_connection_still_counts(family: Family) {
    let story = Scenario::new(family)
        .options(&["--retries", "0"])
        .on_syn(|syns| match syns {
            [first] => vec![
                first.bare_ack(OLD_CONNECTION).into(),
                Injection::from(first.syn_ack()).after(Duration::from_millis(50)),
            ],
            _ => Vec::new(),
        })
        .run();
    story.assert_verdict("open", 1, 0);
    story.assert_sent(&["SYN", "RST", "RST"]);
    assert_reset(story.resets()[0], &story.syns()[0].bare_ack(OLD_CONNECTION));
    assert_reset(story.resets()[1], &story.syns()[0].syn_ack());
}

fn an_ack_of_our_very_syn_is_an_old_connection_too(family: Family) {
    let story =
        old_connection_on_every_port(family, |syn| syn.bare_ack(syn.sequence.wrapping_add(1)));
    story.assert_verdict("stale", 3, 2);
    assert_eq!((story.syns().len(), story.resets().len()), (3, 3), "{story:#?}");
}

fn an_old_connection_with_hop_limit_255_is_reset_once(family: Family) {
    let story = old_connection_on_every_port(family, |syn| Answer {
        hop_limit: 255,
        ..syn.bare_ack(OLD_CONNECTION)
    });
    story.assert_verdict("stale", 3, 2);
    assert_eq!((story.syns().len(), story.resets().len()), (3, 3), "{story:#?}");
}

fn a_refusal_behind_an_old_connection_is_closed(family: Family) {
    let story = Scenario::new(family)
        .on_syn(|syns| match syns {
            [first] => vec![first.bare_ack(OLD_CONNECTION).into()],
            [_, second] => vec![second.rst_ack().into()],
            _ => Vec::new(),
        })
        .run();
    story.assert_verdict("closed", 2, 2);
    assert_eq!((story.syns().len(), story.resets().len()), (2, 1), "{story:#?}");
}

fn an_ack_from_elsewhere_is_ignored(family: Family) {
    let elsewhere: [fn(&Sent, Family) -> Answer; 2] = [
        |syn, family| Answer { source: family.stranger(), ..syn.bare_ack(OLD_CONNECTION) },
        |syn, _| Answer { source_port: PORT + 1, ..syn.bare_ack(OLD_CONNECTION) },
    ];
    for from in elsewhere {
        let story = Scenario::new(family)
            .options(&["-t", "0.3", "--retries", "1"])
            .on_syn(to_each(move |syn| from(syn, family)))
            .run();
        story.assert_verdict("filtered", 2, 2);
        story.assert_sent(&["SYN", "SYN"]);
    }
}

/// A FIN+ACK says only that the old connection existed. It is no answer to a SYN.
fn the_rest_of_an_old_connection_is_ignored(family: Family) {
    let story = Scenario::new(family)
        .options(&["-t", "0.3", "--retries", "1"])
        .on_syn(to_each(|syn| Answer { flags: FIN | PSH | ACK, ..syn.bare_ack(OLD_CONNECTION) }))
        .run();
    story.assert_verdict("filtered", 2, 2);
    story.assert_sent(&["SYN", "SYN"]);
}

fn old_connection_on_every_port(
    family: Family,
    answer: impl Fn(&Sent) -> Answer + Send + 'static,
) -> Story {
    Scenario::new(family).options(&["-t", "1"]).on_syn(to_each(answer)).run()
}
