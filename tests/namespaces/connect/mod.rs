//! The kernel's own handshake, cut short (`--engine connect`): the packets, the result
//! of every answer, and how little privilege it needs. `agreement` compares its verdicts with those
//! of raw sockets.

mod crowd;
mod descriptors;
mod icmp;
mod neighbour;
mod options;
mod overflow;
mod peer;
mod schedule;
mod scripted;
mod stale;
mod unprivileged;
mod wire;

use std::net::IpAddr;

use lab::{Captured, Lab, Verdict};

/// Returns the verdict of such a check.
fn verdict(lab: &Lab, arguments: &[&str]) -> Verdict {
    lab.verdict(&[&["--engine", "connect"], arguments].concat())
}

/// Asserts that there are SYN, SYN+ACK, RST+ACK between the two addresses, and nothing else: no ACK
/// has left.
#[track_caller]
fn assert_cut_short(segments: &[Captured], client: IpAddr, server: IpAddr) {
    let [syn, syn_ack, rst] = segments else {
        panic!("SYN, SYN+ACK, RST+ACK and no more, not {segments:#?}")
    };
    assert_eq!([&*syn.flags, &*syn_ack.flags, &*rst.flags], ["SYN", "SYN+ACK", "RST+ACK"]);
    let ends = |segment: &Captured| {
        let Captured { source, source_port, destination, destination_port, .. } = segment;
        ((*source, *source_port), (*destination, *destination_port))
    };
    let (ours, theirs) = ends(syn);
    assert_eq!((ours.0, theirs.0), (client, server));
    assert_eq!((ends(syn_ack), ends(rst)), ((theirs, ours), (ours, theirs)));
    assert_eq!(syn_ack.ack, syn.seq.wrapping_add(1));
    assert_eq!((rst.seq, rst.ack), (syn_ack.ack, syn_ack.seq.wrapping_add(1)));
}
