//! The checksum of a TCP segment, as it may stand in one that has arrived (RFC 9293 §3.1, RFC
//! 1071).

use std::net::IpAddr;

use pnet::packet::ip::IpNextHeaderProtocols;

/// Where it stands in the TCP header.
const FIELD: usize = 16;

/// True where the checksum of `segment`, a whole header at least, is correct, or is the bare sum of
/// the pseudo-header.
///
/// That is what a sender leaves to its network card to complete, and what stays where there is no
/// card: on loopback, veth and virtio, from this machine's own firewall, and in segments that were
/// merged on arrival (`CHECKSUM_PARTIAL`; see `__tcp_v4_send_check()`, `tcp4_gro_complete()`).
pub(super) fn holds(segment: &[u8], source: IpAddr, destination: IpAddr) -> bool {
    let pseudo_header = address(source)
        + address(destination)
        + u64::from(IpNextHeaderProtocols::Tcp.0)
        + segment.len() as u64;
    let field = u16::from_be_bytes([segment[FIELD], segment[FIELD + 1]]);
    fold(pseudo_header + words(segment)) == u16::MAX || fold(pseudo_header) == field
}

fn address(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(address) => words(&address.octets()),
        IpAddr::V6(address) => words(&address.octets()),
    }
}

/// The sum of 16-bit words, an odd byte filled up with zeros.
fn words(bytes: &[u8]) -> u64 {
    let word = |pair: &[u8]| u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]);
    bytes.chunks(2).map(|pair| u64::from(word(pair))).sum()
}

/// In one's complement; zero for zero alone.
fn fold(mut sum: u64) -> u16 {
    loop {
        match u16::try_from(sum) {
            Ok(folded) => return folded,
            Err(_) => sum = (sum & 0xffff) + (sum >> 16),
        }
    }
}
