use std::net::{IpAddr, SocketAddr};

use halfopen::wire::{IcmpError, Meaning, Quote, Segment};
use smoltcp::wire::{
    Icmpv4DstUnreachable, Icmpv4Message, Icmpv4Packet, Icmpv4TimeExceeded, Icmpv6DstUnreachable,
    Icmpv6Message, Icmpv6Packet, Icmpv6ParamProblem, Icmpv6TimeExceeded, IpProtocol, Ipv4Packet,
    Ipv6Packet, TcpPacket,
};

use super::assert_fit_for_a_line;
use super::segment::sealed;
use Meaning::{Closed, HopsExceeded, Prohibited, Unreachable};

/// An ICMP packet means what smoltcp's names for its type and code say, and quotes the ports and
/// the sequence number that smoltcp finds in it. Input that is not an ICMP packet is used as the
/// quoted bytes.
pub fn icmp_quote(bytes: &[u8]) {
    for remote in ["198.18.0.2:0", "[2001:db8::2]:0"] {
        assert_quoted(remote.parse().unwrap(), bytes);
    }
    for told in [told_v4(bytes), told_v6(bytes)].into_iter().flatten() {
        let Told { offender, kind, code, meaning, quoted } = told;
        let error = IcmpError::new(kind, code, offender);
        assert_eq!(
            error.map(|error| (error.meaning, error.offender)),
            meaning.map(|m| (m, offender))
        );
        if let Some(error) = error {
            assert_fit_for_a_line(&error.to_string());
        }
        if let Some((remote, head)) = quoted {
            assert_quoted(SocketAddr::new(remote, 0), head);
        }
    }
}

fn assert_quoted(remote: SocketAddr, head: &[u8]) {
    let Some(quote) = Quote::parse(remote, head) else {
        assert!(head.len() < 8, "eight bytes are promised, and are enough");
        return;
    };
    let judge = TcpPacket::new_unchecked(head);
    assert_eq!(quote.remote, SocketAddr::new(remote.ip(), judge.dst_port()));
    assert_eq!(quote.local_port, judge.src_port());
    assert_eq!(quote.sequence.0, judge.seq_number().0.cast_unsigned());
    assert_eq!(Quote::parse(remote, &head[..8]), Some(quote));
    if TcpPacket::new_checked(head).is_ok() {
        let whole = Segment::parse(remote, remote, &sealed(remote, remote, head)).unwrap();
        assert_eq!(
            (quote.local_port, quote.remote, quote.sequence),
            (whole.source.port(), whole.destination, whole.sequence)
        );
    }
}

/// What a kernel would report of an ICMP packet.
struct Told<'a> {
    offender: IpAddr,
    kind: u8,
    code: u8,
    meaning: Option<Meaning>,
    /// The destination of the quoted segment, and its first bytes.
    quoted: Option<(IpAddr, &'a [u8])>,
}

fn told_v4(bytes: &[u8]) -> Option<Told<'_>> {
    const LEAST: usize = 20;
    let ip = Ipv4Packet::new_checked(bytes).ok()?;
    let icmp = Icmpv4Packet::new_checked(ip.payload()).ok()?;
    if ip.version() != 4 || ip.next_header() != IpProtocol::Icmp {
        return None;
    }
    let code = icmp.msg_code();
    let meaning = match icmp.msg_type() {
        Icmpv4Message::DstUnreachable => match Icmpv4DstUnreachable::from(code) {
            Icmpv4DstUnreachable::PortUnreachable => Some(Closed),
            Icmpv4DstUnreachable::NetProhibited
            | Icmpv4DstUnreachable::HostProhibited
            | Icmpv4DstUnreachable::CommProhibited => Some(Prohibited),
            Icmpv4DstUnreachable::FragRequired | Icmpv4DstUnreachable::Unknown(_) => None,
            _ => Some(Unreachable),
        },
        Icmpv4Message::TimeExceeded => match Icmpv4TimeExceeded::from(code) {
            Icmpv4TimeExceeded::TtlExpired => Some(HopsExceeded),
            _ => None,
        },
        _ => None,
    };
    let inner = icmp.data();
    let quoted = || {
        let ip = Ipv4Packet::new_unchecked(inner.get(..LEAST)?);
        let head = inner.get(usize::from(ip.header_len()).max(LEAST)..)?;
        Some((ip.dst_addr().into(), head))
    };
    Some(Told {
        offender: ip.src_addr().into(),
        kind: icmp.msg_type().into(),
        code,
        meaning,
        quoted: quoted(),
    })
}

fn told_v6(bytes: &[u8]) -> Option<Told<'_>> {
    const HEADER: usize = 40;
    let ip = Ipv6Packet::new_checked(bytes).ok()?;
    let icmp = Icmpv6Packet::new_checked(ip.payload()).ok()?;
    if ip.version() != 6 || ip.next_header() != IpProtocol::Icmpv6 {
        return None;
    }
    let code = icmp.msg_code();
    let meaning = match icmp.msg_type() {
        Icmpv6Message::DstUnreachable => match Icmpv6DstUnreachable::from(code) {
            Icmpv6DstUnreachable::PortUnreachable => Some(Closed),
            Icmpv6DstUnreachable::AdminProhibit
            | Icmpv6DstUnreachable::FailedPolicy
            | Icmpv6DstUnreachable::RejectRoute => Some(Prohibited),
            Icmpv6DstUnreachable::Unknown(8..) => None,
            _ => Some(Unreachable),
        },
        Icmpv6Message::TimeExceeded => match Icmpv6TimeExceeded::from(code) {
            Icmpv6TimeExceeded::HopLimitExceeded => Some(HopsExceeded),
            _ => None,
        },
        Icmpv6Message::ParamProblem => match Icmpv6ParamProblem::from(code) {
            Icmpv6ParamProblem::UnrecognizedNxtHdr => Some(Unreachable),
            _ => None,
        },
        _ => None,
    };
    let inner = ip.payload().get(8..)?;
    let quoted = || {
        let ip = Ipv6Packet::new_unchecked(inner.get(..HEADER)?);
        Some((ip.dst_addr().into(), &inner[HEADER..]))
    };
    Some(Told {
        offender: ip.src_addr().into(),
        kind: icmp.msg_type().into(),
        code,
        meaning,
        quoted: quoted(),
    })
}
