//! ICMP errors that do not quote a SYN of the check, and so decide nothing.

use crate::support::tun::Family;
use crate::tun_peer::answer::IcmpError;
use crate::tun_peer::sent::Sent;

/// Types and codes that would be final, or nearly so, if they quoted our SYN.
fn errors(family: Family) -> &'static [(u8, u8)] {
    match family {
        Family::V4 => &[(3, 3), (3, 13), (3, 1), (11, 0), (12, 0), (4, 0)],
        Family::V6 => &[(1, 4), (1, 1), (1, 3), (3, 0), (4, 1), (2, 0)],
    }
}

pub(super) fn misquotations(syn: &Sent, family: Family) -> Vec<Vec<u8>> {
    let offenders = [family.router(), family.peer(), family.stranger(), family.ours()];
    let errors = errors(family).iter();
    let errors = errors.flat_map(|(kind, code)| offenders.map(|one| syn.icmp(one, *kind, *code)));
    let forgeries = errors.flat_map(|error| forgeries(&error, family));
    // Every type, except those of IPv6 neighbour discovery.
    let strange = (0..=127).map(|kind| wrong_number(syn.icmp(family.router(), kind, 0)));
    forgeries.chain(strange).map(|error| error.packet()).collect()
}

fn forgeries(error: &IcmpError, family: Family) -> Vec<IcmpError> {
    let protocol = match family {
        Family::V4 => 9,
        Family::V6 => 6,
    };
    let change = |at: usize, byte: u8| {
        let mut quoted = error.quoted.clone();
        quoted[at] = byte;
        IcmpError { quoted, ..error.clone() }
    };
    let claim_to_be = |quoted: Vec<u8>| IcmpError { quoted, ..error.clone() };
    let mut forgeries = vec![
        wrong_number(error.clone()),
        // Not the number after ours, which we would send next: kernels accept it.
        error.clone().misquoted(|tcp| tcp.set_seq_number(tcp.seq_number() + 2)),
        error.clone().misquoted(|tcp| tcp.set_src_port(tcp.src_port() ^ 1)),
        error.clone().misquoted(|tcp| tcp.set_dst_port(tcp.dst_port() ^ 0x100)),
        error.clone().about_packet_to(family.stranger()),
        // UDP, ICMP, SCTP, and an unassigned protocol.
        change(protocol, 17),
        change(protocol, 1),
        change(protocol, 132),
        change(protocol, 253),
        // Nested: an error about an error about our SYN.
        claim_to_be(error.packet()),
        // Huge.
        claim_to_be([wrong_number(error.clone()).quoted, vec![0x5a; 1300]].concat()),
    ];
    if family == Family::V4 {
        // Headers of length zero, and headers longer than the packet.
        forgeries.extend([change(0, 0x40), change(0, 0x4f)]);
    }
    // The port numbers without the sequence number, and less.
    forgeries.extend((0..8).map(|length| error.clone().quoting_only(length)));
    forgeries.extend((0..20).map(|length| claim_to_be(error.quoted[..length].to_vec())));
    forgeries
}

fn wrong_number(error: IcmpError) -> IcmpError {
    error.misquoted(|tcp| tcp.set_seq_number(tcp.seq_number() - 1))
}
