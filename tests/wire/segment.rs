//! TCP segments.

use std::net::SocketAddr;

use halfopen::wire::{Flags, Options, Segment, SequenceNumber, Unsound};

use crate::packets::{
    CLIENT_V4, CLIENT_V6, LINUX_SYN_ACK_V4, LINUX_SYN_ACK_V6, SERVER_V4, SERVER_V6, SYN_V4,
    linux_syn_ack_v4, linux_syn_ack_v6, ours, pseudo_header_sum, sealed,
};

#[test]
fn what_we_send_is_these_bytes() {
    for (bytes, segment) in ours() {
        let mut buffer = [0xaa; Segment::LONGEST];
        assert_eq!(segment.emit(&mut buffer), bytes);
        assert_eq!(segment.header_len(), bytes.len());
    }
}

#[test]
fn what_we_send_is_read_back() {
    for (bytes, segment) in ours() {
        assert_eq!(parse(bytes, &segment), Ok(segment));
    }
}

#[test]
fn bytes_beyond_the_segment_are_left_alone() {
    let (_, rst) = ours()[2];
    let mut buffer = [0xaa; 24];
    rst.emit(&mut buffer);
    assert_eq!(buffer[20..], [0xaa; 4]);
}

#[test]
fn an_ipv6_answer_with_timestamps_is_read() {
    let segment = linux_syn_ack_v6();
    assert_eq!(parse(&LINUX_SYN_ACK_V6, &segment), Ok(segment));
}

#[test]
fn ports_come_from_the_header() {
    let (source, destination) = (SocketAddr::new(SERVER_V6, 9), SocketAddr::new(CLIENT_V6, 9));
    let segment = Segment::parse(source, destination, &LINUX_SYN_ACK_V6).unwrap();
    assert_eq!((segment.source.port(), segment.destination.port()), (80, 40_001));
}

#[test]
fn a_truncated_segment_is_rejected() {
    let answer = linux_syn_ack_v6();
    for (bytes, segment) in ours().into_iter().chain([(LINUX_SYN_ACK_V6.as_slice(), answer)]) {
        for length in 0..bytes.len() {
            assert_eq!(
                parse(&bytes[..length], &segment),
                Err(Unsound::Malformed),
                "{length} of {segment}"
            );
        }
    }
}

#[test]
fn a_data_offset_below_the_least_or_past_the_end_is_rejected() {
    for words in 0..16_u8 {
        let mut bytes = LINUX_SYN_ACK_V6;
        bytes[12] = words << 4;
        let read = parse(&sealed(&bytes, SERVER_V6, CLIENT_V6), &linux_syn_ack_v6());
        assert_eq!(read.is_ok(), (5..=10).contains(&words), "{words} words");
        if let Ok(segment) = read {
            assert_eq!(segment.acknowledgement, linux_syn_ack_v6().acknowledgement);
            assert_eq!(segment.flags, Flags::SYN | Flags::ACK);
        }
    }
}

/// Of all values that the field can have.
#[test]
fn the_checksum_is_correct_or_the_sum_of_the_pseudo_header_and_nothing_else() {
    let answers =
        [(&LINUX_SYN_ACK_V4[20..], linux_syn_ack_v4()), (&LINUX_SYN_ACK_V6, linux_syn_ack_v6())];
    for (segment, read) in answers {
        for payload in [&b""[..], b"odd", b"even"] {
            let (source, destination) = (read.source, read.destination);
            let whole = [segment, payload].concat();
            let correct = sealed(&whole, source.ip(), destination.ip());
            let partial = pseudo_header_sum(whole.len(), source.ip(), destination.ip());
            for checksum in 0..=u16::MAX {
                let mut bytes = correct.clone();
                bytes[16..18].copy_from_slice(&checksum.to_be_bytes());
                let sound = bytes == correct || checksum == partial;
                let wrong = Err(Unsound::WrongChecksum { source, destination });
                assert_eq!(parse(&bytes, &read), if sound { Ok(read) } else { wrong });
            }
        }
    }
}

#[test]
fn every_flipped_bit_of_a_segment_is_noticed() {
    for (segment, payload) in [(linux_syn_ack_v6(), &b"220 mail"[..]), (ours()[0].1, b"")] {
        let mut buffer = [0; Segment::LONGEST];
        let whole = [segment.emit(&mut buffer), payload].concat();
        let mut bytes = sealed(&whole, segment.source.ip(), segment.destination.ip());
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(parse(&bytes, &segment).is_err(), "bit {bit} of {segment}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

/// RFC 1071 §2: one's complement has two zeros.
#[test]
fn a_checksum_of_zero_may_be_written_either_way() {
    let (mut zeros, segment) = (0, linux_syn_ack_v6());
    for window in 0..=u16::MAX {
        let mut bytes = LINUX_SYN_ACK_V6;
        bytes[14..16].copy_from_slice(&window.to_be_bytes());
        let mut bytes = sealed(&bytes, SERVER_V6, CLIENT_V6);
        if bytes[16..18] == [0, 0] {
            zeros += 1;
            assert!(parse(&bytes, &segment).is_ok());
            bytes[16..18].fill(0xff);
            assert!(parse(&bytes, &segment).is_ok());
        }
    }
    assert_eq!(zeros, 1);
}

#[test]
fn options_are_found_behind_padding_and_unknown_ones() {
    let all = Options { max_segment_size: Some(1460), window_scale: Some(7), sack_permitted: true };
    let none = Options::default();
    let mss = Options { max_segment_size: Some(1460), ..none };
    for (options, found) in [
        ([0; 8].as_slice(), none),                   // only the end
        (&[1; 8], none),                             // only padding
        (&[1, 1, 1, 1, 2, 4, 5, 0xb4], mss),         // padding first
        (&[1, 2, 4, 5, 0xb4, 0, 0, 0], mss),         // not on a word's boundary
        (&[254, 4, 0xf9, 0x89, 2, 4, 5, 0xb4], mss), // an experiment (RFC 6994) first
        (&[34, 2, 1, 1, 2, 4, 5, 0xb4], mss),        // a Fast Open request first
        // MD5 first
        (&[19, 18, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 1, 1, 2, 4, 5, 0xb4], mss),
        (&[4, 2, 3, 3, 7, 2, 4, 5, 0xb4, 0, 0, 0], all), // in no usual order
        (&[2, 4, 5, 0xb4, 0, 3, 3, 7, 4, 2, 0, 0], mss), // behind the end there is nothing
    ] {
        assert_eq!(parse_options(options).options, found, "{options:?}");
    }
}

#[test]
fn options_with_a_wrong_length_are_ignored() {
    let none = Options::default();
    let mss = Options { max_segment_size: Some(1460), ..none };
    for (options, found) in [
        ([2, 3, 5, 0].as_slice(), none), // an MSS too short for its value
        (&[2, 5, 5, 0xb4, 0, 0, 0, 0], none), // or too long
        (&[2, 0, 0, 0], none),           // length zero (RFC 9293 §3.2, MUST-7)
        (&[3, 1, 0, 0], none),           // shorter than kind and length themselves
        (&[1, 1, 2, 4], none),           // cut off before its value
        (&[1, 2, 4, 5], none),           // or within it
        (&[1, 1, 1, 2], none),           // cut off before its length
        (&[2, 255, 5, 0xb4], none),      // past the end of the header
        (&[3, 4, 7, 7], none),
        (&[3, 200, 7, 0], none),
        (&[4, 3, 1, 1], none),
        (&[4, 40, 0, 0], none),
        (&[2, 4, 5, 0xb4, 3, 0, 0, 0], mss), // what stands before the lie stays
        (&[2, 4, 5, 0xb4, 8, 10, 0, 0], mss),
        (&[2, 4, 5, 0xb4, 3, 255, 7, 0], mss),
    ] {
        assert_eq!(parse_options(options).options, found, "{options:?}");
    }
}

#[test]
fn sequence_numbers_wrap() {
    assert_eq!(SequenceNumber(7) + 1, SequenceNumber(8));
    assert_eq!(SequenceNumber(u32::MAX) + 1, SequenceNumber(0));
    assert_eq!(SequenceNumber(0x8000_0000) + 0x8000_0001, SequenceNumber(1));
}

#[test]
fn flags_are_displayed_as_people_write_them() {
    assert_eq!((Flags::SYN | Flags::ACK).to_string(), "SYN+ACK");
    assert_eq!((Flags::RST | Flags::ACK).to_string(), "RST+ACK");
    assert_eq!(Flags(0).to_string(), "none");
    assert_eq!(Flags(0xff).to_string(), "FIN+SYN+RST+PSH+ACK+URG+ECE+CWR");
}

#[test]
fn a_segment_is_displayed_as_a_line_of_a_trace() {
    assert_eq!(
        ours()[0].1.to_string(),
        "198.18.0.1:40000 > 198.18.0.2:25 SYN seq 168496141 win 64240 mss 1460 sackOK wscale 7"
    );
    assert_eq!(
        linux_syn_ack_v4().to_string(),
        "198.18.0.2:80 > 198.18.0.1:40001 SYN+ACK seq 505877181 ack 2058400453 win 65160 \
         mss 1460 sackOK wscale 10"
    );
    assert_eq!(
        ours()[3].1.to_string(),
        "[2001:db8::1]:40000 > [2001:db8::2]:25 RST seq 168496142 win 0"
    );
}

/// Reads `bytes` as travelling between the addresses of `segment`.
pub(crate) fn parse(bytes: &[u8], segment: &Segment) -> Result<Segment, Unsound> {
    let port_less = |endpoint: SocketAddr| SocketAddr::new(endpoint.ip(), 0);
    Segment::parse(port_less(segment.source), port_less(segment.destination), bytes)
}

/// The SYN with these options instead of its own: a multiple of four bytes, 40 at most.
pub(crate) fn parse_options(options: &[u8]) -> Segment {
    let mut bytes = SYN_V4[..20].to_vec();
    bytes.extend(options);
    bytes[12] = u8::try_from(bytes.len() / 4).unwrap() << 4;
    parse(&sealed(&bytes, CLIENT_V4, SERVER_V4), &ours()[0].1).unwrap()
}
