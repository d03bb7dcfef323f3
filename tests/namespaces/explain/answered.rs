//! Answers that show by themselves that something stands in front of the host, or that it is not
//! what was asked.

use std::sync::atomic::{AtomicBool, Ordering};

use super::ENGINES;
use super::explained::explain;
use super::hosts::{self, Hosts, endpoint};
use super::peer::{explain_peer, hop_limit, reset_of_ack};
use crate::support::tun::{Family, in_both_families};
use crate::tun_peer::answer::{ACK, Answer, Checksum, IcmpError};
use crate::tun_peer::scenario::PORT;
use crate::tun_peer::sent::Sent;

in_both_families!(
    a_window_of_zero_comes_from_something_in_front,
    a_port_that_answers_from_nearer_than_the_host_is_answered_in_front,
    a_host_that_answers_from_as_far_as_its_pings_has_no_cause,
    a_reset_from_nearer_than_the_host_is_refused_on_the_way,
    an_ack_answered_from_elsewhere_than_pings_proves_nothing,
    an_answer_from_another_address_is_broken_translation,
    answers_with_wrong_checksums_are_corrupt,
    one_answer_with_a_wrong_checksum_is_no_cause,
    a_router_that_answers_for_an_open_port_is_never_a_fault_of_the_host,
);

const TALKATIVE: &[&str] = &["-v", "-t", "2"];

fn is_to_port(sent: &Sent) -> bool {
    sent.destination_port == PORT
}

fn far_away(answer: Answer) -> Vec<Vec<u8>> {
    vec![Answer { hop_limit: 60, ..answer }.packet()]
}

/// What a host does that is four hops behind its router: an open port, and others closed.
fn answers_of_an_open_host(sent: &Sent) -> Vec<Vec<u8>> {
    match (sent.is_syn(), is_to_port(sent)) {
        (true, _) if hop_limit(sent) < 5 => vec![exceeded(sent)],
        (true, true) => far_away(sent.syn_ack()),
        (true, false) => far_away(sent.rst_ack()),
        (false, _) if sent.flags == ACK => far_away(reset_of_ack(sent)),
        _ => Vec::new(),
    }
}

/// A router that is 1 to 4 hops away has used up the hop limit.
fn exceeded(sent: &Sent) -> Vec<u8> {
    let (v4, limit) = (sent.source.is_ipv4(), hop_limit(sent));
    let family = if v4 { Family::V4 } else { Family::V6 };
    let (kind, code) = if v4 { (11, 0) } else { (3, 0) };
    let error = IcmpError {
        offender: family.router(),
        destination: sent.source,
        kind,
        code,
        quoted: sent.packet.clone(),
    };
    let mut packet = error.packet();
    // The header has a checksum in IPv4 alone.
    let arrives_with = 65 - limit;
    if v4 {
        let mut ip = smoltcp::wire::Ipv4Packet::new_unchecked(&mut packet[..]);
        ip.set_hop_limit(arrives_with);
        ip.fill_checksum();
    } else {
        packet[7] = arrives_with;
    }
    packet
}

fn a_window_of_zero_comes_from_something_in_front(family: Family) {
    let answer = |sent: &Sent| {
        if sent.is_syn() && is_to_port(sent) {
            vec![Answer { window: 0, ..sent.syn_ack() }.packet()]
        } else {
            Vec::new()
        }
    };
    let (explained, _) = explain_peer(family, TALKATIVE, Some(64), answer);
    explained.assert_cause("open", "answered-in-front");
    assert_eq!(explained.code, 0);
    explained.assert_evidence(&["the SYN+ACK has window 0"]);
    let (explained, sent) = explain_peer(family, &[], Some(64), answer);
    explained.assert_open_without_cause();
    assert_eq!(sent.len(), 2, "a SYN and an RST: {sent:#?}");
}

/// The proxy is on the second router, and answers only what reaches a host behind it.
fn a_port_that_answers_from_nearer_than_the_host_is_answered_in_front(family: Family) {
    let (explained, _) =
        explain_peer(family, TALKATIVE, Some(60), |sent| match (sent.is_syn(), is_to_port(sent)) {
            (true, true) if hop_limit(sent) <= 2 => vec![exceeded(sent)],
            (true, true) => vec![Answer { hop_limit: 63, ..sent.syn_ack() }.packet()],
            _ => answers_of_an_open_host(sent),
        });
    explained.assert_cause("open", "answered-in-front");
    assert_eq!(explained.code, 0);
}

fn a_host_that_answers_from_as_far_as_its_pings_has_no_cause(family: Family) {
    // Whatever hop limits its stack begins with.
    for ping in [60, 124, 251] {
        let (explained, _) = explain_peer(family, TALKATIVE, Some(ping), answers_of_an_open_host);
        explained.assert_open_without_cause();
    }
}

fn a_reset_from_nearer_than_the_host_is_refused_on_the_way(family: Family) {
    let (explained, _) = explain_peer(family, &["-t", "2"], Some(60), |sent| {
        match (sent.is_syn(), is_to_port(sent)) {
            (true, true) if hop_limit(sent) <= 2 => vec![exceeded(sent)],
            (true, true) => vec![Answer { hop_limit: 63, ..sent.rst_ack() }.packet()],
            _ => answers_of_an_open_host(sent),
        }
    });
    explained.assert_cause("closed", "refused-on-the-way");
    explained.assert_evidence(&["the RST comes from 2 hops away"]);
    explained.assert_evidence(&[&family.router().to_string()]);
}

/// Something on the way answers ACKs to a port whose SYNs are dropped.
fn an_ack_answered_from_elsewhere_than_pings_proves_nothing(family: Family) {
    let (explained, _) = explain_peer(family, &["-t", "2"], Some(60), |sent| {
        match (sent.is_syn(), is_to_port(sent)) {
            (true, true) if hop_limit(sent) < 5 => vec![exceeded(sent)],
            (true, true) => Vec::new(),
            (false, true) => vec![Answer { hop_limit: 63, ..reset_of_ack(sent) }.packet()],
            _ => answers_of_an_open_host(sent),
        }
    });
    explained.assert_cause("filtered", "unknown");
}

fn an_answer_from_another_address_is_broken_translation(family: Family) {
    let (explained, _) = explain_peer(family, &["-t", "2"], Some(64), move |sent| {
        if sent.is_syn() && is_to_port(sent) {
            vec![Answer { source: family.stranger(), ..sent.syn_ack() }.packet()]
        } else {
            Vec::new()
        }
    });
    assert_eq!(explained.cause.as_deref(), Some("broken-nat"), "{explained:#?}");
    assert_eq!(explained.code, 2);
}

fn answers_with_wrong_checksums_are_corrupt(family: Family) {
    for answer in [Sent::syn_ack, Sent::rst_ack] {
        let damaged = |answer| vec![Answer { checksum: Checksum::Wrong(1), ..answer }.packet()];
        let (explained, _) = explain_peer(family, &["-t", "2"], Some(64), move |sent| {
            if sent.is_syn() {
                damaged(answer(sent))
            } else if sent.flags == ACK {
                damaged(reset_of_ack(sent))
            } else {
                Vec::new()
            }
        });
        explained.assert_cause("filtered", "corrupt-answers");
        explained.assert_evidence(&["arrived with a wrong checksum"]);
    }
}

/// The next one is sound.
fn one_answer_with_a_wrong_checksum_is_no_cause(family: Family) {
    let first = AtomicBool::new(true);
    let (explained, _) = explain_peer(family, TALKATIVE, Some(60), move |sent| {
        let wrong = Answer { checksum: Checksum::Wrong(1), ..sent.syn_ack() };
        if first.swap(false, Ordering::Relaxed) {
            vec![wrong.packet()]
        } else {
            answers_of_an_open_host(sent)
        }
    });
    explained.assert_open_without_cause();
}

/// A router with a proxy of its own that takes connections to the host.
fn a_router_that_answers_for_an_open_port_is_never_a_fault_of_the_host(family: Family) {
    let hosts = Hosts::new();
    let name = if family == Family::V4 { "ip" } else { "ip6" };
    hosts.lab.server.nft(&format!(
        "table {name} n {{ chain c {{ type nat hook prerouting priority -100; iifname server0 tcp dport 80 redirect to :8080; }}; }}"
    ));
    let any = hosts::address(family, "0.0.0.0", "::");
    let _proxy = hosts.lab.server.listen(endpoint(any, 8080));
    let far = hosts::far(family).to_string();
    for engine in ENGINES {
        let words = ["-v", "-t", "2", "--engine", engine, &far, "80"];
        let explained = explain(&hosts.lab.client, &words);
        assert_eq!((explained.state.as_deref(), explained.code), (Some("open"), 0));
        assert!(
            explained.cause.as_deref().is_none_or(|cause| cause == "answered-in-front"),
            "{explained:#?}"
        );
    }
}
