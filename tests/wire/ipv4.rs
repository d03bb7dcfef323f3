//! Segments behind an IPv4 header, as a raw IPv4 socket delivers them.

use halfopen::wire::{Segment, Unsound, ipv4};
use proptest::collection::vec;
use proptest::prelude::*;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpProtocol, Ipv4Packet, Ipv4Repr};

use crate::packets::{
    CLIENT_V4, LINUX_RST_ACK_V4, LINUX_SYN_ACK_V4, MACOS_SYN_ACK_V4, ROUTER_SYN_ACK_V4, SERVER_V4,
    WINDOWS_SYN_ACK_V4, linux_rst_ack_v4, linux_syn_ack_v4, macos_syn_ack_v4, router_syn_ack_v4,
    sealed, windows_syn_ack_v4,
};
use crate::random_segments::segments;

/// Packets, what they say, and their time to live.
fn answers() -> Vec<(&'static [u8], Segment, u8)> {
    vec![
        (&LINUX_SYN_ACK_V4, linux_syn_ack_v4(), 64),
        (&LINUX_RST_ACK_V4, linux_rst_ack_v4(), 64),
        (&WINDOWS_SYN_ACK_V4, windows_syn_ack_v4(), 128),
        (&MACOS_SYN_ACK_V4, macos_syn_ack_v4(), 64),
        (&ROUTER_SYN_ACK_V4, router_syn_ack_v4(), 255),
    ]
}

#[test]
fn answers_of_real_stacks_are_read() {
    for (bytes, segment, time_to_live) in answers() {
        assert_eq!(ipv4::parse(bytes), Ok((segment, time_to_live)));
    }
}

#[test]
fn smoltcp_too_accepts_the_constants() {
    for (bytes, segment, time_to_live) in answers() {
        let packet = Ipv4Packet::new_checked(bytes).unwrap();
        assert!(packet.verify_checksum());
        assert_eq!(packet.hop_limit(), time_to_live);
        assert_eq!(usize::from(packet.total_len()), bytes.len());
        let tcp = smoltcp::wire::TcpPacket::new_checked(packet.payload()).unwrap();
        assert!(tcp.verify_checksum(&SERVER_V4.into(), &CLIENT_V4.into()));
        assert_eq!(tcp.src_port(), segment.source.port());
    }
}

#[test]
fn a_truncated_segment_is_rejected() {
    for (bytes, ..) in answers() {
        for length in 0..bytes.len() {
            assert_eq!(
                ipv4::parse(&bytes[..length]),
                Err(Unsound::Malformed),
                "{length} of {} bytes",
                bytes.len()
            );
        }
    }
}

#[test]
fn payload_is_passed_over() {
    for (bytes, segment, time_to_live) in answers() {
        let mut longer = bytes.to_vec();
        longer.extend([0xff; 40]);
        let header = usize::from(bytes[0] & 0xf) * 4;
        longer.splice(header.., sealed(&longer[header..], SERVER_V4, CLIENT_V4));
        assert_eq!(ipv4::parse(&longer), Ok((segment, time_to_live)));
    }
}

#[test]
fn only_version_4_is_read() {
    for version in (0..16).filter(|version| *version != 4) {
        let mut bytes = LINUX_SYN_ACK_V4;
        bytes[0] = version << 4 | 5;
        assert_eq!(ipv4::parse(&bytes), Err(Unsound::Malformed), "version {version}");
    }
}

#[test]
fn a_header_length_below_the_least_or_past_the_end_is_rejected() {
    for words in [0, 1, 2, 3, 4, 11, 12, 13, 14, 15] {
        let mut bytes = LINUX_SYN_ACK_V4;
        bytes[0] = 0x40 | words;
        assert_eq!(ipv4::parse(&bytes), Err(Unsound::Malformed), "{words} words");
    }
}

#[test]
fn only_tcp_is_read() {
    for protocol in (0..=255).filter(|protocol| *protocol != 6) {
        let mut bytes = LINUX_SYN_ACK_V4;
        bytes[9] = protocol;
        assert_eq!(ipv4::parse(&bytes), Err(Unsound::Malformed), "protocol {protocol}");
    }
}

#[test]
fn later_fragments_hold_no_header() {
    for bit in 0..13 {
        let offset: u16 = 1 << bit;
        let mut bytes = LINUX_SYN_ACK_V4;
        bytes[6..8].copy_from_slice(&offset.to_be_bytes());
        assert_eq!(ipv4::parse(&bytes), Err(Unsound::Malformed), "offset {offset}");
    }
}

#[test]
fn dont_fragment_and_more_fragments_leave_the_first_fragment_readable() {
    for flags in [0x00, 0x20, 0x40, 0x60] {
        let mut bytes = LINUX_SYN_ACK_V4;
        bytes[6] = flags;
        assert_eq!(ipv4::parse(&bytes), Ok((linux_syn_ack_v4(), 64)));
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..130)) {
        let _ = ipv4::parse(&bytes);
    }

    /// Random except for the header's first byte and protocol, so that more than a few pass those
    /// checks.
    #[test]
    fn random_headers_that_look_right_never_panic(
        words in 5_u8..16,
        mut bytes in vec(any::<u8>(), 20..130),
    ) {
        bytes[0] = 0x40 | words;
        bytes[6..8].fill(0);
        bytes[9] = 6;
        let header = usize::from(words) * 4;
        if bytes.len() >= header + 20 {
            let [source, destination] =
                [12, 16].map(|at| <[u8; 4]>::try_from(&bytes[at..at + 4]).unwrap().into());
            bytes.splice(header.., sealed(&bytes[header..], source, destination));
        }
        if let Ok((segment, time_to_live)) = ipv4::parse(&bytes) {
            prop_assert!(bytes.len() >= header + 20);
            prop_assert_eq!(time_to_live, bytes[8]);
            let port = u16::from_be_bytes([bytes[header], bytes[header + 1]]);
            prop_assert_eq!(segment.source.port(), port);
        }
    }

    #[test]
    fn what_smoltcp_writes_is_read(segment in segments(CLIENT_V4, SERVER_V4), hop_limit: u8) {
        let mut buffer = [0; Segment::LONGEST];
        let payload = segment.emit(&mut buffer);
        let header = Ipv4Repr {
            src_addr: "198.18.0.1".parse().unwrap(),
            dst_addr: "198.18.0.2".parse().unwrap(),
            next_header: IpProtocol::Tcp,
            payload_len: payload.len(),
            hop_limit,
        };
        let mut bytes = vec![0; header.buffer_len()];
        header.emit(&mut Ipv4Packet::new_unchecked(&mut bytes), &ChecksumCapabilities::default());
        bytes.extend(payload);
        prop_assert_eq!(ipv4::parse(&bytes), Ok((segment, hop_limit)));
    }
}
