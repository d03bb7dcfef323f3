//! Packets byte by byte, and what they say. The client is 198.18.0.1 or `2001:db8::1`, the server
//! 198.18.0.2 or `2001:db8::2`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use halfopen::wire::{Flags, Options, Segment, SequenceNumber};
use smoltcp::wire::TcpPacket;

pub(crate) const CLIENT_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 1));
pub(crate) const SERVER_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 2));
pub(crate) const CLIENT_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
pub(crate) const SERVER_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2));

/// Packets and what they say.
pub(crate) fn ours() -> Vec<(&'static [u8], Segment)> {
    vec![
        (&SYN_V4, syn(CLIENT_V4, SERVER_V4, 1460)),
        (&SYN_V6, syn(CLIENT_V6, SERVER_V6, 1440)),
        (&RST_V4, rst(CLIENT_V4, SERVER_V4)),
        (&RST_V6, rst(CLIENT_V6, SERVER_V6)),
    ]
}

/// The segment with the checksum that smoltcp gives it.
pub(crate) fn sealed(segment: &[u8], source: IpAddr, destination: IpAddr) -> Vec<u8> {
    let mut bytes = segment.to_vec();
    TcpPacket::new_unchecked(&mut bytes[..]).fill_checksum(&source.into(), &destination.into());
    bytes
}

/// The sum of the pseudo-header alone: the complement of the checksum of a segment that is all
/// zeros.
pub(crate) fn pseudo_header_sum(length: usize, source: IpAddr, destination: IpAddr) -> u16 {
    !TcpPacket::new_unchecked(sealed(&vec![0; length], source, destination)).checksum()
}

fn syn(client: IpAddr, server: IpAddr, max_segment_size: u16) -> Segment {
    Segment {
        source: SocketAddr::new(client, 40_000),
        destination: SocketAddr::new(server, 25),
        sequence: SequenceNumber(0x0a0b_0c0d),
        acknowledgement: SequenceNumber(0),
        flags: Flags::SYN,
        window: 64_240,
        options: Options {
            max_segment_size: Some(max_segment_size),
            window_scale: Some(7),
            sack_permitted: true,
        },
    }
}

fn rst(client: IpAddr, server: IpAddr) -> Segment {
    Segment {
        sequence: SequenceNumber(0x0a0b_0c0e),
        flags: Flags::RST,
        window: 0,
        options: Options::default(),
        ..syn(client, server, 0)
    }
}

/// A SYN+ACK from port 80 of the server to port 40001 of the client.
pub(crate) fn syn_ack(
    server: IpAddr,
    client: IpAddr,
    (sequence, acknowledgement): (u32, u32),
    window: u16,
    options: Options,
) -> Segment {
    Segment {
        source: SocketAddr::new(server, 80),
        destination: SocketAddr::new(client, 40_001),
        sequence: SequenceNumber(sequence),
        acknowledgement: SequenceNumber(acknowledgement),
        flags: Flags::SYN | Flags::ACK,
        window,
        options,
    }
}

#[rustfmt::skip]
pub(crate) const SYN_V4: [u8; 32] = [
    0x9c, 0x40, 0x00, 0x19, // ports 40000, 25
    0x0a, 0x0b, 0x0c, 0x0d, // sequence
    0x00, 0x00, 0x00, 0x00, // acknowledgement
    0x80, 0x02, 0xfa, 0xf0, // 32 bytes, SYN, window 64240
    0x35, 0x87, 0x00, 0x00, // checksum
    0x02, 0x04, 0x05, 0xb4, // MSS 1460
    0x01, 0x01, 0x04, 0x02, // SACK permitted
    0x01, 0x03, 0x03, 0x07, // window scale 7
];

#[rustfmt::skip]
pub(crate) const SYN_V6: [u8; 32] = [
    0x9c, 0x40, 0x00, 0x19,
    0x0a, 0x0b, 0x0c, 0x0d,
    0x00, 0x00, 0x00, 0x00,
    0x80, 0x02, 0xfa, 0xf0,
    0x66, 0x4e, 0x00, 0x00,
    0x02, 0x04, 0x05, 0xa0, // MSS 1440
    0x01, 0x01, 0x04, 0x02,
    0x01, 0x03, 0x03, 0x07,
];

#[rustfmt::skip]
pub(crate) const RST_V4: [u8; 20] = [
    0x9c, 0x40, 0x00, 0x19,
    0x0a, 0x0b, 0x0c, 0x0e,
    0x00, 0x00, 0x00, 0x00,
    0x50, 0x04, 0x00, 0x00, // 20 bytes, RST, window 0
    0x71, 0x46, 0x00, 0x00,
];

#[rustfmt::skip]
pub(crate) const RST_V6: [u8; 20] = [
    0x9c, 0x40, 0x00, 0x19,
    0x0a, 0x0b, 0x0c, 0x0e,
    0x00, 0x00, 0x00, 0x00,
    0x50, 0x04, 0x00, 0x00,
    0xa1, 0xf9, 0x00, 0x00,
];

/// Linux 6, MTU 1500, timestamps on. On a raw IPv4 socket the IP header comes before the segment.
#[rustfmt::skip]
pub(crate) const LINUX_SYN_ACK_V4: [u8; 60] = [
    0x45, 0x00, 0x00, 0x3c, // version 4, 20 bytes; 60 in all
    0x00, 0x00, 0x40, 0x00, // don't fragment
    0x40, 0x06, 0xae, 0x94, // time to live 64, TCP
    0xc6, 0x12, 0x00, 0x02,
    0xc6, 0x12, 0x00, 0x01,
    0x00, 0x50, 0x9c, 0x41, // ports 80, 40001
    0x1e, 0x27, 0x12, 0xbd,
    0x7a, 0xb0, 0xb2, 0xc5,
    0xa0, 0x12, 0xfe, 0x88, // 40 bytes, SYN+ACK, window 65160
    0x23, 0x97, 0x00, 0x00,
    0x02, 0x04, 0x05, 0xb4, // MSS 1460
    0x04, 0x02, 0x08, 0x0a, // SACK permitted, timestamps
    0x76, 0x25, 0xb7, 0xd6,
    0x40, 0xed, 0x2f, 0xd0,
    0x01, 0x03, 0x03, 0x0a, // window scale 10
];

pub(crate) fn linux_syn_ack_v4() -> Segment {
    let options =
        Options { max_segment_size: Some(1460), window_scale: Some(10), sack_permitted: true };
    syn_ack(SERVER_V4, CLIENT_V4, (0x1e27_12bd, 0x7ab0_b2c5), 65_160, options)
}

#[rustfmt::skip]
pub(crate) const LINUX_SYN_ACK_V6: [u8; 40] = [
    0x00, 0x50, 0x9c, 0x41,
    0x24, 0xfb, 0x37, 0x22,
    0xf1, 0x84, 0xf8, 0xb6,
    0xa0, 0x12, 0xfc, 0xc0, // window 64704
    0xa7, 0x8a, 0x00, 0x00,
    0x02, 0x04, 0x05, 0xa0,
    0x04, 0x02, 0x08, 0x0a,
    0x0d, 0x18, 0x4f, 0x40,
    0xf3, 0x16, 0x15, 0xe7,
    0x01, 0x03, 0x03, 0x0a,
];

pub(crate) fn linux_syn_ack_v6() -> Segment {
    let options =
        Options { max_segment_size: Some(1440), window_scale: Some(10), sack_permitted: true };
    syn_ack(SERVER_V6, CLIENT_V6, (0x24fb_3722, 0xf184_f8b6), 64_704, options)
}

/// Linux refusing a SYN to port 81.
#[rustfmt::skip]
pub(crate) const LINUX_RST_ACK_V4: [u8; 40] = [
    0x45, 0x00, 0x00, 0x28,
    0x00, 0x00, 0x40, 0x00,
    0x40, 0x06, 0xae, 0xa8,
    0xc6, 0x12, 0x00, 0x02,
    0xc6, 0x12, 0x00, 0x01,
    0x00, 0x51, 0x9c, 0x42, // ports 81, 40002
    0x00, 0x00, 0x00, 0x00,
    0x95, 0xe4, 0xfb, 0xfd,
    0x50, 0x14, 0x00, 0x00, // RST+ACK, window 0
    0xf5, 0x32, 0x00, 0x00,
];

pub(crate) fn linux_rst_ack_v4() -> Segment {
    Segment {
        source: SocketAddr::new(SERVER_V4, 81),
        destination: SocketAddr::new(CLIENT_V4, 40_002),
        flags: Flags::RST | Flags::ACK,
        ..syn_ack(SERVER_V4, CLIENT_V4, (0, 0x95e4_fbfd), 0, Options::default())
    }
}

/// Windows: no timestamps, window scale before SACK permitted, time to live 128.
#[rustfmt::skip]
pub(crate) const WINDOWS_SYN_ACK_V4: [u8; 52] = [
    0x45, 0x00, 0x00, 0x34,
    0x1a, 0x2b, 0x40, 0x00,
    0x80, 0x06, 0x54, 0x71,
    0xc6, 0x12, 0x00, 0x02,
    0xc6, 0x12, 0x00, 0x01,
    0x00, 0x50, 0x9c, 0x41,
    0x5f, 0x3e, 0x2d, 0x1c,
    0x7a, 0xb0, 0xb2, 0xc5,
    0x80, 0x12, 0xff, 0xff, // 32 bytes, window 65535
    0x8c, 0x76, 0x00, 0x00,
    0x02, 0x04, 0x05, 0xb4, // MSS 1460
    0x01, 0x03, 0x03, 0x08, // window scale 8
    0x01, 0x01, 0x04, 0x02, // SACK permitted
];

pub(crate) fn windows_syn_ack_v4() -> Segment {
    let options =
        Options { max_segment_size: Some(1460), window_scale: Some(8), sack_permitted: true };
    syn_ack(SERVER_V4, CLIENT_V4, (0x5f3e_2d1c, 0x7ab0_b2c5), 65_535, options)
}

/// macOS: the list of options ends with "end of option list", padded with another one.
#[rustfmt::skip]
pub(crate) const MACOS_SYN_ACK_V4: [u8; 64] = [
    0x45, 0x00, 0x00, 0x40,
    0x00, 0x00, 0x40, 0x00,
    0x40, 0x06, 0xae, 0x90,
    0xc6, 0x12, 0x00, 0x02,
    0xc6, 0x12, 0x00, 0x01,
    0x00, 0x50, 0x9c, 0x41,
    0xc0, 0xff, 0xee, 0x01,
    0x7a, 0xb0, 0xb2, 0xc5,
    0xb0, 0x12, 0xff, 0xff, // 44 bytes, window 65535
    0x93, 0x01, 0x00, 0x00,
    0x02, 0x04, 0x05, 0xb4, // MSS 1460
    0x01, 0x03, 0x03, 0x06, // window scale 6
    0x01, 0x01, 0x08, 0x0a, // timestamps
    0x76, 0x25, 0xb7, 0xd6,
    0x40, 0xed, 0x2f, 0xd0,
    0x04, 0x02, 0x00, 0x00, // SACK permitted, end
];

pub(crate) fn macos_syn_ack_v4() -> Segment {
    let options =
        Options { max_segment_size: Some(1460), window_scale: Some(6), sack_permitted: true };
    syn_ack(SERVER_V4, CLIENT_V4, (0xc0ff_ee01, 0x7ab0_b2c5), 65_535, options)
}

/// A router's own TCP, behind an IPv4 header with options: the TCP header begins at byte 28.
#[rustfmt::skip]
pub(crate) const ROUTER_SYN_ACK_V4: [u8; 52] = [
    0x47, 0x00, 0x00, 0x34, // version 4, 28 bytes
    0x00, 0x00, 0x40, 0x00,
    0xff, 0x06, 0x57, 0x96, // time to live 255
    0xc6, 0x12, 0x00, 0x02,
    0xc6, 0x12, 0x00, 0x01,
    0x94, 0x04, 0x00, 0x00, // router alert (RFC 2113)
    0x01, 0x01, 0x01, 0x00, // no operation, end
    0x00, 0x50, 0x9c, 0x41,
    0x00, 0x00, 0x10, 0x00,
    0x7a, 0xb0, 0xb2, 0xc5,
    0x60, 0x12, 0x10, 0x20, // 24 bytes, window 4128
    0x25, 0x63, 0x00, 0x00,
    0x02, 0x04, 0x02, 0x18, // MSS 536
];

pub(crate) fn router_syn_ack_v4() -> Segment {
    let options = Options { max_segment_size: Some(536), ..Options::default() };
    syn_ack(SERVER_V4, CLIENT_V4, (0x1000, 0x7ab0_b2c5), 4128, options)
}
