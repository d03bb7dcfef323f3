//! A host at the far end of a TUN device, which answers as it is told to.

use std::net::IpAddr;
use std::time::Duration;

use smoltcp::wire::{Icmpv4Message, Icmpv4Packet, Icmpv6Message, Icmpv6Packet, IpProtocol};

use super::explained::{Explained, explain};
use crate::support::tun::{Family, FarEnd, TunHost};
use crate::tun_peer::answer::{Answer, RST, ip_packet};
use crate::tun_peer::scenario::PORT;
use crate::tun_peer::sent::Sent;
use lab::{Namespace, halfopen};

/// Explains the state of a peer that answers pings with this hop limit, if it does, and segments by
/// a script. Returns every segment that left, too.
pub(super) fn explain_peer(
    family: Family,
    options: &[&str],
    ping: Option<u8>,
    script: impl Fn(&Sent) -> Vec<Vec<u8>> + Send + 'static,
) -> (Explained, Vec<Sent>) {
    play(family, ping, script, |host| {
        let (address, port) = (family.peer().to_string(), PORT.to_string());
        explain(host, &[options, &[&*address, &*port]].concat())
    })
}

/// The same, for a monitor. Returns what the program printed, and its exit code.
pub(super) fn run_against_peer(
    family: Family,
    options: &[&str],
    ping: Option<u8>,
    script: impl Fn(&Sent) -> Vec<Vec<u8>> + Send + 'static,
) -> (String, i32) {
    let (outcome, _) = play(family, ping, script, |host| {
        let (address, port) = (family.peer().to_string(), PORT.to_string());
        let words = [&["--explain"], options, &[&*address, &*port]].concat();
        host.outcome(halfopen(&words))
    });
    (outcome.stdout, outcome.code)
}

fn play<T>(
    family: Family,
    ping: Option<u8>,
    script: impl Fn(&Sent) -> Vec<Vec<u8>> + Send + 'static,
    act: impl FnOnce(&Namespace) -> T,
) -> (T, Vec<Sent>) {
    let host = TunHost::facing(move |far_end| live(far_end, family, ping, &script));
    let result = act(&host.namespace);
    (result, host.finish())
}

fn live(
    mut far_end: FarEnd,
    family: Family,
    ping: Option<u8>,
    script: &dyn Fn(&Sent) -> Vec<Vec<u8>>,
) -> Vec<Sent> {
    let mut all = Vec::new();
    loop {
        let test_goes_on = far_end.attend(Duration::MAX);
        while let Some(packet) = far_end.receive() {
            let answers = if let Some(reply) = echo_reply(&packet, family, ping) {
                reply.into_iter().collect()
            } else {
                let sent = Sent::decode(&packet);
                all.extend(sent.clone());
                sent.map(|sent| script(&sent)).unwrap_or_default()
            };
            for answer in answers {
                far_end.inject(&answer);
            }
        }
        if !test_goes_on {
            return all;
        }
    }
}

/// Returns the reply to an echo request, if this is one and gets one.
///
/// The outer option is `None` for other packets.
#[expect(clippy::option_option)]
fn echo_reply(packet: &[u8], family: Family, ping: Option<u8>) -> Option<Option<Vec<u8>>> {
    let (protocol, kind, header) = match family {
        Family::V4 => (packet.get(9)?, packet.get(20)?, 20),
        Family::V6 => (packet.get(6)?, packet.get(40)?, 40),
    };
    let is_request = match family {
        Family::V4 => (*protocol, *kind) == (1, 8),
        Family::V6 => (*protocol, *kind) == (58, 128),
    };
    if !is_request || packet[0] >> 4 != if family == Family::V4 { 4 } else { 6 } {
        return None;
    }
    let mut bytes = packet[header..].to_vec();
    let (from, to) = (family.peer(), family.ours());
    let protocol = if let (IpAddr::V6(from), IpAddr::V6(to)) = (from, to) {
        let mut icmp = Icmpv6Packet::new_unchecked(&mut bytes[..]);
        icmp.set_msg_type(Icmpv6Message::EchoReply);
        icmp.fill_checksum(&from, &to);
        IpProtocol::Icmpv6
    } else {
        let mut icmp = Icmpv4Packet::new_unchecked(&mut bytes[..]);
        icmp.set_msg_type(Icmpv4Message::EchoReply);
        icmp.fill_checksum();
        IpProtocol::Icmp
    };
    Some(ping.map(|limit| ip_packet(from.into(), to.into(), protocol, limit, &bytes)))
}

/// Returns the hop limit that a segment left with.
pub(super) fn hop_limit(sent: &Sent) -> u8 {
    if sent.packet[0] >> 4 == 4 { sent.packet[8] } else { sent.packet[7] }
}

/// Returns the answer of a host to an ACK of nothing (RFC 9293 §3.10.7.1).
pub(super) fn reset_of_ack(sent: &Sent) -> Answer {
    Answer {
        sequence: sent.acknowledgement,
        acknowledgement: 0,
        flags: RST,
        window: 0,
        options: Vec::new(),
        ..sent.syn_ack()
    }
}
