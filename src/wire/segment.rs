//! TCP segments (RFC 9293 §3.1).

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::{Add, BitOr};

use pnet::packet::Packet;
use pnet::packet::tcp::{
    MutableTcpPacket, TcpOptionNumbers, TcpPacket, ipv4_checksum, ipv6_checksum,
};

use super::checksum;

/// The length of a header without options in bytes.
const HEADER: usize = 20;

/// A TCP segment with its endpoints, without its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// The endpoint that it comes from.
    pub source: SocketAddr,
    /// The endpoint that it goes to, of the same family.
    pub destination: SocketAddr,
    /// SEG.SEQ.
    pub sequence: SequenceNumber,
    /// SEG.ACK, which has a meaning only with [`Flags::ACK`].
    pub acknowledgement: SequenceNumber,
    /// The control bits.
    pub flags: Flags,
    /// SEG.WND as in the header, not scaled.
    pub window: u16,
    /// The options that a SYN may carry.
    pub options: Options,
}

impl Segment {
    /// The most bytes that [`Segment::emit`] writes: a header with every option of [`Options`].
    pub const LONGEST: usize = HEADER + 12;

    /// Reads a segment that travelled from the address of `source` to that of `destination`. Their
    /// ports are replaced by those of the header. `bytes` is the whole segment, because the
    /// checksum covers the payload, too.
    ///
    /// # Errors
    ///
    /// Returns an error if the header is malformed, or the checksum is wrong.
    pub fn parse(
        mut source: SocketAddr,
        mut destination: SocketAddr,
        bytes: &[u8],
    ) -> Result<Self, Unsound> {
        let packet = TcpPacket::new(bytes).ok_or(Unsound::Malformed)?;
        let header = usize::from(packet.get_data_offset()) * 4;
        if header < HEADER || header > bytes.len() {
            return Err(Unsound::Malformed);
        }
        source.set_port(packet.get_source());
        destination.set_port(packet.get_destination());
        if !checksum::holds(bytes, source.ip(), destination.ip()) {
            return Err(Unsound::WrongChecksum { source, destination });
        }
        Ok(Self {
            source,
            destination,
            sequence: SequenceNumber(packet.get_sequence()),
            acknowledgement: SequenceNumber(packet.get_acknowledgement()),
            flags: Flags(packet.get_flags()),
            window: packet.get_window(),
            options: Options::parse(&packet),
        })
    }

    /// Returns the length of header and options in bytes.
    pub fn header_len(&self) -> usize {
        HEADER + self.options.len()
    }

    /// Writes the segment over the first [`Segment::header_len`] bytes of `buffer`, checksum
    /// included, and returns them.
    ///
    /// # Panics
    ///
    /// Panics if `buffer` is shorter, or the endpoints are of different families.
    pub fn emit<'a>(&self, buffer: &'a mut [u8]) -> &'a [u8] {
        let bytes = &mut buffer[..self.header_len()];
        bytes.fill(0);
        let mut packet = MutableTcpPacket::new(bytes).expect("at least a header long");
        packet.set_source(self.source.port());
        packet.set_destination(self.destination.port());
        packet.set_sequence(self.sequence.0);
        packet.set_acknowledgement(self.acknowledgement.0);
        packet.set_data_offset(u8::try_from(self.header_len() / 4).expect("at most 60 bytes"));
        packet.set_flags(self.flags.0);
        packet.set_window(self.window);
        self.options.emit(packet.get_options_raw_mut());
        let checksum = match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => ipv4_checksum(&packet.to_immutable(), &from, &to),
            (IpAddr::V6(from), IpAddr::V6(to)) => ipv6_checksum(&packet.to_immutable(), &from, &to),
            _ => panic!("endpoints of different families"),
        };
        packet.set_checksum(checksum);
        &buffer[..self.header_len()]
    }
}

/// Why bytes are not accepted as a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsound {
    /// A header is cut short, or a length points outside the bytes.
    Malformed,
    /// The segment was changed on its way, perhaps with its endpoints.
    WrongChecksum {
        /// The endpoint that it seems to come from.
        source: SocketAddr,
        /// The endpoint that it seems to go to.
        destination: SocketAddr,
    },
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} > {} {} seq {}", self.source, self.destination, self.flags, self.sequence)?;
        if self.flags.contains(Flags::ACK) {
            write!(f, " ack {}", self.acknowledgement)?;
        }
        write!(f, " win {}{}", self.window, self.options)
    }
}

/// A sequence number: arithmetic wraps at 2³² (RFC 9293 §3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceNumber(pub u32);

impl Add<u32> for SequenceNumber {
    type Output = Self;

    fn add(self, octets: u32) -> Self {
        Self(self.0.wrapping_add(octets))
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The eight control bits (RFC 9293 §3.1), as on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// No more data from sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronize sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Acknowledgement field is significant.
    pub const ACK: Self = Self(0x10);

    const NAMES: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];

    /// Returns true if every bit of `other` is set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns true if any bit of `other` is set.
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Flags {
    /// `SYN+ACK`; ACK last of its pair, as the field writes it; `none` for no bit at all.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set: Vec<_> =
            (0..8).filter(|bit| self.0 & (1 << bit) != 0).map(|bit| Self::NAMES[bit]).collect();
        f.write_str(if set.is_empty() { "none" } else { "" })?;
        f.write_str(&set.join("+"))
    }
}

/// Options of a SYN that tell stacks and middleboxes apart (RFC 9293 §3.2, RFC 7323 §2, RFC 2018
/// §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Maximum segment size, bytes.
    pub max_segment_size: Option<u16>,
    /// Window scale, shift count.
    pub window_scale: Option<u8>,
    /// Selective acknowledgements permitted.
    pub sack_permitted: bool,
}

impl Options {
    /// Reads the first option of each kind, and skips unknown ones. Stops at an option whose length
    /// is wrong, as `tcp_parse_options()` does.
    fn parse(packet: &TcpPacket<'_>) -> Self {
        let mut options = Self::default();
        for option in packet.get_options_iter() {
            let (kind, payload) = (option.get_number(), option.payload());
            // All but two kinds say how long they are.
            let short = [TcpOptionNumbers::EOL, TcpOptionNumbers::NOP].contains(&kind);
            let room = (!short).then(|| 2 + payload.len());
            if option.get_length_raw().first().map(|length| usize::from(*length)) != room {
                break;
            }
            match (kind, payload) {
                (TcpOptionNumbers::EOL, _) => break,
                (TcpOptionNumbers::MSS, &[high, low]) => {
                    options.max_segment_size.get_or_insert(u16::from_be_bytes([high, low]));
                }
                (TcpOptionNumbers::WSCALE, &[shift]) => {
                    options.window_scale.get_or_insert(shift);
                }
                (TcpOptionNumbers::SACK_PERMITTED, &[]) => options.sack_permitted = true,
                _ => {}
            }
        }
        options
    }

    /// Writes the options in the order and with the padding of Linux without timestamps
    /// (`tcp_options_write`): a SYN that looks like any other passes where an odd one is dropped.
    fn emit(self, mut buffer: &mut [u8]) {
        let mut put = |four: [u8; 4]| {
            let (head, tail) = std::mem::take(&mut buffer).split_at_mut(4);
            head.copy_from_slice(&four);
            buffer = tail;
        };
        let [nop, mss, wscale, sack] = [
            TcpOptionNumbers::NOP,
            TcpOptionNumbers::MSS,
            TcpOptionNumbers::WSCALE,
            TcpOptionNumbers::SACK_PERMITTED,
        ]
        .map(|kind| kind.0);
        if let Some(size) = self.max_segment_size {
            let [high, low] = size.to_be_bytes();
            put([mss, 4, high, low]);
        }
        if self.sack_permitted {
            put([nop, nop, sack, 2]);
        }
        if let Some(shift) = self.window_scale {
            put([nop, wscale, 3, shift]);
        }
    }

    fn len(self) -> usize {
        4 * (usize::from(self.max_segment_size.is_some())
            + usize::from(self.sack_permitted)
            + usize::from(self.window_scale.is_some()))
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(size) = self.max_segment_size {
            write!(f, " mss {size}")?;
        }
        if self.sack_permitted {
            f.write_str(" sackOK")?;
        }
        if let Some(shift) = self.window_scale {
            write!(f, " wscale {shift}")?;
        }
        Ok(())
    }
}
