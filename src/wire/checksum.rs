//! Verifies the checksum of a TCP segment that has arrived (RFC 9293 §3.1, RFC 1071), and computes
//! that of an ICMP message (RFC 792).

use std::net::IpAddr;

use pnet::packet::ip::IpNextHeaderProtocols;

/// The offset of the checksum in the TCP header.
const FIELD: usize = 16;

/// Returns true if the checksum of `segment`, at least a whole header, is correct, or is the sum of
/// the pseudo-header alone.
///
/// Senders leave that sum to their network card to complete. It remains if there is no card: on
/// loopback, veth and virtio, in segments of this machine's own firewall, and in segments that were
/// merged on arrival (`CHECKSUM_PARTIAL`; see `__tcp_v4_send_check()`, `tcp4_gro_complete()`).
///
/// # Panics
///
/// Panics if `segment` is shorter than a header.
pub(super) fn holds(segment: &[u8], source: IpAddr, destination: IpAddr) -> bool {
    let pseudo_header = address(source)
        + address(destination)
        + u64::from(IpNextHeaderProtocols::Tcp.0)
        + segment.len() as u64;
    let field = u16::from_be_bytes([segment[FIELD], segment[FIELD + 1]]);
    fold(pseudo_header + words(segment)) == u16::MAX || fold(pseudo_header) == field
}

/// Returns the checksum of an ICMP message, as over IPv4, whose checksum field is zero.
pub(super) fn of(message: &[u8]) -> u16 {
    !fold(words(message))
}

/// Returns true if the checksum of an ICMP message over IPv4 is correct. The kernel leaves none of
/// these to the network card (`icmp_push_reply()`).
pub(super) fn is_complete(message: &[u8]) -> bool {
    of(message) == 0
}

fn address(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(address) => words(&address.octets()),
        IpAddr::V6(address) => words(&address.octets()),
    }
}

/// Returns the sum of the 16-bit words, the last of them padded with zeros.
fn words(bytes: &[u8]) -> u64 {
    let word = |pair: &[u8]| u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]);
    bytes.chunks(2).map(|pair| u64::from(word(pair))).sum()
}

/// Folds a sum into 16 bits of one's complement. Only zero becomes zero.
fn fold(mut sum: u64) -> u16 {
    loop {
        match u16::try_from(sum) {
            Ok(folded) => return folded,
            Err(_) => sum = (sum & 0xffff) + (sum >> 16),
        }
    }
}
