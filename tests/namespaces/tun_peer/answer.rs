//! Packets that a peer, a router on the way or an attacker could send: any field may be wrong.

use std::net::IpAddr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv4Message, Icmpv4Packet, Icmpv6Message, Icmpv6Packet, IpAddress, IpProtocol, IpRepr,
    IpVersion, Ipv4Packet, TcpPacket, TcpSeqNumber,
};

// The flags byte of the TCP header, RFC 9293 §3.1.
pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const PSH: u8 = 0x08;
pub(crate) const ACK: u8 = 0x10;
pub(crate) const URG: u8 = 0x20;
pub(crate) const ECE: u8 = 0x40;
pub(crate) const CWR: u8 = 0x80;

const ICMP_HEADER: usize = 8;
const TCP_HEADER: usize = 20;
const ROUTER_HOP_LIMIT: u8 = 64;

/// A TCP segment from the peer's side.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) sequence: u32,
    pub(crate) acknowledgement: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    /// TCP options as bytes, valid or not, padded with end-of-list to a multiple of four.
    pub(crate) options: Vec<u8>,
    pub(crate) payload: Vec<u8>,
    pub(crate) hop_limit: u8,
    /// IPv4 options, or an IPv6 destination options header: a multiple of four, or of eight.
    pub(crate) ip_options: Vec<u8>,
    /// The header length in bytes that the segment claims, if it is wrong.
    pub(crate) data_offset: Option<u8>,
    /// The length to which the segment is cut. Its checksum covers what is left.
    pub(crate) cut_to: Option<usize>,
    pub(crate) checksum: Checksum,
}

/// The content of the checksum field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checksum {
    Correct,
    /// The correct one with these bits flipped.
    Wrong(u16),
    /// The sum of the pseudo-header, which a network card would complete.
    Unfinished,
}

impl Answer {
    pub(crate) fn packet(&self) -> Vec<u8> {
        let (source, destination) = (self.source.into(), self.destination.into());
        let segment = self.segment(&source, &destination);
        if self.ip_options.is_empty() {
            return ip_packet(source, destination, IpProtocol::Tcp, self.hop_limit, &segment);
        }
        match source.version() {
            IpVersion::Ipv4 => self.with_ipv4_options(source, destination, &segment),
            IpVersion::Ipv6 => {
                let behind_options = [&self.ip_options[..], &segment].concat();
                ip_packet(
                    source,
                    destination,
                    IpProtocol::Ipv6Opts,
                    self.hop_limit,
                    &behind_options,
                )
            }
        }
    }

    fn segment(&self, source: &IpAddress, destination: &IpAddress) -> Vec<u8> {
        let options_length = self.options.len().next_multiple_of(4);
        let header_length = TCP_HEADER + options_length;
        let mut bytes = vec![0; header_length];
        bytes[TCP_HEADER..][..self.options.len()].copy_from_slice(&self.options);
        bytes.extend_from_slice(&self.payload);
        bytes[13] = self.flags;

        let mut tcp = TcpPacket::new_unchecked(&mut bytes[..]);
        tcp.set_src_port(self.source_port);
        tcp.set_dst_port(self.destination_port);
        tcp.set_seq_number(TcpSeqNumber(self.sequence.cast_signed()));
        tcp.set_ack_number(TcpSeqNumber(self.acknowledgement.cast_signed()));
        tcp.set_window_len(self.window);
        let true_length = u8::try_from(header_length).expect("options fit a TCP header");
        tcp.set_header_len(self.data_offset.unwrap_or(true_length));

        bytes.truncate(self.cut_to.unwrap_or(usize::MAX));
        // A segment cut before its checksum field has none.
        if bytes.len() >= TCP_HEADER {
            let mut blank = TcpPacket::new_unchecked(vec![0; bytes.len()]);
            blank.fill_checksum(source, destination);
            let unfinished = !blank.checksum();
            let mut tcp = TcpPacket::new_unchecked(&mut bytes[..]);
            tcp.fill_checksum(source, destination);
            let correct = tcp.checksum();
            tcp.set_checksum(match self.checksum {
                Checksum::Correct => correct,
                // By chance it could be the other value that is accepted.
                Checksum::Wrong(bits) if correct ^ bits == unfinished => correct ^ bits ^ 0x0010,
                Checksum::Wrong(bits) => correct ^ bits,
                Checksum::Unfinished => unfinished,
            });
        }
        bytes
    }

    /// smoltcp emits no IPv4 options, so its header is lengthened by hand.
    fn with_ipv4_options(
        &self,
        source: IpAddress,
        destination: IpAddress,
        segment: &[u8],
    ) -> Vec<u8> {
        let behind_header = [&self.ip_options[..], segment].concat();
        let mut bytes =
            ip_packet(source, destination, IpProtocol::Tcp, self.hop_limit, &behind_header);
        let mut ip = Ipv4Packet::new_unchecked(&mut bytes[..]);
        let length = usize::from(ip.header_len()) + self.ip_options.len();
        ip.set_header_len(u8::try_from(length).expect("options fit an IPv4 header"));
        ip.fill_checksum();
        bytes
    }
}

/// An ICMP error of either version about a packet that our side sent, or claims to be.
#[derive(Clone, Debug)]
pub(crate) struct IcmpError {
    /// The sender of the error.
    pub(crate) offender: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) kind: u8,
    pub(crate) code: u8,
    /// The packet that the error is about, from its IP header on.
    pub(crate) quoted: Vec<u8>,
}

impl IcmpError {
    /// Returns the same error about another packet: the TCP header in the quotation is changed.
    pub(crate) fn misquoted(mut self, change: impl FnOnce(&mut TcpPacket<&mut [u8]>)) -> Self {
        let header = self.quoted_ip_header();
        change(&mut TcpPacket::new_unchecked(&mut self.quoted[header..]));
        self
    }

    /// Returns the same error about a packet to another host.
    pub(crate) fn about_packet_to(mut self, stranger: IpAddr) -> Self {
        match stranger {
            IpAddr::V4(address) => self.quoted[16..20].copy_from_slice(&address.octets()),
            IpAddr::V6(address) => self.quoted[24..40].copy_from_slice(&address.octets()),
        }
        self
    }

    /// Quotes the IP header and `length` bytes after it. RFC 792 requires at least 8.
    pub(crate) fn quoting_only(mut self, length: usize) -> Self {
        self.quoted.truncate(self.quoted_ip_header() + length);
        self
    }

    pub(crate) fn packet(&self) -> Vec<u8> {
        let mut bytes = vec![0; ICMP_HEADER];
        bytes.extend_from_slice(&self.quoted);
        let protocol = match (self.offender, self.destination) {
            (IpAddr::V4(_), IpAddr::V4(_)) => {
                let mut icmp = Icmpv4Packet::new_unchecked(&mut bytes[..]);
                icmp.set_msg_type(Icmpv4Message::from(self.kind));
                icmp.set_msg_code(self.code);
                icmp.fill_checksum();
                IpProtocol::Icmp
            }
            (IpAddr::V6(offender), IpAddr::V6(destination)) => {
                let mut icmp = Icmpv6Packet::new_unchecked(&mut bytes[..]);
                icmp.set_msg_type(Icmpv6Message::from(self.kind));
                icmp.set_msg_code(self.code);
                icmp.fill_checksum(&offender, &destination);
                IpProtocol::Icmpv6
            }
            mixed => panic!("one packet, two families: {mixed:?}"),
        };
        let (offender, destination) = (self.offender.into(), self.destination.into());
        ip_packet(offender, destination, protocol, ROUTER_HOP_LIMIT, &bytes)
    }

    fn quoted_ip_header(&self) -> usize {
        match self.offender {
            IpAddr::V4(_) => usize::from(Ipv4Packet::new_unchecked(&self.quoted[..]).header_len()),
            IpAddr::V6(_) => smoltcp::wire::IPV6_HEADER_LEN,
        }
    }
}

/// A packet with any payload.
pub(crate) fn ip_packet(
    source: IpAddress,
    destination: IpAddress,
    protocol: IpProtocol,
    hop_limit: u8,
    payload: &[u8],
) -> Vec<u8> {
    let ip = IpRepr::new(source, destination, protocol, payload.len(), hop_limit);
    let mut bytes = vec![0; ip.header_len()];
    ip.emit(&mut bytes[..], &ChecksumCapabilities::default());
    bytes.extend_from_slice(payload);
    bytes
}
