//! Equipment that admits a SYN only after its sender has behaved like a TCP, and address
//! translation that has lost its state.

use std::iter;

use lab::{Namespace, halfopen};
use nix::unistd::Pid;

use crate::support::tun::{Family, in_both_families};

use super::answer::Answer;
use super::open::assert_reset;
use super::scenario::{Injection, PORT, Scenario, back_to_back, to_each};
use super::sent::Sent;

in_both_families!(
    a_wrong_syn_ack_is_reset_and_the_next_syn_leaves_at_once,
    in_a_crowd_no_syn_leaves_before_the_rst_that_clears_its_way,
    no_syn_leaves_before_an_rst_that_has_to_wait_for_room,
    wrong_syn_acks_to_every_syn_are_reported,
    a_wrong_syn_ack_with_hop_limit_255_is_reset_once,
    wrong_syn_acks_hide_no_true_answer,
    the_first_syn_of_a_connection_is_dropped_and_its_retransmission_answered,
    without_retries_there_is_no_second_chance,
    a_syn_ack_from_elsewhere_is_reported,
    a_syn_ack_from_elsewhere_hides_no_true_answer,
);

/// The number that equipment acknowledges instead of ours, to see whether an RST with it follows.
const COOKIE: u32 = 0x5afe_5e71;

/// Every wrong acknowledgement.
const WRONG: [fn(u32) -> u32; 6] = [
    |_| COOKIE,
    |_| 0,
    |sequence| sequence,
    |sequence| sequence.wrapping_add(2),
    |sequence| sequence.wrapping_add(1 << 31),
    |sequence| sequence.wrapping_add(1).swap_bytes(),
];

fn wrong(syn: &Sent) -> Answer {
    Answer { acknowledgement: COOKIE, ..syn.syn_ack() }
}

/// RFC 9293 §3.10.7.3: SEQ=SEG.ACK.
fn a_wrong_syn_ack_is_reset_and_the_next_syn_leaves_at_once(family: Family) {
    for acknowledgement in WRONG {
        let wrong = move |syn: &Sent| Answer {
            acknowledgement: acknowledgement(syn.sequence),
            ..syn.syn_ack()
        };
        let story = Scenario::new(family)
            .on_syn(move |syns| match syns {
                [first] => vec![wrong(first).into()],
                [_, second] => vec![second.syn_ack().into()],
                _ => Vec::new(),
            })
            .run();
        story.assert_verdict("open", 2, 0);
        let (syns, resets) = (story.syns(), story.resets());
        assert_eq!((syns.len(), resets.len()), (2, 2), "{story:#?}");
        assert_reset(resets[0], &wrong(syns[0]));
        assert_reset(resets[1], &syns[1].syn_ack());
        assert_ne!(syns[0].source_port, syns[1].source_port, "{story:#?}");
    }
}

/// Equipment that has not seen the RST yet does not admit the next SYN.
fn in_a_crowd_no_syn_leaves_before_the_rst_that_clears_its_way(family: Family) {
    assert_rsts_come_before_syns(family, "2", |_| {});
}

/// Three RSTs in four find no room (`ENOBUFS`), again and again.
fn no_syn_leaves_before_an_rst_that_has_to_wait_for_room(family: Family) {
    assert_rsts_come_before_syns(family, "30", |host| {
        host.nft("table netdev t { chain out { type filter hook egress device tun0 priority 0; tcp flags & (rst | syn) == rst numgen inc mod 4 < 3 drop; }; }");
    });
}

/// Every first SYN gets a wrong SYN+ACK, all at the same time.
fn assert_rsts_come_before_syns(family: Family, timeout: &str, prepare: fn(&Namespace)) {
    const CROWD: u16 = 64;
    let scenario = Scenario::new(family).on_syn(|syns| match syns.len() {
        len if len == usize::from(CROWD) => {
            let answers: Vec<_> = syns.iter().map(|syn| wrong(syn).packet()).collect();
            vec![back_to_back(answers).at_once()]
        }
        len if len > usize::from(CROWD) => vec![syns[len - 1].syn_ack().into()],
        _ => Vec::new(),
    });
    let (_, sent) = scenario.play(|namespace, program| {
        prepare(namespace);
        let (peer, ports) = (family.peer().to_string(), format!("1-{CROWD}"));
        let running = namespace.spawn(halfopen(&["--rate", "0", "-t", timeout, &peer, &ports]));
        program.set(Pid::from_raw(running.child.id().cast_signed())).expect("one program");
        running.wait()
    });
    for port in 1..=CROWD {
        let to_port = sent.iter().filter(|sent| sent.destination_port == port);
        let flags: Vec<_> = to_port.map(Sent::flag_names).collect();
        assert_eq!(flags[..3], ["SYN", "RST", "SYN"], "to port {port}: {flags:?}");
    }
}

fn wrong_syn_acks_to_every_syn_are_reported(family: Family) {
    let story = Scenario::new(family).options(&["-t", "1"]).on_syn(to_each(wrong)).run();
    story.assert_verdict("filtered", 3, 2);
    assert_eq!(story.verdict().reason, "SYN+ACK with a wrong acknowledgement number");
    let (syns, resets) = (story.syns(), story.resets());
    assert_eq!((syns.len(), resets.len()), (3, 3), "{story:#?}");
    for (reset, syn) in resets.into_iter().zip(syns) {
        assert_reset(reset, &wrong(syn));
    }
}

fn a_wrong_syn_ack_with_hop_limit_255_is_reset_once(family: Family) {
    let story = Scenario::new(family)
        .options(&["-t", "1"])
        .on_syn(to_each(|syn| Answer { hop_limit: 255, ..wrong(syn) }))
        .run();
    story.assert_verdict("filtered", 3, 2);
    assert_eq!((story.syns().len(), story.resets().len()), (3, 3), "{story:#?}");
}

fn wrong_syn_acks_hide_no_true_answer(family: Family) {
    // Few enough to fit into any socket buffer.
    const FLOOD: usize = 100;
    for retries in ["0", "2"] {
        let story = Scenario::new(family)
            .options(if retries == "0" { &["--retries", "0"] } else { &[] })
            .on_syn(|syns| {
                let newest = syns.last().expect("a SYN woke the script");
                let flood = iter::repeat_n(wrong(newest), FLOOD).map(Injection::from);
                flood.chain([newest.syn_ack().into()]).collect()
            })
            .run();
        assert_eq!(story.verdict().ending(), (Some("open"), 0), "{retries} retries: {story:#?}");
    }
}

fn the_first_syn_of_a_connection_is_dropped_and_its_retransmission_answered(family: Family) {
    for options in [&["-t", "0.2"][..], &["-t", "1"], &["-t", "10"], &["--retries", "1"]] {
        let story = Scenario::new(family).options(options).on_syn(answer_retransmissions).run();
        story.assert_verdict("open", 2, 0);
        let syns = story.syns();
        assert_eq!((syns.len(), story.resets().len()), (2, 1), "{story:#?}");
        assert_reset(story.resets()[0], &syns[0].syn_ack());
        assert_eq!(story.verdict().rtt, None, "it is unknown which SYN was answered");
    }
}

fn without_retries_there_is_no_second_chance(family: Family) {
    let story = Scenario::new(family)
        .options(&["-t", "0.3", "--retries", "0"])
        .on_syn(answer_retransmissions)
        .run();
    story.assert_verdict("filtered", 1, 2);
    story.assert_silence();
}

fn answer_retransmissions(syns: &[Sent]) -> Vec<Injection> {
    let (newest, before) = syns.split_last().expect("a SYN woke the script");
    let ends = |syn: &Sent| (syn.source_port, syn.sequence);
    let again = before.iter().any(|syn| ends(syn) == ends(newest));
    again.then(|| newest.syn_ack().into()).into_iter().collect()
}

/// Address translation on the way back that has lost its state.
fn a_syn_ack_from_elsewhere_is_reported(family: Family) {
    let elsewhere: [fn(&Sent, Family) -> Answer; 2] = [
        |syn, family| Answer { source: family.stranger(), ..syn.syn_ack() },
        |syn, _| Answer { source_port: PORT + 1, ..syn.syn_ack() },
    ];
    for from in elsewhere {
        let (outcome, sent) = Scenario::new(family)
            .on_syn(to_each(move |syn| from(syn, family)))
            .play(|namespace, _| {
                let options = ["-o", "json", "-t", "0.3", "--retries", "1"];
                let target = [family.peer().to_string(), PORT.to_string()];
                let words = [&options[..], &target.each_ref().map(|word| &**word)].concat();
                namespace.outcome(lab::halfopen(&words))
            });
        let verdict = outcome.verdict();
        assert_eq!(verdict.ending(), (Some("filtered"), 2), "{outcome:#?}");
        let answer = from(&sent[0], family);
        let there = std::net::SocketAddr::new(answer.source, answer.source_port);
        assert_eq!(verdict.reason, format!("SYN+ACK from {there} instead (NAT?)"));
        let (syns, resets): (Vec<_>, Vec<_>) = sent.iter().partition(|sent| sent.is_syn());
        assert_eq!((syns.len(), resets.len()), (2, 2), "{sent:#?}");
        for (reset, syn) in resets.into_iter().zip(syns) {
            assert_eq!(reset.flag_names(), "RST");
            assert_eq!(reset.destination, answer.source);
            assert_reset(reset, &from(syn, family));
        }
    }
}

fn a_syn_ack_from_elsewhere_hides_no_true_answer(family: Family) {
    let (outcome, _) = Scenario::new(family)
        .on_syn(move |syns| match syns {
            [first] => vec![
                Answer { source: family.stranger(), ..first.syn_ack() }.into(),
                first.rst_ack().into(),
            ],
            _ => Vec::new(),
        })
        .play(|namespace, _| {
            let mut command = std::process::Command::new(lab::halfopen_path());
            command.args(["-o", "json", &family.peer().to_string(), &PORT.to_string()]);
            namespace.outcome(command)
        });
    assert_eq!(outcome.verdict().ending(), (Some("closed"), 2), "{outcome:#?}");
}
