use halfopen::wire::{Segment, ipv4 as wire};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpProtocol, Ipv4Packet, Ipv4Repr};

/// Behind an IPv4 header, its options included, stands the segment that smoltcp would look for there; what smoltcp writes
/// is read.
pub fn ipv4(bytes: &[u8]) {
    let read = wire::parse(bytes);
    assert_eq!(read, judged(bytes));
    let Some((segment, time_to_live)) = read else { return };

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

fn judged(bytes: &[u8]) -> Option<(Segment, u8)> {
    const LEAST: usize = 20;
    let packet = Ipv4Packet::new_unchecked(bytes.get(..LEAST)?);
    let header = usize::from(packet.header_len());
    let sound = packet.version() == 4 && header >= LEAST && header <= bytes.len();
    let tcp = packet.next_header() == IpProtocol::Tcp && packet.frag_offset() == 0;
    let [source, destination] = [packet.src_addr(), packet.dst_addr()].map(|a| (a, 0).into());
    let segment =
        (sound && tcp).then(|| Segment::parse(source, destination, &bytes[header..]))??;
    Some((segment, packet.hop_limit()))
}
