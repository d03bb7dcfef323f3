//! IP packets in fragments, with unnecessary headers, or with malformed ones.

use std::net::IpAddr;
use std::ops::Range;

use smoltcp::wire::{IpAddress, IpProtocol, IpVersion, Ipv4Packet, Ipv6Packet};

use crate::tun_peer::answer::{Answer, ip_packet};

/// The IPv6 header.
const V6_HEADER: usize = 40;

/// Returns the two parts of a packet, the first with this many bytes after the IP header, a
/// multiple of eight. For IPv6, Linux requires at least the TCP header
/// (`ipv6frag_thdr_truncated()`).
pub(super) fn fragments(packet: &[u8], first: usize) -> [Vec<u8>; 2] {
    let end = payload(packet).len();
    [fragment(packet, 0..first, 0), fragment(packet, first..end, first)]
}

/// A segment in malformed packets, or in fragments that do not fit together.
pub(super) fn broken(segment: &Answer) -> Vec<Vec<u8>> {
    let whole = segment.packet();
    let end = payload(&whole).len();
    let [first, last] = fragments(&whole, 16);
    let mut packets = vec![
        first.clone(),
        last.clone(),
        // Overlapping fragments, fragments far beyond the end of any packet, and ones without a
        // last fragment.
        fragment(&whole, 8..end, 8),
        fragment(&whole, 16..end, 65_528),
        fragment(&whole, 0..8, 0),
        fragment(&whole, 0..end, 65_000),
    ];
    packets.extend([last, first]);
    packets.extend((0..whole.len()).map(|length| whole[..length.max(1)].to_vec()));
    packets.extend(match segment.source {
        IpAddr::V4(_) => with_v4_options(segment),
        IpAddr::V6(_) => with_v6_headers(segment),
    });
    packets
}

/// Options of RFC 791 and RFC 2113, valid and invalid: source routes, a recorded route, timestamps,
/// a router alert.
fn with_v4_options(segment: &Answer) -> Vec<Vec<u8>> {
    const OPTIONS: &[&[u8]] = &[
        &[1; 40],
        &[0; 40],
        &[131, 7, 4, 198, 18, 1, 2, 0],
        &[137, 7, 4, 198, 18, 1, 2, 0],
        &[137, 7, 8, 198, 18, 1, 2, 0],
        &[7, 39, 4, 0],
        &[7, 3, 0, 0],
        &[68, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[68, 40, 255, 255],
        &[148, 4, 0, 0],
        &[148, 0, 0, 0],
        &[148, 1, 0, 0],
        &[255, 255, 255, 255],
        &[1, 1, 1, 131],
    ];
    let with =
        |options: &&[u8]| Answer { ip_options: options.to_vec(), ..segment.clone() }.packet();
    let mut packets: Vec<_> = OPTIONS.iter().map(with).collect();
    // Wrong header lengths and total lengths.
    for (at, bytes) in
        [(0, &[0x40][..]), (0, &[0x44]), (0, &[0x4f]), (2, &[0, 0]), (2, &[0xff, 0xff])]
    {
        let mut packet = segment.packet();
        packet[at..at + bytes.len()].copy_from_slice(bytes);
        Ipv4Packet::new_unchecked(&mut packet[..]).set_checksum(0);
        packets.push(packet);
    }
    packets
}

/// Extension headers of RFC 8200, valid and invalid, alone and in sequence.
fn with_v6_headers(segment: &Answer) -> Vec<Vec<u8>> {
    const TCP: u8 = 6;
    const OPTIONS: u8 = 60;
    let whole = segment.packet();
    let headers: [(IpProtocol, Vec<u8>); 12] = [
        (IpProtocol::HopByHop, vec![TCP, 0, 1, 4, 0, 0, 0, 0]),
        // An option that asks for an error, one that is longer than its header, and a header longer
        // than the packet.
        (IpProtocol::HopByHop, vec![TCP, 0, 0xc2, 4, 0, 0, 0, 0]),
        (IpProtocol::HopByHop, vec![TCP, 0, 0x1e, 255, 0, 0, 0, 0]),
        (IpProtocol::HopByHop, vec![TCP, 255, 1, 4, 0, 0, 0, 0]),
        (IpProtocol::Ipv6Opts, vec![TCP, 0, 0x80, 4, 0, 0, 0, 0]),
        (IpProtocol::Ipv6Opts, [OPTIONS, 0, 1, 4, 0, 0, 0, 0].repeat(8)),
        (IpProtocol::Ipv6Route, vec![TCP, 2, 0, 1, 0, 0, 0, 0]),
        (IpProtocol::Ipv6Route, vec![TCP, 0, 4, 255, 0, 0, 0, 0]),
        (IpProtocol::Ipv6Frag, vec![TCP, 0, 0, 0, 0, 0, 0, 1]),
        (IpProtocol::Ipv6Frag, vec![OPTIONS, 0, 0, 1, 0, 0, 0, 2]),
        (IpProtocol::Ipv6NoNxt, Vec::new()),
        (IpProtocol::Unknown(253), vec![TCP; 8]),
    ];
    let (source, destination) = (segment.source.into(), segment.destination.into());
    let with = |(protocol, header): (IpProtocol, Vec<u8>)| {
        let behind = [&header, payload(&whole)].concat();
        ip_packet(source, destination, protocol, segment.hop_limit, &behind)
    };
    let mut packets: Vec<_> = headers.into_iter().map(with).collect();
    for length in [0, u16::MAX] {
        let mut packet = whole.clone();
        Ipv6Packet::new_unchecked(&mut packet[..]).set_payload_len(length);
        packets.push(packet);
    }
    packets
}

/// Returns these bytes of a packet's payload as a fragment that claims to begin at `offset`. It is
/// the last fragment if it has the last byte.
fn fragment(packet: &[u8], part: Range<usize>, offset: usize) -> Vec<u8> {
    let offset = u16::try_from(offset).expect("16 bits");
    let more = part.end < payload(packet).len();
    let part = &payload(packet)[part];
    if IpVersion::of_packet(packet) == Ok(IpVersion::Ipv4) {
        let mut bytes = [&packet[..packet.len() - payload(packet).len()], part].concat();
        let length = u16::try_from(bytes.len()).expect("short");
        let mut ip = Ipv4Packet::new_unchecked(&mut bytes[..]);
        ip.set_total_len(length);
        ip.set_ident(0x1dea);
        ip.set_dont_frag(false);
        ip.set_more_frags(more);
        ip.set_frag_offset(offset);
        ip.fill_checksum();
        return bytes;
    }
    let ip = Ipv6Packet::new_unchecked(packet);
    let (source, destination) = (IpAddress::from(ip.src_addr()), IpAddress::from(ip.dst_addr()));
    let [high, low] = (offset | u16::from(more)).to_be_bytes();
    let header = [u8::from(ip.next_header()), 0, high, low, 0, 0, 0x1d, 0xea];
    ip_packet(source, destination, IpProtocol::Ipv6Frag, ip.hop_limit(), &[&header, part].concat())
}

/// Returns what follows the IP header.
fn payload(packet: &[u8]) -> &[u8] {
    match IpVersion::of_packet(packet) {
        Ok(IpVersion::Ipv4) => &packet[usize::from(packet[0] & 0xf) * 4..],
        _ => &packet[V6_HEADER..],
    }
}
