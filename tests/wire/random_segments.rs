//! Random segments and random bytes, with smoltcp as the judge.

use std::net::{IpAddr, SocketAddr};

use halfopen::wire::{Flags, Options, Segment, SequenceNumber, Unsound};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpAddress, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber, TcpTimestampRepr};

use crate::packets::{CLIENT_V4, CLIENT_V6, SERVER_V4, SERVER_V6, linux_syn_ack_v4, ours, sealed};
use crate::segment::{parse, parse_options};

proptest! {
    #[test]
    fn every_ipv4_segment_survives_the_wire(segment in segments(CLIENT_V4, SERVER_V4)) {
        prop_assert_eq!(round_trip(&segment), Ok(segment));
    }

    #[test]
    fn every_ipv6_segment_survives_the_wire(segment in segments(CLIENT_V6, SERVER_V6)) {
        prop_assert_eq!(round_trip(&segment), Ok(segment));
    }

    #[test]
    fn smoltcp_reads_what_we_write_over_ipv4(segment in segments(CLIENT_V4, SERVER_V4)) {
        judge(&segment)?;
    }

    #[test]
    fn smoltcp_reads_what_we_write_over_ipv6(segment in segments(CLIENT_V6, SERVER_V6)) {
        judge(&segment)?;
    }

    #[test]
    fn we_read_what_smoltcp_writes(
        options in options(14),
        timestamp in option::of(any::<(u32, u32)>()),
        (sequence, acknowledgement) in any::<(i32, i32)>(),
        window: u16,
        payload in vec(any::<u8>(), 0..8),
    ) {
        let repr = TcpRepr {
            src_port: 80,
            dst_port: 40_001,
            control: TcpControl::Syn,
            seq_number: TcpSeqNumber(sequence),
            ack_number: Some(TcpSeqNumber(acknowledgement)),
            window_len: window,
            window_scale: options.window_scale,
            max_seg_size: options.max_segment_size,
            sack_permitted: options.sack_permitted,
            sack_ranges: [None; 3],
            timestamp: timestamp.map(|(value, echo)| TcpTimestampRepr::new(value, echo)),
            payload: &payload,
        };
        let mut bytes = vec![0; repr.buffer_len()];
        repr.emit(
            &mut TcpPacket::new_unchecked(&mut bytes),
            &SERVER_V4.into(),
            &CLIENT_V4.into(),
            &ChecksumCapabilities::default(),
        );
        let segment = Segment {
            sequence: SequenceNumber(sequence.cast_unsigned()),
            acknowledgement: SequenceNumber(acknowledgement.cast_unsigned()),
            window,
            options,
            ..linux_syn_ack_v4()
        };
        prop_assert_eq!(parse(&bytes, &segment), Ok(segment));
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..80)) {
        let _ = parse(&bytes, &ours()[0].1);
        if bytes.len() >= 20
            && let Ok(segment) = parse(&sealed(&bytes, CLIENT_V4, SERVER_V4), &ours()[0].1)
        {
            prop_assert_eq!(round_trip(&segment), Ok(segment));
        }
    }

    /// Behind a valid header, so that the options are always parsed.
    #[test]
    fn random_options_touch_nothing_else(options in vec(any::<[u8; 4]>(), 0..=10)) {
        let bare = parse_options(&[]);
        let read = parse_options(options.as_flattened());
        prop_assert_eq!(Segment { options: bare.options, ..read }, bare);
    }
}

/// Any segment between these addresses.
pub(crate) fn segments(from: IpAddr, to: IpAddr) -> impl Strategy<Value = Segment> {
    let endpoints = (1..=u16::MAX, 1..=u16::MAX)
        .prop_map(move |(s, d)| (SocketAddr::new(from, s), SocketAddr::new(to, d)));
    (endpoints, any::<(u32, u32, u8, u16)>(), options(255)).prop_map(
        |((source, destination), (sequence, acknowledgement, flags, window), options)| Segment {
            source,
            destination,
            sequence: SequenceNumber(sequence),
            acknowledgement: SequenceNumber(acknowledgement),
            flags: Flags(flags),
            window,
            options,
        },
    )
}

fn options(most_window_scale: u8) -> impl Strategy<Value = Options> {
    (option::of(any::<u16>()), option::of(0..=most_window_scale), any::<bool>()).prop_map(
        |(max_segment_size, window_scale, sack_permitted)| Options {
            max_segment_size,
            window_scale,
            sack_permitted,
        },
    )
}

/// What smoltcp, which shares no code with us, makes of the segment.
fn judge(segment: &Segment) -> Result<(), TestCaseError> {
    let mut buffer = [0; Segment::LONGEST];
    let packet = TcpPacket::new_checked(segment.emit(&mut buffer)).unwrap();
    let [from, to] = [segment.source, segment.destination].map(|end| IpAddress::from(end.ip()));
    prop_assert!(packet.verify_checksum(&from, &to));
    prop_assert_eq!(packet.src_port(), segment.source.port());
    prop_assert_eq!(packet.dst_port(), segment.destination.port());
    prop_assert_eq!(packet.seq_number(), TcpSeqNumber(segment.sequence.0.cast_signed()));
    prop_assert_eq!(packet.ack_number(), TcpSeqNumber(segment.acknowledgement.0.cast_signed()));
    prop_assert_eq!(usize::from(packet.header_len()), segment.header_len());
    prop_assert_eq!(packet.window_len(), segment.window);
    prop_assert_eq!(packet.urgent_at(), 0);
    prop_assert!(packet.payload().is_empty());
    let flags = [
        packet.fin(),
        packet.syn(),
        packet.rst(),
        packet.psh(),
        packet.ack(),
        packet.urg(),
        packet.ece(),
        packet.cwr(),
    ];
    for (bit, set) in flags.into_iter().enumerate() {
        prop_assert_eq!(set, segment.flags.0 & 1 << bit != 0, "flag {}", bit);
    }
    let summary = packet.options_summary().unwrap();
    prop_assert_eq!(summary.max_segment_size, segment.options.max_segment_size);
    prop_assert_eq!(summary.window_scale, segment.options.window_scale);
    prop_assert_eq!(summary.sack_permitted, segment.options.sack_permitted);
    Ok(())
}

fn round_trip(segment: &Segment) -> Result<Segment, Unsound> {
    let mut buffer = [0; Segment::LONGEST];
    parse(segment.emit(&mut buffer), segment)
}
