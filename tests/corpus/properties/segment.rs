use std::net::SocketAddr;

use halfopen::wire::{Flags, Options, Segment};
use smoltcp::wire::{TcpOption, TcpPacket};

use super::assert_fit_for_a_line;

/// A TCP segment is read when smoltcp, which shares no code with us, finds it sound, and says the same; what is written of it
/// is read back.
pub fn segment(bytes: &[u8]) {
    for (source, destination) in
        [("198.18.0.2:0", "198.18.0.1:0"), ("[2001:db8::2]:0", "[2001:db8::1]:0")]
    {
        let [source, destination] = [source, destination].map(|end| end.parse().unwrap());
        read_and_written(source, destination, bytes);
    }
}

fn read_and_written(source: SocketAddr, destination: SocketAddr, bytes: &[u8]) {
    let judge = TcpPacket::new_checked(bytes);
    let Some(segment) = Segment::parse(source, destination, bytes) else {
        assert!(judge.is_err(), "sound, and not read");
        return;
    };
    let judge = judge.expect("not sound, and read");
    assert_same(&segment, &judge);
    let header = usize::from(judge.header_len());
    assert_eq!(Segment::parse(source, destination, &bytes[..header]), Some(segment));
    assert_eq!(Segment::parse(source, destination, &bytes[..header - 1]), None);
    assert_fit_for_a_line(&segment.to_string());

    let mut buffer = [0xff; Segment::LONGEST];
    let written = segment.emit(&mut buffer);
    assert_eq!(written.len(), segment.header_len());
    assert_eq!(Segment::parse(source, destination, written), Some(segment));
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

/// The first option of each kind, up to one whose length lies.
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
            // Of a kind that smoltcp knows in another length.
            (Err(_), [_, length, ..]) if (2..=bytes.len()).contains(&usize::from(*length)) => {
                &bytes[usize::from(*length)..]
            }
            (Err(_), _) => break,
        };
    }
    first
}
