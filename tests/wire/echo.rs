//! Echo requests and replies: constants, and smoltcp as the judge of what is written.

use std::net::IpAddr;

use halfopen::wire::{Echo, ipv4};
use proptest::collection::vec;
use proptest::prelude::*;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv4Message, Icmpv4Packet, Icmpv6Message, Icmpv6Packet, IpProtocol, Ipv4Packet, Ipv4Repr,
};

use crate::packets::{SERVER_V4, SERVER_V6};

const ECHO: Echo = Echo { identifier: 0x1234, number: 0x0405_0607 };

/// The request, but for its checksum over IPv6.
#[rustfmt::skip]
const REQUEST_V4: [u8; 64] = [
    0x08, 0x00, 0xe0, 0xa9, 0x12, 0x34, 0x06, 0x07,
    0x04, 0x05, 0x06, 0x07, 0x04, 0x05, 0x06, 0x07,
    0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f,
    0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17,
    0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f,
    0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27,
    0x28, 0x29, 0x2a, 0x2b, 0x2c, 0x2d, 0x2e, 0x2f,
    0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37,
];

/// Returns the reply to [`REQUEST_V4`] with the checksum that smoltcp gives it.
fn reply_v4() -> Vec<u8> {
    let mut packet = Icmpv4Packet::new_unchecked(REQUEST_V4.to_vec());
    packet.set_msg_type(Icmpv4Message::EchoReply);
    packet.fill_checksum();
    packet.into_inner()
}

/// Returns the reply to the same request over IPv6.
fn reply_v6() -> Vec<u8> {
    let mut packet = Icmpv6Packet::new_unchecked(REQUEST_V4.to_vec());
    packet.set_msg_type(Icmpv6Message::EchoReply);
    packet.into_inner()
}

/// Returns an IPv4 packet from the server with this payload.
fn packet_v4(payload: &[u8]) -> Vec<u8> {
    let IpAddr::V4(server) = SERVER_V4 else { unreachable!() };
    let header = Ipv4Repr {
        src_addr: server,
        dst_addr: server,
        next_header: IpProtocol::Icmp,
        payload_len: payload.len(),
        hop_limit: 64,
    };
    let mut bytes = vec![0; header.buffer_len() + payload.len()];
    let mut packet = Ipv4Packet::new_unchecked(&mut bytes);
    header.emit(&mut packet, &ChecksumCapabilities::default());
    packet.payload_mut().copy_from_slice(payload);
    bytes
}

#[test]
fn requests_are_written_as_the_constants_say() {
    assert_eq!(ECHO.request(SERVER_V4), REQUEST_V4);
    let request = ECHO.request(SERVER_V6);
    assert_eq!(request[..4], [128, 0, 0, 0]); // the kernel adds the checksum
    assert_eq!(request[4..], REQUEST_V4[4..]);
}

#[test]
fn replies_are_read() {
    assert_eq!(Echo::parse_reply(SERVER_V4, &reply_v4()), Some(ECHO));
    assert_eq!(ipv4::parse_echo_reply(&packet_v4(&reply_v4())), Some(ECHO));
    assert_eq!(Echo::parse_reply(SERVER_V6, &reply_v6()), Some(ECHO));
}

/// A raw socket hears its own requests on loopback, and messages of the other version are none.
#[test]
fn only_replies_are_replies() {
    assert_eq!(Echo::parse_reply(SERVER_V4, &REQUEST_V4), None);
    assert_eq!(Echo::parse_reply(SERVER_V6, &ECHO.request(SERVER_V6)), None);
    assert_eq!(Echo::parse_reply(SERVER_V6, &reply_v4()), None);
    assert_eq!(Echo::parse_reply(SERVER_V4, &reply_v6()), None);
}

/// Over IPv6, the kernel has verified the checksum.
#[test]
fn a_changed_byte_is_noticed() {
    for at in 0..64 {
        let (mut v4, mut v6) = (reply_v4(), reply_v6());
        v4[at] ^= 1;
        v6[at] ^= 1;
        assert_eq!(Echo::parse_reply(SERVER_V4, &v4), None, "byte {at}");
        let v6 = Echo::parse_reply(SERVER_V6, &v6);
        assert_eq!(v6 == Some(ECHO), [2, 3].contains(&at), "byte {at}");
    }
}

/// Programs may happen to have the same identifier. ping(8) begins its payload with the time.
#[test]
fn replies_to_another_program_are_rejected() {
    let payload_of_ping: Vec<_> =
        [0, 0x36, 0x1b, 0x69].repeat(4).into_iter().chain(16..56).collect();
    let of_ping = |reply: &[u8]| [&reply[..8], &payload_of_ping].concat();
    let mut v4 = Icmpv4Packet::new_unchecked(of_ping(&reply_v4()));
    v4.fill_checksum();
    assert_eq!(Echo::parse_reply(SERVER_V4, &v4.into_inner()), None);
    assert_eq!(Echo::parse_reply(SERVER_V6, &of_ping(&reply_v6())), None);
}

#[test]
fn replies_of_another_length_are_rejected() {
    for (remote, reply) in [(SERVER_V4, reply_v4()), (SERVER_V6, reply_v6())] {
        for length in 0..reply.len() {
            assert_eq!(Echo::parse_reply(remote, &reply[..length]), None, "{length} bytes");
        }
        assert_eq!(Echo::parse_reply(remote, &[&reply[..], &[0, 0]].concat()), None);
    }
    let packet = packet_v4(&reply_v4());
    for length in 0..packet.len() {
        assert_eq!(ipv4::parse_echo_reply(&packet[..length]), None, "{length} bytes");
    }
}

proptest! {
    #[test]
    fn smoltcp_reads_what_we_write(identifier: u16, number: u32) {
        let request = Echo { identifier, number }.request(SERVER_V4);
        let packet = Icmpv4Packet::new_checked(&request[..]).unwrap();
        prop_assert!(packet.verify_checksum());
        prop_assert_eq!(packet.msg_type(), Icmpv4Message::EchoRequest);
        prop_assert_eq!((packet.msg_code(), packet.echo_ident()), (0, identifier));
        prop_assert_eq!(u32::from(packet.echo_seq_no()), number & 0xffff);
        let request = Echo { identifier, number }.request(SERVER_V6);
        let packet = Icmpv6Packet::new_checked(&request[..]).unwrap();
        prop_assert_eq!(packet.msg_type(), Icmpv6Message::EchoRequest);
        prop_assert_eq!((packet.msg_code(), packet.echo_ident()), (0, identifier));
        prop_assert_eq!(u32::from(packet.echo_seq_no()), number & 0xffff);
    }

    #[test]
    fn random_bytes_are_no_reply(bytes in vec(any::<u8>(), 0..128)) {
        prop_assert_eq!(Echo::parse_reply(SERVER_V4, &bytes), None);
        prop_assert_eq!(Echo::parse_reply(SERVER_V6, &bytes), None);
        prop_assert_eq!(ipv4::parse_echo_reply(&bytes), None);
    }
}
