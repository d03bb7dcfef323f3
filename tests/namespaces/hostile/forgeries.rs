//! Forged packets of every kind about a SYN.

use std::net::IpAddr;

use smoltcp::wire::{IpProtocol, TcpPacket};

use super::{icmp, ip};
use crate::support::tun::Family;
use crate::tun_peer::answer::{ACK, Answer, FIN, RST, SYN, ip_packet};
use crate::tun_peer::sent::Sent;

pub(super) struct Forgeries {
    family: Family,
    /// Without what a kernel accepts as one end of a simultaneous open (RFC 9293 §3.5).
    opens_simultaneously: bool,
}

impl Forgeries {
    pub(super) fn new(family: Family, engine: &str) -> Self {
        Self { family, opens_simultaneously: engine == "connect" }
    }

    /// Thousands of packets.
    pub(super) fn about(&self, syn: &Sent) -> Vec<Vec<u8>> {
        let mut random = Random(syn.sequence.into());
        let kinds = [
            self.wrong_numbers(syn),
            self.wrong_senders(syn),
            self.floods(syn, &mut random),
            icmp::misquotations(syn, self.family),
            ip::broken(&Answer { acknowledgement: syn.sequence, ..syn.syn_ack() }),
            Self::garbage(syn, &mut random),
        ];
        // All kinds are mixed, not one after the other.
        let longest = kinds.iter().map(Vec::len).max().expect("kinds");
        let nth = |n| kinds.iter().filter_map(move |kind: &Vec<Vec<u8>>| kind.get(n).cloned());
        (0..longest).flat_map(nth).collect()
    }

    /// All combinations of flags from the target itself with a wrong acknowledgement number, except
    /// bare ACKs, which count without a right one.
    fn wrong_numbers(&self, syn: &Sent) -> Vec<Vec<u8>> {
        let acknowledgements = [syn.sequence, syn.sequence.wrapping_add(2), 0];
        let told = |flags: &u8| {
            let is_bare_ack = flags & (SYN | RST | FIN | ACK) == ACK;
            let is_bare_syn = flags & (SYN | RST | ACK) == SYN;
            !(is_bare_ack || is_bare_syn && self.opens_simultaneously)
        };
        let with = |flags| {
            acknowledgements.map(|number| Answer {
                acknowledgement: number,
                flags,
                ..syn.syn_ack()
            })
        };
        (0..=u8::MAX).filter(told).flat_map(with).map(|forgery| forgery.packet()).collect()
    }

    /// All combinations of flags with the right number, from others.
    fn wrong_senders(&self, syn: &Sent) -> Vec<Vec<u8>> {
        let true_answer = syn.syn_ack();
        let with = |flags| {
            [
                Answer { flags, source: self.family.stranger(), ..true_answer.clone() },
                Answer {
                    flags,
                    source_port: true_answer.source_port ^ 0x100,
                    ..true_answer.clone()
                },
            ]
        };
        (0..=u8::MAX).flat_map(with).map(|forgery| forgery.packet()).collect()
    }

    /// SYN+ACKs and RSTs with guessed numbers, from the target and from elsewhere, and ACKs from
    /// elsewhere.
    fn floods(&self, syn: &Sent, random: &mut Random) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        for _ in 0..300 {
            let guess = Answer {
                sequence: random.next(),
                acknowledgement: random.next(),
                window: 0,
                options: Vec::new(),
                ..syn.syn_ack()
            };
            let elsewhere = Answer { source: self.anywhere(random), ..guess.clone() };
            packets.extend([
                Answer { flags: RST, ..guess.clone() }.packet(),
                Answer { flags: RST | ACK, ..guess.clone() }.packet(),
                guess.packet(),
                Answer { flags: ACK, ..elsewhere.clone() }.packet(),
                Answer { flags: RST | ACK, ..elsewhere.clone() }.packet(),
                elsewhere.packet(),
            ]);
        }
        packets
    }

    /// Random bytes after a valid IP header, and random bytes after the version alone.
    fn garbage(syn: &Sent, random: &mut Random) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        for number in 0..500 {
            let mut bytes = random.bytes(random_length(number));
            let protocol = if number % 2 == 0 { 6 } else { bytes.first().copied().unwrap_or(6) };
            // Half of them to our port, but not from the target's.
            if number % 4 == 0 && bytes.len() >= 4 {
                bytes[..2].copy_from_slice(&(syn.destination_port ^ 0x100).to_be_bytes());
                bytes[2..4].copy_from_slice(&syn.source_port.to_be_bytes());
            }
            let (peer, ours) = (syn.destination.into(), syn.source.into());
            if number % 8 == 0 && bytes.len() >= 20 {
                TcpPacket::new_unchecked(&mut bytes[..]).fill_checksum(&peer, &ours);
            }
            packets.push(ip_packet(peer, ours, IpProtocol::from(protocol), 64, &bytes));

            let version = if syn.source.is_ipv4() { 0x40 } else { 0x60 };
            let mut bytes = random.bytes(1 + random_length(number));
            bytes[0] = version | bytes[0] & 0xf;
            packets.push(bytes);
        }
        packets
    }

    fn anywhere(&self, random: &mut Random) -> IpAddr {
        let [a, b, c, d] = random.next().to_be_bytes();
        match self.family {
            Family::V4 => [198, 18 + a % 2, b.max(2), c].into(),
            Family::V6 => [0x2001, 0xdb8, 3, a.into(), b.into(), c.into(), d.into(), 1].into(),
        }
    }
}

/// From nothing to more than any header.
fn random_length(number: usize) -> usize {
    number * 7 % 160
}

/// The generator splitmix64 of Steele, Lea and Flood: the same SYN always draws the same packets.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed >> 32) as u32
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_be_bytes()[0]).collect()
    }
}
