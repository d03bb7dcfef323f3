use std::net::SocketAddr;

use halfopen::wire::{Flags, Options, Segment, Unsound};
use smoltcp::wire::{TcpOption, TcpPacket};

use super::assert_fit_for_a_line;

/// A TCP segment is read if smoltcp, which shares no code with us, finds it well-formed, and its
/// checksum is right or left to a network card. Both read the same values, and what we write is
/// read back. Few inputs have the right checksum, so each is also read with it.
pub fn segment(bytes: &[u8]) {
    for (source, destination) in
        [("198.18.0.2:0", "198.18.0.1:0"), ("[2001:db8::2]:0", "[2001:db8::1]:0")]
    {
        let [source, destination] = [source, destination].map(|end| end.parse().unwrap());
        let read = Segment::parse(source, destination, bytes);
        if TcpPacket::new_checked(bytes).is_err() {
            assert_eq!(read, Err(Unsound::Malformed));
            continue;
        }
        let right = sealed(source, destination, bytes);
        let sum = !TcpPacket::new_unchecked(sealed(source, destination, &vec![0; bytes.len()]))
            .checksum();
        let stands = TcpPacket::new_unchecked(bytes).checksum();
        let correct = TcpPacket::new_unchecked(&right).checksum();
        let holds = stands == correct || (stands, correct) == (u16::MAX, 0) || stands == sum;
        assert_eq!(read.is_ok(), holds, "{stands:#06x} for {correct:#06x} or {sum:#06x}");
        read_and_written(source, destination, &right);
    }
}

/// The segment with the checksum that smoltcp gives it.
pub(super) fn sealed(source: SocketAddr, destination: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let [source, destination] = [source, destination].map(|end| end.ip().into());
    TcpPacket::new_unchecked(&mut bytes).fill_checksum(&source, &destination);
    bytes
}

fn read_and_written(source: SocketAddr, destination: SocketAddr, bytes: &[u8]) {
    let segment = Segment::parse(source, destination, bytes).expect("sound, and not read");
    let judge = TcpPacket::new_checked(bytes).expect("not sound, and read");
    assert_same(&segment, &judge);
    let header = usize::from(judge.header_len());
    let alone = sealed(source, destination, &bytes[..header]);
    assert_eq!(Segment::parse(source, destination, &alone), Ok(segment));
    let cut = Segment::parse(source, destination, &bytes[..header - 1]);
    assert_eq!(cut, Err(Unsound::Malformed));
    assert_fit_for_a_line(&segment.to_string());

    let mut buffer = [0xff; Segment::LONGEST];
    let written = segment.emit(&mut buffer);
    assert_eq!(written.len(), segment.header_len());
    assert_eq!(Segment::parse(source, destination, written), Ok(segment));
    let judge = TcpPacket::new_checked(written).unwrap();
    assert_same(&segment, &judge);
    assert_eq!(usize::from(judge.header_len()), written.len());
    assert_eq!((judge.ns(), judge.urgent_at()), (false, 0));
    assert!(judge.verify_checksum(&source.ip().into(), &destination.ip().into()));
}

fn assert_same(segment: &Segment, judge: &TcpPacket<&[u8]>) {
    assert_eq!(segment.source.port(), judge.src_port());
    assert_eq!(segment.destination.port(), judge.dst_port());
    assert_eq!(segment.sequence.0, judge.seq_number().0.cast_unsigned());
    assert_eq!(segment.acknowledgement.0, judge.ack_number().0.cast_unsigned());
    assert_eq!(segment.window, judge.window_len());
    for (flag, set) in [
        (Flags::FIN, judge.fin()),
        (Flags::SYN, judge.syn()),
        (Flags::RST, judge.rst()),
        (Flags(0x08), judge.psh()),
        (Flags::ACK, judge.ack()),
        (Flags(0x20), judge.urg()),
        (Flags(0x40), judge.ece()),
        (Flags(0x80), judge.cwr()),
    ] {
        assert_eq!(segment.flags.contains(flag), set, "{flag}");
    }
    assert_eq!(segment.options, options(judge.options()));
}

/// The first option of each kind, up to one with a wrong length.
fn options(mut bytes: &[u8]) -> Options {
    let mut first = Options::default();
    while !bytes.is_empty() {
        bytes = match (TcpOption::parse(bytes), bytes) {
            (Ok((_, TcpOption::EndOfList)), _) => break,
            (Ok((behind, option)), _) => {
                match option {
                    TcpOption::MaxSegmentSize(size) => {
                        first.max_segment_size.get_or_insert(size);
                    }
                    TcpOption::WindowScale(shift) => {
                        first.window_scale.get_or_insert(shift);
                    }
                    TcpOption::SackPermitted => first.sack_permitted = true,
                    _ => {}
                }
                behind
            }
            // A kind that smoltcp knows with another length.
            (Err(_), [_, length, ..]) if (2..=bytes.len()).contains(&usize::from(*length)) => {
                &bytes[usize::from(*length)..]
            }
            (Err(_), _) => break,
        };
    }
    first
}
