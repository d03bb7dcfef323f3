//! What our side sent, decoded by smoltcp, an independent implementation.

use std::net::IpAddr;

use smoltcp::wire::{IpAddress, IpProtocol, IpVersion, Ipv4Packet, Ipv6Packet, TcpPacket};

use super::answer::{ACK, Answer, CWR, Checksum, ECE, FIN, IcmpError, PSH, RST, SYN, URG};

/// One TCP segment that the kernel handed to the TUN device.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) sequence: u32,
    pub(crate) acknowledgement: u32,
    /// The flags byte of the header, RFC 9293 §3.1.
    pub(crate) flags: u8,
    pub(crate) window: u16,
    pub(crate) options: Vec<u8>,
    pub(crate) checksum_holds: bool,
    /// The whole packet, IP header included: what an ICMP error quotes.
    pub(crate) packet: Vec<u8>,
}

impl Sent {
    /// `None` for the kernel's own multicast reports and solicitations.
    ///
    /// # Panics Panics on anything else that is not valid TCP, because a check sends nothing else.
    pub(crate) fn decode(packet: &[u8]) -> Option<Self> {
        let (source, destination, protocol, payload) = ip_fields(packet)
            .unwrap_or_else(|| panic!("the host sent a malformed IP header: {packet:02x?}"));
        match protocol {
            IpProtocol::Tcp => {}
            IpProtocol::HopByHop | IpProtocol::Igmp => return None, // multicast reports
            // Types up to 127 are errors, then come echoes; from 130 on groups, routers,
            // neighbours.
            IpProtocol::Icmpv6 if payload.first().is_some_and(|kind| *kind >= 130) => return None,
            other => panic!("the host sent {other}: {packet:02x?}"),
        }
        let tcp = TcpPacket::new_checked(payload)
            .unwrap_or_else(|_| panic!("the host sent a malformed TCP header: {packet:02x?}"));
        Some(Self {
            source,
            destination,
            source_port: tcp.src_port(),
            destination_port: tcp.dst_port(),
            sequence: tcp.seq_number().0.cast_unsigned(),
            acknowledgement: tcp.ack_number().0.cast_unsigned(),
            flags: payload[13],
            window: tcp.window_len(),
            options: tcp.options().to_vec(),
            checksum_holds: tcp
                .verify_checksum(&IpAddress::from(source), &IpAddress::from(destination)),
            packet: packet.to_vec(),
        })
    }

    /// Returns what was sent, without the SYNs that the kernel has repeated.
    pub(crate) fn unrepeated(sent: &[Self]) -> Vec<Self> {
        let mut others: Vec<Self> = Vec::new();
        for each in sent {
            if !others.iter().any(|earlier| earlier.is_same_syn(each)) {
                others.push(each.clone());
            }
        }
        others
    }

    /// Returns true if both are the same SYN.
    pub(crate) fn is_same_syn(&self, other: &Self) -> bool {
        let fields = |sent: &Self| (sent.source_port, sent.destination_port, sent.sequence);
        self.is_syn() && other.is_syn() && fields(self) == fields(other)
    }

    pub(crate) fn is_syn(&self) -> bool {
        self.flags == SYN
    }

    /// Returns the flags as people write them: "SYN", "RST+ACK".
    pub(crate) fn flag_names(&self) -> String {
        let names = [
            (SYN, "SYN"),
            (RST, "RST"),
            (FIN, "FIN"),
            (PSH, "PSH"),
            (URG, "URG"),
            (ECE, "ECE"),
            (CWR, "CWR"),
            (ACK, "ACK"),
        ];
        let set: Vec<&str> =
            names.iter().filter(|(bit, _)| self.flags & bit != 0).map(|(_, name)| *name).collect();
        set.join("+")
    }

    /// Returns the answer of a healthy server to this SYN. Every other answer is this one with a
    /// difference.
    pub(crate) fn syn_ack(&self) -> Answer {
        Answer {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            sequence: 0x5eed_0001,
            acknowledgement: self.sequence.wrapping_add(1),
            flags: SYN | ACK,
            window: 65_160,
            options: vec![2, 4, 0x05, 0xb4, 4, 2, 1, 3, 3, 7],
            payload: Vec::new(),
            hop_limit: 64,
            ip_options: Vec::new(),
            data_offset: None,
            cut_to: None,
            checksum: Checksum::Correct,
        }
    }

    /// Returns the answer of a closed port: sequence number 0, our SYN acknowledged (RFC 9293
    /// §3.10.7.1).
    pub(crate) fn rst_ack(&self) -> Answer {
        Answer { sequence: 0, flags: RST | ACK, window: 0, options: Vec::new(), ..self.syn_ack() }
    }

    /// Returns the answer of a server that still holds an old connection on these ports: it
    /// acknowledges what it has received there, and ignores our SYN (RFC 9293 §3.5.1, figure 9).
    pub(crate) fn bare_ack(&self, of_the_old_connection: u32) -> Answer {
        Answer {
            acknowledgement: of_the_old_connection,
            flags: ACK,
            options: Vec::new(),
            ..self.syn_ack()
        }
    }

    /// Returns an ICMP error about this packet, which it quotes whole.
    pub(crate) fn icmp(&self, offender: IpAddr, kind: u8, code: u8) -> IcmpError {
        IcmpError { offender, destination: self.source, kind, code, quoted: self.packet.clone() }
    }
}

/// Source, destination, protocol, payload.
fn ip_fields(packet: &[u8]) -> Option<(IpAddr, IpAddr, IpProtocol, &[u8])> {
    match IpVersion::of_packet(packet).ok()? {
        IpVersion::Ipv4 => {
            let ip = Ipv4Packet::new_checked(packet).ok()?;
            ip.verify_checksum().then_some(())?;
            Some((ip.src_addr().into(), ip.dst_addr().into(), ip.next_header(), ip.payload()))
        }
        IpVersion::Ipv6 => {
            let ip = Ipv6Packet::new_checked(packet).ok()?;
            Some((ip.src_addr().into(), ip.dst_addr().into(), ip.next_header(), ip.payload()))
        }
    }
}
