//! A peer that follows a script, on a TUN device: how the kernel's handshake ends with each answer,
//! and the verdict.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::scripted::{SHORT, assert_tries, check, flags, of_attempts, round_trip, run};
use crate::support::crowd::Findings;
use crate::support::tun::{Family, in_both_families};
use crate::tun_peer::answer::{ACK, Answer, FIN, RST, SYN};
use crate::tun_peer::icmp::transient_errors;
use crate::tun_peer::open::{ENDS, assert_no_pause, with_an_end};
use crate::tun_peer::scenario::{Injection, PORT, at_once, to_each, to_first};
use crate::tun_peer::sent::Sent;

in_both_families!(
    a_slow_answer_shows_in_the_round_trip_time,
    a_pause_of_the_program_shows_in_no_round_trip_time,
    a_late_answer_to_the_first_attempt_counts,
    a_late_refusal_of_the_first_attempt_counts,
    answers_to_two_attempts_are_both_reset,
    an_answer_after_the_verdict_is_reset,
    targets_that_had_the_same_descriptors_do_not_mix,
    a_syn_ack_with_an_rst_right_behind_it_is_open,
    a_syn_ack_with_an_end_right_behind_it_is_open,
    a_syn_ack_to_a_syn_that_was_sent_again_with_an_end_right_behind_it_is_open,
    a_syn_ack_of_any_kind_is_open,
    segments_that_acknowledge_none_of_our_syns_prove_nothing,
    flags_that_no_stack_sends_together_are_what_the_kernel_takes_them_for,
    old_connections_that_answer_every_syn_look_filtered,
);

fn a_slow_answer_shows_in_the_round_trip_time(family: Family) {
    let delay = Duration::from_millis(100);
    let (verdict, sent) = check(family, &[], move |syns| match syns {
        [first] => vec![Injection::from(first.syn_ack()).after(delay)],
        _ => Vec::new(),
    });
    assert_eq!(verdict.ending(), (Some("open"), 0), "{verdict:?}");
    assert_tries(&verdict, &sent, 1);
    assert_eq!(flags(&sent), ["SYN", "RST+ACK"]);
    let Some(round_trip) = round_trip(&verdict, &sent, &sent[0]) else { return };
    // Less what the program's clock leaves out.
    let least =
        delay.saturating_sub(verdict.times.expect("a program with a clock of its own").held_up);
    assert!(round_trip >= least.as_secs_f64(), "{verdict:?}");
    assert!(round_trip <= verdict.elapsed.as_secs_f64(), "{verdict:?}");
}

fn a_pause_of_the_program_shows_in_no_round_trip_time(family: Family) {
    let (delay, pause) = (Duration::from_millis(250), Duration::from_millis(1500));
    let answer =
        move |syn: &Sent| Injection::from(syn.syn_ack()).after(delay).before_a_pause(pause);
    let (verdict, sent) = check(family, &["--retries", "0"], to_first(answer));
    assert_eq!(verdict.ending(), (Some("open"), 0), "{verdict:?}");
    if round_trip(&verdict, &sent, &sent[0]).is_some() {
        assert_no_pause(&verdict, delay, pause);
    }
}

fn a_late_answer_to_the_first_attempt_counts(family: Family) {
    let (verdict, sent) = check(family, SHORT, |syns| match syns {
        [first, _] => vec![first.syn_ack().into()],
        _ => Vec::new(),
    });
    assert_eq!(verdict.ending(), (Some("open"), 0), "{verdict:?}");
    assert_tries(&verdict, &sent, 2);
    assert_eq!(flags(&sent), ["SYN", "SYN", "RST+ACK"]);
    assert_eq!(sent.last().map(|reset| reset.source_port), Some(sent[0].source_port));
    if let Some(round_trip) = round_trip(&verdict, &sent, &sent[0]) {
        let since = "since the SYN that was answered";
        assert!(
            (0.45..=verdict.elapsed.as_secs_f64()).contains(&round_trip),
            "{since}: {verdict:?}"
        );
    }
}

fn a_late_refusal_of_the_first_attempt_counts(family: Family) {
    let (verdict, sent) = check(family, SHORT, |syns| match syns {
        [first, _] => vec![first.rst_ack().into()],
        _ => Vec::new(),
    });
    assert_eq!(verdict.ending(), (Some("closed"), 2), "{verdict:?}");
    assert_tries(&verdict, &sent, 2);
    assert_eq!(flags(&sent), ["SYN", "SYN"]);
}

fn answers_to_two_attempts_are_both_reset(family: Family) {
    let (verdict, sent) = check(family, SHORT, |syns| match syns {
        [first, second] => vec![first.syn_ack().into(), second.syn_ack().into()],
        _ => Vec::new(),
    });
    assert_eq!(verdict.ending(), (Some("open"), 0), "{verdict:?}");
    assert_tries(&verdict, &sent, 2);
    assert_both_are_reset(&sent);
}

/// The socket is closed by then, and the kernel answers. A silent target keeps the program running
/// meanwhile.
fn an_answer_after_the_verdict_is_reset(family: Family) {
    let silent = SocketAddr::new(family.stranger(), PORT + 1).to_string();
    let (verdict, sent) = check(family, &["-t", "3.5", &silent], |syns| {
        let tries: Vec<_> = syns.iter().filter(|syn| syn.destination_port == PORT).collect();
        match (&tries[..], syns.last()) {
            ([first, second], Some(newest)) if newest.destination_port == PORT => vec![
                first.syn_ack().into(),
                Injection::from(second.syn_ack()).after(Duration::from_millis(100)),
            ],
            _ => Vec::new(),
        }
    });
    assert_eq!(verdict.state.as_deref(), Some("open"), "{verdict:?}");
    let to_peer: Vec<_> = sent.into_iter().filter(|sent| sent.destination_port == PORT).collect();
    assert_tries(&verdict, &to_peer, 2);
    assert_both_are_reset(&to_peer);
    assert_eq!(flags(&to_peer), ["SYN", "SYN", "RST+ACK", "RST"], "the last by no socket of ours");
}

/// Each SYN to the second target fails at once, so the next one to the first target gets its
/// descriptor. The first target is still pending when the second has ended.
fn targets_that_had_the_same_descriptors_do_not_mix(family: Family) {
    let targets = [PORT + 1, PORT].map(|port| SocketAddr::new(family.peer(), port).to_string());
    let (kind, code, _) = transient_errors(family)[1];
    let script = of_attempts(move |syns| {
        let newest = syns.last().expect("a SYN");
        let tries = syns.iter().filter(|syn| syn.destination_port == newest.destination_port);
        match (newest.destination_port, tries.count()) {
            (PORT, _) => vec![newest.icmp(family.router(), kind, code).into()],
            (_, 2) => vec![Injection::from(newest.syn_ack()).after(Duration::from_millis(1500))],
            _ => Vec::new(),
        }
    });
    let (outcome, _) = run(family, &["-t", "3.5", &targets[0], &targets[1]], script);
    let findings = Findings::of(&outcome);
    assert_eq!(findings.of_target(&targets[0]).state.as_deref(), Some("open"), "{outcome:?}");
    assert_eq!(findings.of_target(&targets[1]).state.as_deref(), Some("unreachable"));
}

/// The program is stopped meanwhile.
fn a_syn_ack_with_an_rst_right_behind_it_is_open(family: Family) {
    let (verdict, sent) = check(family, &[], |syns| match syns {
        [first] => {
            let sequence = first.syn_ack().sequence.wrapping_add(1);
            vec![at_once(&[first.syn_ack(), Answer { sequence, ..first.rst_ack() }])]
        }
        _ => Vec::new(),
    });
    assert_eq!((verdict.ending(), &*verdict.reason), ((Some("open"), 0), "SYN+ACK"), "{verdict:?}");
    assert_eq!(flags(&sent), ["SYN"], "there is nothing left to reset");
}

fn a_syn_ack_with_an_end_right_behind_it_is_open(family: Family) {
    for end in ENDS {
        for stopped in [false, true] {
            let script = to_first(move |syn| with_an_end(syn, end, stopped));
            let (verdict, _) = check(family, &[], script);
            assert_eq!(verdict.ending(), (Some("open"), 0), "{stopped}: {verdict:?}");
        }
    }
}

/// The kernel sends it again after a second, and has no round-trip time then (Karn's algorithm).
fn a_syn_ack_to_a_syn_that_was_sent_again_with_an_end_right_behind_it_is_open(family: Family) {
    for end in ENDS {
        let peer = SocketAddr::new(family.peer(), PORT).to_string();
        let (outcome, _) = run(family, &["--retries", "1", &peer], move |syns| {
            let newest = syns.last().expect("a SYN");
            let same = syns.iter().filter(|syn| syn.is_same_syn(newest));
            if same.count() == 2 { vec![with_an_end(newest, end, true)] } else { Vec::new() }
        });
        assert_eq!(outcome.verdict().ending(), (Some("open"), 0), "{outcome:?}");
    }
}

fn a_syn_ack_of_any_kind_is_open(family: Family) {
    let kinds: [fn(&Sent) -> Answer; 5] = [
        |syn| Answer { window: 0, ..syn.syn_ack() },
        |syn| Answer { options: Vec::new(), window: 0, ..syn.syn_ack() },
        |syn| Answer { payload: b"220 mail ESMTP\r\n".to_vec(), ..syn.syn_ack() },
        |syn| Answer { sequence: u32::MAX, ..syn.syn_ack() },
        |syn| Answer { hop_limit: 255, ..syn.syn_ack() },
    ];
    for answer in kinds {
        let (verdict, sent) = check(family, &[], to_first(answer));
        assert_eq!(verdict.ending(), (Some("open"), 0), "{verdict:?}");
        assert_tries(&verdict, &sent, 1);
        assert_eq!(flags(&sent), ["SYN", "RST+ACK"]);
    }
}

fn segments_that_acknowledge_none_of_our_syns_prove_nothing(family: Family) {
    let forgeries: [fn(&Sent, Family) -> Answer; 8] = [
        |syn, _| Answer { acknowledgement: syn.sequence, ..syn.syn_ack() },
        |syn, _| Answer { acknowledgement: syn.sequence.wrapping_add(2), ..syn.syn_ack() },
        |syn, _| Answer { acknowledgement: syn.sequence.wrapping_add(2), ..syn.rst_ack() },
        |syn, _| Answer { acknowledgement: 0, flags: RST, ..syn.rst_ack() },
        |syn, _| Answer { acknowledgement: 0, flags: SYN | RST, ..syn.syn_ack() },
        |syn, _| Answer { flags: FIN | ACK, ..syn.syn_ack() },
        |syn, family| Answer { source: family.stranger(), ..syn.syn_ack() },
        |syn, _| Answer { source_port: PORT + 1, ..syn.rst_ack() },
    ];
    for (number, forgery) in forgeries.into_iter().enumerate() {
        let (verdict, _) = check(
            family,
            &["-t", "0.3", "--retries", "1"],
            to_first(move |syn| forgery(syn, family)),
        );
        assert_eq!(verdict.ending(), (Some("filtered"), 2), "forgery {number}: {verdict:?}");
    }
}

/// Raw sockets accept none of them as an answer. A real connection would end as the kernel's
/// handshake does here.
fn flags_that_no_stack_sends_together_are_what_the_kernel_takes_them_for(family: Family) {
    for (flags, ending) in [
        (SYN | ACK | FIN, (Some("open"), 0)),
        (SYN | ACK | RST, (Some("closed"), 2)),
        (SYN | FIN, (Some("filtered"), 2)),
        (SYN, (Some("filtered"), 2)),
    ] {
        let answer = move |syn: &Sent| Answer { flags, ..syn.syn_ack() };
        let (verdict, _) = check(family, &["-t", "0.3", "--retries", "1"], to_first(answer));
        assert_eq!(verdict.ending(), ending, "flags {flags:#04x}: {verdict:?}");
    }
}

/// With raw sockets they are stale. Here only the kernel sees the ACKs.
fn old_connections_that_answer_every_syn_look_filtered(family: Family) {
    let (verdict, sent) = check(family, &["-t", "1"], to_each(|syn| syn.bare_ack(0x0bad_cafe)));
    assert_eq!((verdict.ending(), verdict.tries), ((Some("filtered"), 2), Some(3)), "{verdict:?}");
    assert!(sent.iter().any(|sent| sent.flags == RST), "the kernel resets them: {sent:#?}");
}

/// Asserts that there are two SYNs, and an RST for the answer to each.
#[track_caller]
fn assert_both_are_reset(sent: &[Sent]) {
    let sent = Sent::unrepeated(sent);
    let [first, second, resets @ ..] = &sent[..] else { panic!("two tries: {sent:#?}") };
    let ports: BTreeSet<_> = resets.iter().map(|reset| reset.source_port).collect();
    assert!(resets.iter().all(|reset| reset.flags & (RST | SYN) == RST), "{sent:#?}");
    assert_eq!((resets.len(), ports), (2, [first.source_port, second.source_port].into()));
}
