//! Reads the IPv4 header (RFC 791 §3.1) that a raw IPv4 socket delivers before each message. A raw
//! IPv6 socket delivers none.

use std::net::{Ipv4Addr, SocketAddr};

use pnet::packet::ip::{IpNextHeaderProtocol, IpNextHeaderProtocols};
use pnet::packet::ipv4::Ipv4Packet;

use super::{Echo, Segment, Unsound};

/// Reads a TCP segment behind an IPv4 header, and the time to live that it arrived with.
///
/// # Errors
///
/// Returns [`Unsound::Malformed`] also for other protocols, for fragments except the first, and for
/// wrong lengths.
pub fn parse(bytes: &[u8]) -> Result<(Segment, u8), Unsound> {
    let (packet, payload) = split(bytes, IpNextHeaderProtocols::Tcp).ok_or(Unsound::Malformed)?;
    let port_less = |address: Ipv4Addr| SocketAddr::from((address, 0));
    let segment = Segment::parse(
        port_less(packet.get_source()),
        port_less(packet.get_destination()),
        payload,
    )?;
    Ok((segment, packet.get_ttl()))
}

/// Reads an echo reply behind an IPv4 header. Returns `None` for other messages, for those that
/// [`Echo::parse_reply`] rejects, and for wrong lengths.
pub fn parse_echo_reply(bytes: &[u8]) -> Option<Echo> {
    let (packet, payload) = split(bytes, IpNextHeaderProtocols::Icmp)?;
    Echo::parse_reply(packet.get_source().into(), payload)
}

/// Returns the packet, and what is behind its header. Returns `None` if that is not the beginning
/// of a `protocol` message.
fn split(bytes: &[u8], protocol: IpNextHeaderProtocol) -> Option<(Ipv4Packet<'_>, &[u8])> {
    let packet = Ipv4Packet::new(bytes)?;
    let header = usize::from(packet.get_header_length()) * 4;
    let sound = packet.get_version() == 4
        && header >= Ipv4Packet::minimum_packet_size()
        && packet.get_next_level_protocol() == protocol
        && packet.get_fragment_offset() == 0;
    let payload = bytes.get(header..).filter(|_| sound)?;
    Some((packet, payload))
}
