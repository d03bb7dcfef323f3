//! Reads the IPv4 header (RFC 791 §3.1) that a raw IPv4 socket delivers before each segment. A raw
//! IPv6 socket delivers none.

use std::net::{Ipv4Addr, SocketAddr};

use pnet::packet::ip::IpNextHeaderProtocols;
use pnet::packet::ipv4::Ipv4Packet;

use super::{Segment, Unsound};

/// Reads a TCP segment behind an IPv4 header, and the time to live that it arrived with.
///
/// # Errors
///
/// Returns [`Unsound::Malformed`] also for other protocols, for fragments except the first, and for
/// wrong lengths.
pub fn parse(bytes: &[u8]) -> Result<(Segment, u8), Unsound> {
    let packet = Ipv4Packet::new(bytes).ok_or(Unsound::Malformed)?;
    let header = usize::from(packet.get_header_length()) * 4;
    let sound = packet.get_version() == 4
        && header >= Ipv4Packet::minimum_packet_size()
        && packet.get_next_level_protocol() == IpNextHeaderProtocols::Tcp
        && packet.get_fragment_offset() == 0;
    if !sound {
        return Err(Unsound::Malformed);
    }
    let port_less = |address: Ipv4Addr| SocketAddr::from((address, 0));
    let segment = Segment::parse(
        port_less(packet.get_source()),
        port_less(packet.get_destination()),
        bytes.get(header..).ok_or(Unsound::Malformed)?,
    )?;
    Ok((segment, packet.get_ttl()))
}
