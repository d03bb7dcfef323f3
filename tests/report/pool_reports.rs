//! Reports of several targets to render.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use halfopen::event_loop::PacketEvent;
use halfopen::local_error::LocalError;
use halfopen::report::Report;
use halfopen::verdict::{LookupFailure, Outcome, Reason, Verdict};
use halfopen::wire::{Flags, Options, Segment, SequenceNumber};

use crate::reports::{Found, OPEN, answered, judged, pool};

/// The pool of the contract: the third target is silent.
pub(crate) fn example() -> Report {
    let second = ("192.0.2.8:25".to_owned(), address(8), open(410));
    after_seven_seconds(pool(vec![open_at(7), second, silent_at(9)]))
}

pub(crate) fn slow() -> Report {
    let mut report = pool(vec![slow_at(7), slow_at(8), open_at(9)]);
    report.settings.policy.warning = Some("0.1".parse().unwrap());
    judged(report, OPEN)
}

/// A target of each kind.
pub(crate) fn mixed() -> Report {
    after_seven_seconds(pool((0..7).map(mixed_found).collect()))
}

pub(crate) fn mixed_found(kind: usize) -> Found {
    match kind {
        0 => open_at(7),
        1 => closed_at(8),
        2 => silent_at(9),
        3 => {
            let reason = Reason::NameNotResolved(LookupFailure::NotFound);
            ("mail.example.com:25".to_owned(), None, Ok(Verdict::without_probe(reason)))
        }
        4 => ("192.0.2.10:25".to_owned(), address(10), Ok(answered(Reason::BareAck, 500))),
        5 => ("[2001:db8::7]:443".to_owned(), "2001:db8::7".parse().ok(), open(360)),
        _ => unknown_at(11),
    }
}

/// Adds this many targets that were not probed.
pub(crate) fn unfinished(unprobed: u128, report: Report) -> Report {
    Report { total: report.total + unprobed, ..report }
}

pub(crate) fn without_engine() -> Report {
    let error = Some(LocalError::RawSocket(nix::errno::Errno::ENFILE));
    Report { error, engine: None, ..unfinished(3, pool(vec![])) }
}

/// A pool of two, with its packets.
pub(crate) fn watched() -> Report {
    let mut report = pool(vec![open_at(7), closed_at(8)]);
    let local: SocketAddr = ([198, 51, 100, 4], 40_000).into();
    let syn = |last| Segment {
        source: local,
        destination: ([192, 0, 2, last], 25).into(),
        sequence: SequenceNumber(1000),
        acknowledgement: SequenceNumber(0),
        flags: Flags::SYN,
        window: 64_240,
        options: Options::default(),
    };
    let sent = |at, last| (Duration::from_micros(at), PacketEvent::Sent(syn(last)));
    report.packets = vec![sent(310, 7), sent(410, 8), sent(1_000_410, 8)];
    report
}

pub(crate) fn after_seven_seconds(report: Report) -> Report {
    Report { elapsed: Duration::from_secs(7), ..report }
}

pub(crate) fn open_at(last: u8) -> Found {
    (format!("192.0.2.{last}:25"), address(last), open(360))
}

pub(crate) fn slow_at(last: u8) -> Found {
    (format!("192.0.2.{last}:25"), address(last), open(212_000))
}

pub(crate) fn closed_at(last: u8) -> Found {
    (format!("192.0.2.{last}:25"), address(last), closed())
}

pub(crate) fn silent_at(last: u8) -> Found {
    (format!("192.0.2.{last}:25"), address(last), silence())
}

pub(crate) fn unknown_at(last: u8) -> Found {
    let to = ([192, 0, 2, last], 25).into();
    (format!("192.0.2.{last}:25"), address(last), Err(LocalError::Firewall(to).into()))
}

/// A closed target, each number with an address of its own.
pub(crate) fn numbered(number: u16) -> Found {
    let [high, low] = number.to_be_bytes();
    (format!("198.18.{high}.{low}:25"), Some([198, 18, high, low].into()), closed())
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of an outcome")]
pub(crate) fn open(microseconds: u64) -> Outcome {
    Ok(answered(Reason::SynAck, microseconds))
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of an outcome")]
pub(crate) fn closed() -> Outcome {
    Ok(answered(Reason::RstAck, 310))
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of an outcome")]
pub(crate) fn silence() -> Outcome {
    let reason = Reason::NoAnswer { syns: 3, waited: Duration::from_secs(7) };
    Ok(Verdict { attempts: 3, ..Verdict::without_probe(reason) })
}

#[expect(clippy::unnecessary_wraps, reason = "a target may have none")]
pub(crate) fn address(last: u8) -> Option<IpAddr> {
    Some([192, 0, 2, last].into())
}
