//! Every kind of report in every format, as snapshots.

use std::env;
use std::fmt::Write;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use halfopen::event::Event;
use halfopen::event_loop::PacketEvent;
use halfopen::local_error::{LocalError, NoRoute};
use halfopen::plan::Format;
use halfopen::probe::DiscardReason;
use halfopen::report::Report;
use halfopen::status::{Expected, Status};
use halfopen::verdict::{LookupFailure, Reason, Verdict};
use halfopen::wire::{Flags, Options, Quote, Segment, SequenceNumber};
use nix::errno::Errno;

use crate::reports::{
    CLOSED, FILTERED, answered, at_verbosity, icmp, ignoring, judged, nameless, of_fault,
    of_outcome, of_reason, of_verdict, open, open_after, refused_by_icmp, render, without_engine,
};

#[test]
fn open_ports() {
    assert_page(
        "open",
        &[
            ("answered at once", open()),
            ("in a microsecond", open_after(1, "", "")),
            ("within the thresholds", open_after(360, "0.1", "0.5")),
            ("over the warning", open_after(212_000, "0.1", "0.5")),
            ("over the critical", open_after(1_500_000, "0.1", "0.5")),
            ("under the warning", open_after(360, "0.001:", "")),
            ("inside the critical", open_after(360, "", "@0:1")),
            ("on the third try", of_verdict("192.0.2.7", 25, third_try())),
            ("over IPv6", of_verdict("2001:db8::7", 443, answered(Reason::SynAck, 360))),
            ("link-local", link_local()),
            ("by a long name", long_name()),
        ],
    );
}

#[test]
fn closed_ports() {
    let closed = || of_verdict("192.0.2.7", 26, answered(Reason::RstAck, 310));
    let refused = |status| judged(closed(), Expected::Open { refused: status });
    assert_page(
        "closed",
        &[
            ("critical", closed()),
            ("a warning", refused(Status::Warning)),
            ("fine", refused(Status::Ok)),
            ("by ICMP", refused_by_icmp("192.0.2.1", 3, 3)),
            ("by ICMPv6", refused_by_icmp("2001:db8::1", 1, 4)),
        ],
    );
}

#[test]
fn filtered_ports() {
    let silence = |syns, milliseconds| {
        let waited = Duration::from_millis(milliseconds);
        of_reason(Reason::NoAnswer { syns, waited })
    };
    assert_page(
        "filtered",
        &[
            ("silence", silence(3, 7000)),
            ("one SYN", silence(1, 1000)),
            ("a short deadline", silence(3, 250)),
            ("just under a second", silence(3, 999)),
            ("a very long deadline", silence(11, 2_047_000)),
            ("prohibited", refused_by_icmp("192.0.2.1", 3, 13)),
            ("net prohibited", refused_by_icmp("192.0.2.1", 3, 9)),
            ("host prohibited", refused_by_icmp("192.0.2.1", 3, 10)),
            ("prohibited, v6", refused_by_icmp("2001:db8::1", 1, 1)),
            ("failed policy, v6", refused_by_icmp("2001:db8::1", 1, 5)),
            ("reject route, v6", refused_by_icmp("2001:db8::1", 1, 6)),
            ("TTL exceeded", of_reason(Reason::Icmp(icmp("192.0.2.1", 11, 0)))),
            ("hop limit exceeded", of_reason(Reason::Icmp(icmp("2001:db8::1", 3, 0)))),
        ],
    );
}

#[test]
fn unreachable_and_stale_ports() {
    let icmp_from = |offender, kind, code| of_reason(Reason::Icmp(icmp(offender, kind, code)));
    assert_page(
        "unreachable",
        &[
            ("net", icmp_from("192.0.2.1", 3, 0)),
            ("host", icmp_from("192.0.2.1", 3, 1)),
            ("protocol", icmp_from("192.0.2.1", 3, 2)),
            ("no route, v6", icmp_from("2001:db8::1", 1, 0)),
            ("address, v6", icmp_from("2001:db8::1", 1, 3)),
            ("no ARP", of_reason(Reason::NoNeighbour(icmp("198.51.100.4", 3, 1)))),
            ("no ND", of_reason(Reason::NoNeighbour(icmp("2001:db8::4", 1, 3)))),
            ("no route here", of_reason(Reason::NoRoute(NoRoute::Network))),
            ("unreachable route", of_reason(Reason::NoRoute(NoRoute::Host))),
            ("prohibit route", of_reason(Reason::NoRoute(NoRoute::Prohibited))),
            ("blackhole route", of_reason(Reason::NoRoute(NoRoute::Blackhole))),
            ("interface down", of_reason(Reason::NoRoute(NoRoute::Down))),
            ("no source address", of_reason(Reason::NoRoute(NoRoute::NoSource))),
            ("unknown name", nameless(Reason::NameNotResolved(LookupFailure::NotFound))),
            ("name, temporary", nameless(Reason::NameNotResolved(LookupFailure::Temporary))),
            ("name, failed", nameless(Reason::NameNotResolved(LookupFailure::Failed))),
            ("name, late", nameless(Reason::NameNotResolved(LookupFailure::TimedOut))),
            ("stale", of_reason(Reason::BareAck)),
        ],
    );
}

#[test]
fn expectations() {
    let closed = of_verdict("192.0.2.7", 26, answered(Reason::RstAck, 310));
    let silence = of_reason(Reason::NoAnswer { syns: 3, waited: Duration::from_secs(7) });
    assert_page(
        "expectations",
        &[
            ("closed, as expected", judged(closed.clone(), CLOSED)),
            ("closed instead of filtered", judged(closed, FILTERED)),
            ("filtered, as expected", judged(silence.clone(), FILTERED)),
            ("filtered instead of closed", judged(silence, CLOSED)),
            ("open instead of closed", judged(open(), CLOSED)),
            ("slow instead of closed", judged(open_after(212_000, "0.1", ""), CLOSED)),
        ],
    );
}

#[test]
fn faults() {
    let to: SocketAddr = ([192, 0, 2, 7], 25).into();
    assert_page(
        "faults",
        &[
            ("no privilege", without_engine(LocalError::RawSocket(Errno::EPERM))),
            ("no file descriptor", without_engine(LocalError::RawSocket(Errno::EMFILE))),
            ("no IPv6", without_engine(LocalError::RawSocket(Errno::EAFNOSUPPORT))),
            ("setup", without_engine(LocalError::SocketSetup(Errno::ENOMEM))),
            (
                "foreign source",
                of_fault(LocalError::Source { address: to.ip(), errno: Errno::EADDRNOTAVAIL }),
            ),
            ("source family", of_fault(LocalError::SourceFamily("2001:db8::4".parse().unwrap()))),
            ("interface", without_engine(LocalError::Interface("eth7".to_owned()))),
            ("no port left", without_engine(LocalError::SourcePort(Errno::EADDRINUSE))),
            ("firewall", of_fault(LocalError::Firewall(to))),
            ("broadcast", of_fault(LocalError::Broadcast("192.0.2.255".parse().unwrap()))),
            ("send", of_fault(LocalError::Send { to, errno: Errno::ENOBUFS })),
            ("receive", without_engine(LocalError::Receive(Errno::ENOMEM))),
            ("random", without_engine(LocalError::Random)),
        ],
    );
}

#[test]
fn details() {
    let mut page = String::new();
    for verbosity in 0..=3 {
        for format in [Format::Nagios, Format::Json, Format::Text] {
            let report = at_verbosity(verbosity, eventful());
            let (out, aside) = render(&report, format, false);
            write!(page, "== {format:?}, verbosity {verbosity}\n{out}").unwrap();
            if !aside.is_empty() {
                write!(page, "-- aside\n{aside}").unwrap();
            }
        }
    }
    insta::assert_snapshot!("details", page);
}

#[test]
fn details_if_nothing_was_learnt() {
    let mut page = String::new();
    for report in [
        of_fault(LocalError::Firewall(([192, 0, 2, 7], 25).into())),
        nameless(Reason::NameNotResolved(LookupFailure::NotFound)),
        of_reason(Reason::NoRoute(NoRoute::Network)),
    ] {
        let (out, _) = render(&at_verbosity(3, report), Format::Nagios, false);
        writeln!(page, "{out}").unwrap();
    }
    insta::assert_snapshot!("details_if_nothing_was_learnt", page);
}

#[test]
fn colours() {
    let closed = || of_verdict("192.0.2.7", 26, answered(Reason::RstAck, 310));
    let mut page = String::new();
    for report in [
        open(),
        judged(closed(), Expected::Open { refused: Status::Warning }),
        closed(),
        without_engine(LocalError::Random),
    ] {
        let (out, _) = render(&report, Format::Text, true);
        writeln!(page, "{}", out.replace('\u{1b}', "<ESC>")).unwrap();
        for format in [Format::Nagios, Format::Json] {
            assert_eq!(render(&report, format, true), render(&report, format, false));
        }
    }
    insta::assert_snapshot!("colours", page);
}

/// A target that took two attempts, with packets that arrived in between.
#[expect(clippy::too_many_lines, reason = "a table of packets")]
fn eventful() -> Report {
    let server: SocketAddr = ([192, 0, 2, 7], 25).into();
    let [first, second] = [40_000, 40_001].map(|port| SocketAddr::from(([198, 51, 100, 4], port)));
    let verdict = Verdict { attempts: 2, local: Some(second), ..answered(Reason::SynAck, 360) };
    let also = ([192, 0, 2, 8], 25).into();
    let report = of_outcome("mail:25", Some(server.ip()), Ok(verdict));
    let mut report =
        ignoring([(DiscardReason::BareReset, 1), (DiscardReason::IcmpNotOurs, 2)], report);
    report.addresses = vec![("mail".to_owned(), vec![server, also])];
    let received = |segment, hop_limit, reset_by_kernel, handled| {
        PacketEvent::Received(Event::Segment { segment, hop_limit, reset_by_kernel }, handled)
    };
    let bare = Options::default();
    let quote = Quote { remote: server, local_port: 40_000, sequence: SequenceNumber(7) };
    let error = icmp("192.0.2.1", 3, 1);
    let echo_reply = Event::EchoReply { remote: server.ip(), number: 1, hop_limit: 62 };
    report.packets = vec![
        (micros(431), PacketEvent::Sent(segment(first, server, 1000, 0, Flags::SYN, SYN_OPTIONS))),
        (
            micros(802),
            received(
                segment(server, first, 5, 0, Flags::RST, bare),
                63,
                false,
                Err(DiscardReason::BareReset),
            ),
        ),
        (
            micros(950),
            PacketEvent::Received(Event::Icmp(error, quote), Err(DiscardReason::IcmpNotOurs)),
        ),
        (
            micros(960),
            PacketEvent::Received(
                Event::Icmp(error, Quote { sequence: SequenceNumber(1000), ..quote }),
                Ok(()),
            ),
        ),
        (micros(970), PacketEvent::Received(echo_reply, Ok(()))),
        (
            micros(1_000_431),
            PacketEvent::Sent(segment(second, server, 4_294_967_295, 0, Flags::SYN, SYN_OPTIONS)),
        ),
        (
            micros(1_000_791),
            received(
                segment(server, second, 77, 0, Flags::SYN | Flags::ACK, SYN_OPTIONS),
                255,
                true,
                Ok(()),
            ),
        ),
        (micros(1_000_800), PacketEvent::Sent(segment(second, server, 0, 0, Flags::RST, bare))),
    ];
    report
}

const SYN_OPTIONS: Options =
    Options { max_segment_size: Some(1460), window_scale: Some(7), sack_permitted: true };

fn segment(
    source: SocketAddr,
    destination: SocketAddr,
    sequence: u32,
    acknowledgement: u32,
    flags: Flags,
    options: Options,
) -> Segment {
    let window = if flags.contains(Flags::SYN) { 64_240 } else { 0 };
    let [sequence, acknowledgement] = [sequence, acknowledgement].map(SequenceNumber);
    Segment { source, destination, sequence, acknowledgement, flags, window, options }
}

fn third_try() -> Verdict {
    Verdict { attempts: 3, ..answered(Reason::SynAck, 3_500_000) }
}

fn link_local() -> Report {
    let address = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    of_outcome("[fe80::1%eth0]:25", Some(address.into()), Ok(answered(Reason::SynAck, 360)))
}

fn long_name() -> Report {
    let target = format!("{}.example.com:25", ["a-rather-long-label"; 4].join("."));
    of_outcome(&target, Some([192, 0, 2, 7].into()), Ok(answered(Reason::SynAck, 360)))
}

const fn micros(microseconds: u64) -> Duration {
    Duration::from_micros(microseconds)
}

/// Compares these reports in every format with the snapshot of this name, and asserts what holds
/// for all.
fn assert_page(name: &str, reports: &[(&str, Report)]) {
    let mut page = String::new();
    for (title, report) in reports {
        let [nagios, json, text] = [Format::Nagios, Format::Json, Format::Text].map(|format| {
            let (out, aside) = render(report, format, false);
            assert!(!out.contains('\u{1b}') && aside.is_empty(), "{out}{aside}");
            out.replace(&own_path(), "/usr/bin/halfopen")
        });
        assert_eq!((nagios.matches('\n').count(), json.matches('\n').count()), (1, 1));
        assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{json}");
        write!(page, "# {title}\n{nagios}{json}{text}\n").unwrap();
    }
    insta::assert_snapshot!(name, page);
}

/// Some messages contain the path of the program, which is the path of this test.
fn own_path() -> String {
    env::current_exe().unwrap().display().to_string()
}
