use std::net::SocketAddr;

use halfopen::wire::{Segment, Unsound, ipv4 as wire};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpProtocol, Ipv4Packet, Ipv4Repr, TcpPacket};

use super::segment::sealed;

/// After the IPv4 header and its options, the segment is the one that smoltcp finds, and what
/// smoltcp writes is read. Few inputs have the right TCP checksum, so each is also read with it.
pub fn ipv4(bytes: &[u8]) {
    read_and_written(bytes);
    if let Some((source, destination, header)) = header(bytes)
        && TcpPacket::new_checked(&bytes[header..]).is_ok()
    {
        let segment = sealed(source, destination, &bytes[header..]);
        read_and_written(&[&bytes[..header], &segment].concat());
    }
}

fn read_and_written(bytes: &[u8]) {
    let read = wire::parse(bytes);
    assert_eq!(read, judged(bytes));
    let Ok((segment, time_to_live)) = read else { return };

    let mut buffer = [0; Segment::LONGEST];
    let payload = segment.emit(&mut buffer);
    let packet = Ipv4Packet::new_unchecked(bytes);
    let header = Ipv4Repr {
        src_addr: packet.src_addr(),
        dst_addr: packet.dst_addr(),
        next_header: IpProtocol::Tcp,
        payload_len: payload.len(),
        hop_limit: time_to_live,
    };
    let mut written = vec![0; header.buffer_len()];
    header.emit(&mut Ipv4Packet::new_unchecked(&mut written), &ChecksumCapabilities::default());
    written.extend(payload);
    assert_eq!(wire::parse(&written), read);
}

fn judged(bytes: &[u8]) -> Result<(Segment, u8), Unsound> {
    let (source, destination, header) = header(bytes).ok_or(Unsound::Malformed)?;
    let segment = Segment::parse(source, destination, &bytes[header..])?;
    Ok((segment, Ipv4Packet::new_unchecked(bytes).hop_limit()))
}

/// Source, destination, and the length of the header before a TCP segment.
fn header(bytes: &[u8]) -> Option<(SocketAddr, SocketAddr, usize)> {
    const LEAST: usize = 20;
    let packet = Ipv4Packet::new_unchecked(bytes.get(..LEAST)?);
    let header = usize::from(packet.header_len());
    let sound = packet.version() == 4 && header >= LEAST && header <= bytes.len();
    let tcp = packet.next_header() == IpProtocol::Tcp && packet.frag_offset() == 0;
    let [source, destination] = [packet.src_addr(), packet.dst_addr()].map(|a| (a, 0).into());
    (sound && tcp).then_some((source, destination, header))
}
