//! ICMP errors from a scripted peer: how the kernel's handshake ends with each, and the verdict.

use std::collections::BTreeSet;

use smoltcp::wire::TcpSeqNumber;

use super::scripted::{SHORT, check, flags};
use crate::support::tun::{Family, in_both_families};
use crate::tun_peer::icmp::{
    errors_behind_a_segment, final_errors, meaningless_errors, transient_errors,
};
use crate::tun_peer::scenario::{back_to_back, to_each, to_first};
use crate::tun_peer::sent::Sent;
use lab::Verdict;

in_both_families!(
    a_final_icmp_error_ends_the_check_at_once,
    a_transient_icmp_error_does_not_end_the_other_attempts,
    an_icmp_error_for_every_attempt_is_the_verdict_after_the_last,
    an_icmp_error_about_another_segment_is_ignored,
    an_icmp_error_that_says_nothing_about_the_port_gives_it_no_state,
    an_icmp_error_right_behind_a_syn_ack_changes_nothing,
);

fn a_final_icmp_error_ends_the_check_at_once(family: Family) {
    for &(kind, code, state) in final_errors(family) {
        let (verdict, sent) =
            check(family, &[], to_first(move |syn| syn.icmp(family.router(), kind, code)));
        assert_eq!(verdict.ending(), (Some(state), 2), "type {kind} code {code}: {verdict:?}");
        assert_eq!(flags(&sent), ["SYN"]);
        assert_names_the_router(&verdict, family);
    }
}

fn a_transient_icmp_error_does_not_end_the_other_attempts(family: Family) {
    for &(kind, code, _) in transient_errors(family) {
        let (verdict, sent) = check(family, SHORT, move |syns| match syns {
            [first] => vec![first.icmp(family.router(), kind, code).into()],
            [_, second] => vec![second.syn_ack().into()],
            _ => Vec::new(),
        });
        assert_eq!(verdict.ending(), (Some("open"), 0), "type {kind} code {code}: {verdict:?}");
        assert_eq!(flags(&sent), ["SYN", "SYN", "RST+ACK"]);
    }
}

fn an_icmp_error_for_every_attempt_is_the_verdict_after_the_last(family: Family) {
    for &(kind, code, state) in transient_errors(family) {
        let (verdict, sent) = check(
            family,
            &["-t", "0.35"],
            to_each(move |syn| syn.icmp(family.router(), kind, code)),
        );
        assert_eq!(verdict.ending(), (Some(state), 2), "type {kind} code {code}: {verdict:?}");
        assert_eq!(flags(&sent), ["SYN", "SYN", "SYN"]);
        assert_names_the_router(&verdict, family);
    }
}

fn an_icmp_error_about_another_segment_is_ignored(family: Family) {
    for &(kind, code, _) in final_errors(family) {
        for distance in [-1, 2, 0x4000_0000] {
            let (verdict, _) = check(
                family,
                &["-t", "0.2", "--retries", "0"],
                to_each(move |syn| {
                    let error = syn.icmp(family.router(), kind, code);
                    error.misquoted(|tcp| {
                        let TcpSeqNumber(number) = tcp.seq_number();
                        tcp.set_seq_number(TcpSeqNumber(number.wrapping_add(distance)));
                    })
                }),
            );
            assert_eq!(verdict.ending(), (Some("filtered"), 2), "{distance} off: {verdict:?}");
        }
    }
}

/// Some of them end the kernel's handshake, which does not say why: then there is no verdict,
/// whatever raw sockets would receive.
fn an_icmp_error_that_says_nothing_about_the_port_gives_it_no_state(family: Family) {
    let mut told = BTreeSet::new();
    for &(kind, code) in meaningless_errors(family) {
        let error = move |syn: &Sent| syn.icmp(family.router(), kind, code);
        let (verdict, _) = check(family, &["-t", "0.2", "--retries", "1"], to_each(error));
        let honest = [(Some("filtered"), 2), (None, 3)];
        assert!(honest.contains(&verdict.ending()), "type {kind} code {code}: {verdict:?}");
        told.extend(verdict.state.is_none().then(|| verdict.reason.clone()));

        let (verdict, _) = check(family, SHORT, move |syns| match syns {
            [first] => vec![error(first).into()],
            [_, second] => vec![second.syn_ack().into()],
            _ => Vec::new(),
        });
        assert_eq!(verdict.ending(), (Some("open"), 0), "type {kind} code {code}: {verdict:?}");
    }
    let reasons: Vec<_> = told.into_iter().collect();
    assert!(matches!(&reasons[..], [one] if one.contains("the raw engine")), "{reasons:?}");
}

fn an_icmp_error_right_behind_a_syn_ack_changes_nothing(family: Family) {
    for (error, stopped) in errors_behind_a_segment(family) {
        let (verdict, _) = check(
            family,
            &[],
            to_first(move |syn| {
                let both = back_to_back([syn.syn_ack().packet(), error(syn).packet()]);
                if stopped { both.at_once() } else { both }
            }),
        );
        assert_eq!(verdict.ending(), (Some("open"), 0), "{verdict:?}");
    }
}

#[track_caller]
fn assert_names_the_router(verdict: &Verdict, family: Family) {
    let Verdict { reason, .. } = verdict;
    let from = format!(" from {}", family.router());
    assert!(reason.starts_with("ICMP ") && reason.ends_with(&from), "{reason}");
}
