//! The two exchanges that a check of a port that answers may put on the wire, packet for packet.

use std::net::IpAddr;
use std::time::Duration;

use lab::Captured;

/// The least time after which a kernel repeats a SYN+ACK, less the coarseness of its timers.
const FIRST_TIMEOUT: Duration = Duration::from_millis(900);

/// Asserts that there are SYN, SYN+ACK, RST between the two addresses, and nothing else.
#[track_caller]
pub(crate) fn assert_half_open(segments: &[Captured], client: IpAddr, server: IpAddr) {
    let [syn, syn_ack, rst] = without_repeats(segments)[..] else {
        panic!("SYN, SYN+ACK, RST and no more, not {segments:#?}")
    };
    assert_eq!([&*syn.flags, &*syn_ack.flags, &*rst.flags], ["SYN", "SYN+ACK", "RST"]);
    assert_ends(syn, client, server);
    assert_answers(syn_ack, syn);
    assert_bare_reset(rst, syn_ack);
    assert_eq!(rst.source_port, syn.source_port);
}

/// Leaves out each SYN+ACK that the server's kernel has repeated, because this machine was too busy
/// to send the RST in time, and one more RST for each.
fn without_repeats(segments: &[Captured]) -> Vec<&Captured> {
    let mut kept: Vec<&Captured> = Vec::new();
    let mut unanswered = 0;
    for segment in segments {
        let is_same = |other: &&&Captured| {
            (&other.flags, other.seq, ends(other)) == (&segment.flags, segment.seq, ends(segment))
        };
        match (kept.iter().find(is_same), &*segment.flags) {
            (Some(first), "SYN+ACK") if segment.after(first) > FIRST_TIMEOUT => unanswered += 1,
            (Some(_), "RST") if unanswered > 0 => unanswered -= 1,
            _ => kept.push(segment),
        }
    }
    kept
}

/// Asserts that there are SYN, RST+ACK between the two addresses, and nothing else.
#[track_caller]
pub(crate) fn assert_refused(segments: &[Captured], client: IpAddr, server: IpAddr) {
    let [syn, refusal] = segments else { panic!("SYN, RST+ACK and no more, not {segments:#?}") };
    assert_eq!([&*syn.flags, &*refusal.flags], ["SYN", "RST+ACK"]);
    assert_ends(syn, client, server);
    assert_answers(refusal, syn);
}

/// Asserts that an RST answers the segment as in RFC 9293 §3.10.7.3: SEQ=SEG.ACK, without ACK.
#[track_caller]
pub(crate) fn assert_bare_reset(rst: &Captured, answered: &Captured) {
    assert_eq!(
        (&*rst.flags, rst.seq, rst.ack, rst.window),
        ("RST", answered.ack, 0, 0),
        "{rst:#?}"
    );
    assert!(rst.options.is_empty(), "{:?}", rst.options);
    assert_eq!(ends(rst), reversed(answered));
}

#[track_caller]
fn assert_ends(syn: &Captured, client: IpAddr, server: IpAddr) {
    assert_eq!((syn.source, syn.destination), (client, server));
}

#[track_caller]
fn assert_answers(answer: &Captured, syn: &Captured) {
    assert_eq!(answer.ack, syn.seq.wrapping_add(1));
    assert_eq!(ends(answer), reversed(syn));
}

fn ends(segment: &Captured) -> [(IpAddr, u16); 2] {
    [(segment.source, segment.source_port), (segment.destination, segment.destination_port)]
}

fn reversed(segment: &Captured) -> [(IpAddr, u16); 2] {
    let [source, destination] = ends(segment);
    [destination, source]
}
