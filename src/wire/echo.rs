//! Writes ICMP echo requests, and reads the replies (RFC 792, RFC 4443 §4).

use std::net::IpAddr;

use super::checksum;

/// The types of requests over IPv4 and IPv6.
const REQUEST: [u8; 2] = [8, 128];

/// The length of the header, and the offsets of what a message consists of.
const HEADER: usize = 8;
const CHECKSUM: usize = 2;
const IDENTIFIER: usize = Echo::IDENTIFIER_OFFSET as usize;
const SEQUENCE: usize = 6;
const NUMBER: usize = HEADER;
const PADDING: usize = NUMBER + size_of::<u32>();

/// An echo request, or the reply to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Echo {
    /// Whose request it is: tells the requests of the sockets of one machine apart.
    pub identifier: u16,
    /// Which request it is. Its low half is the sequence number on the wire, and all of it begins
    /// the payload.
    pub number: u32,
}

impl Echo {
    /// The length of a request, and of its reply, in bytes. The payload is as long as that of
    /// ping(8): what looks like any other ping passes where an odd one is dropped.
    pub const LENGTH: usize = HEADER + 56;

    /// The types of replies over IPv4 and IPv6.
    pub const REPLY: [u8; 2] = [0, 129];

    /// The offset of the identifier.
    pub const IDENTIFIER_OFFSET: u32 = 4;

    /// Returns the bytes of a request to `remote`. Over IPv6 the kernel fills in the checksum.
    pub fn request(self, remote: IpAddr) -> [u8; Self::LENGTH] {
        let mut bytes = self.emit(REQUEST[usize::from(remote.is_ipv6())]);
        if remote.is_ipv4() {
            let sum = checksum::of(&bytes);
            bytes[CHECKSUM..IDENTIFIER].copy_from_slice(&sum.to_be_bytes());
        }
        bytes
    }

    /// Reads a reply from `remote` to a request that [`Echo::request`] wrote. Returns `None` for
    /// anything else.
    ///
    /// The checksum is verified over IPv4. Over IPv6 the kernel has verified it.
    pub fn parse_reply(remote: IpAddr, bytes: &[u8]) -> Option<Self> {
        if bytes.len() != Self::LENGTH || remote.is_ipv4() && !checksum::is_complete(bytes) {
            return None;
        }
        let echo = Self {
            identifier: u16::from_be_bytes(*bytes[IDENTIFIER..].first_chunk()?),
            number: u32::from_be_bytes(*bytes[NUMBER..].first_chunk()?),
        };
        let mut reply = echo.emit(Self::REPLY[usize::from(remote.is_ipv6())]);
        reply[CHECKSUM..IDENTIFIER].copy_from_slice(&bytes[CHECKSUM..IDENTIFIER]);
        (reply == bytes).then_some(echo)
    }

    /// Returns the bytes of a message of this type (`kind`), without the checksum.
    fn emit(self, kind: u8) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        let number = self.number.to_be_bytes();
        bytes[0] = kind;
        bytes[IDENTIFIER..SEQUENCE].copy_from_slice(&self.identifier.to_be_bytes());
        bytes[SEQUENCE..NUMBER].copy_from_slice(&number[2..]);
        bytes[NUMBER..PADDING].copy_from_slice(&number);
        for (byte, value) in bytes[PADDING..].iter_mut().zip(4..) {
            *byte = value;
        }
        bytes
    }
}
