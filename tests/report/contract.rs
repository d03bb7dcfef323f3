//! The lines that the contract gives, word by word.

use std::time::Duration;

use halfopen::local_error::LocalError;
use halfopen::plan::Format;
use halfopen::report::Report;
use halfopen::verdict::{Reason, Verdict};
use nix::errno::Errno;

use crate::reports::{
    answered, icmp, of_outcome, of_reason, of_verdict, open, open_after, render, without_engine,
};

#[test]
fn an_open_port() {
    assert_nagios(
        &open(),
        "TCP HALF-OPEN OK - 192.0.2.7:25 open in 0.36 ms|time=0.000360s;;;0;10\n",
    );
}

#[test]
fn a_slow_open_port() {
    assert_nagios(
        &open_after(212_000, "0.1", "0.5"),
        "TCP HALF-OPEN WARNING - 192.0.2.7:25 open in 212.00 ms (over 0.1 s)\
         |time=0.212000s;0.1;0.5;0;10\n",
    );
}

#[test]
fn a_closed_port() {
    assert_nagios(
        &of_verdict("192.0.2.7", 26, answered(Reason::RstAck, 310)),
        "TCP HALF-OPEN CRITICAL - 192.0.2.7:26 closed (RST+ACK in 0.31 ms)\n",
    );
}

/// A lost SYN costs its client a second, whatever the round-trip time of the next one. If it is
/// unknown which of two SYNs was answered, JSON has no round-trip time (Karn's algorithm).
#[test]
fn a_verdict_that_took_more_than_one_syn() {
    let retransmitted = |reason, microseconds| Verdict {
        retransmissions: 1,
        attempts: 2,
        ..answered(reason, microseconds)
    };
    let open = of_verdict("192.0.2.7", 25, retransmitted(Reason::SynAck, 1_000_310));
    assert_nagios(
        &open,
        "TCP HALF-OPEN OK - 192.0.2.7:25 open in 1000.31 ms (2 SYNs)|time=1.000310s;;;0;10\n",
    );
    let (json, _) = render(&open, Format::Json, false);
    assert!(json.contains(r#""rtt":null,"tries":2"#), "{json}");
    let (text, _) = render(&open, Format::Text, false);
    assert!(text.contains("1000.31 ms  SYN+ACK (2 SYNs)"), "{text}");
    assert_nagios(
        &of_verdict("192.0.2.7", 26, retransmitted(Reason::RstAck, 1_000_310)),
        "TCP HALF-OPEN CRITICAL - 192.0.2.7:26 closed (RST+ACK in 1000.31 ms; 2 SYNs)\n",
    );
    let fresh = Verdict { attempts: 3, ..answered(Reason::SynAck, 80) };
    let fresh = of_verdict("192.0.2.7", 25, fresh);
    assert_nagios(
        &fresh,
        "TCP HALF-OPEN OK - 192.0.2.7:25 open in 0.08 ms (3 SYNs)|time=0.000080s;;;0;10\n",
    );
    let (json, _) = render(&fresh, Format::Json, false);
    assert!(json.contains(r#""rtt":0.00008,"tries":3"#), "{json}");
}

#[test]
fn thresholds_judge_what_a_client_would_have_waited() {
    let mut report = open_after(1_000_310, "0.1", "0.5");
    if let Ok(verdict) = &mut report.findings[0].outcome {
        (verdict.retransmissions, verdict.attempts) = (1, 2);
    }
    assert_nagios(
        &report,
        "TCP HALF-OPEN CRITICAL - 192.0.2.7:25 open in 1000.31 ms (2 SYNs; over 0.5 s)\
         |time=1.000310s;0.1;0.5;0;10\n",
    );
}

#[test]
fn each_discard_reason_has_its_own_words() {
    let of = |reason| {
        of_verdict("192.0.2.7", 25, Verdict { attempts: 3, ..Verdict::without_probe(reason) })
    };
    assert_nagios(
        &of(Reason::WrongAcknowledgement),
        "TCP HALF-OPEN CRITICAL - 192.0.2.7:25 filtered (SYN+ACK with a wrong acknowledgement number)\n",
    );
    assert_nagios(
        &of(Reason::AnsweredBy(([192, 0, 2, 9], 80).into())),
        "TCP HALF-OPEN CRITICAL - 192.0.2.7:25 filtered (SYN+ACK from 192.0.2.9:80 instead (NAT?))\n",
    );
    let own = of_verdict("127.0.0.1", 40_000, Verdict::without_probe(Reason::OwnPort));
    assert_nagios(
        &own,
        "TCP HALF-OPEN CRITICAL - 127.0.0.1:40000 closed (this check's own source port, nobody listens)\n",
    );
}

#[test]
fn a_filtered_port() {
    assert_nagios(
        &of_verdict("192.0.2.7", 27, silence()),
        "TCP HALF-OPEN CRITICAL - 192.0.2.7:27 filtered (no answer to 3 SYNs in 7.0 s)\n",
    );
}

#[test]
fn a_missing_privilege() {
    let (line, _) =
        render(&without_engine(LocalError::RawSocket(Errno::EPERM)), Format::Nagios, false);
    let begin = "TCP HALF-OPEN UNKNOWN - cannot open a raw socket (Operation not permitted); \
                 try: setcap cap_net_raw+p /";
    assert!(line.starts_with(begin), "{line}");
}

#[test]
fn an_open_port_in_json() {
    let address = Some([192, 0, 2, 7].into());
    let report = of_outcome("mail:25", address, Ok(answered(Reason::SynAck, 360)));
    let (line, aside) = render(&report, Format::Json, false);
    let contract = r#"{"target":"mail:25","address":"192.0.2.7","port":25,"state":"open","reason":"SYN+ACK","status":"OK","rtt":0.00036,"tries":1,"engine":"raw"}"#;
    assert_eq!((line.as_str(), aside.as_str()), (format!("{contract}\n").as_str(), ""));
}

#[test]
fn an_old_connection() {
    let report = of_reason(Reason::BareAck);
    assert_nagios(
        &report,
        "TCP HALF-OPEN CRITICAL - 192.0.2.7:25 stale (ACK without SYN (old connection))\n",
    );
}

/// The column "reason shown" of the contract's table.
#[test]
fn reasons_are_those_of_the_table() {
    let port_unreachable = icmp("192.0.2.1", 3, 3);
    for (reason, text) in [
        (Reason::SynAck, "SYN+ACK"),
        (Reason::RstAck, "RST+ACK"),
        (Reason::Icmp(port_unreachable), "ICMP port unreachable from 192.0.2.1"),
        (silence().reason, "no answer to 3 SYNs in 7.0 s"),
        (Reason::BareAck, "ACK without SYN (old connection)"),
    ] {
        assert_eq!(reason.to_string(), text);
    }
}

#[test]
fn lines_fit_if_the_names_allow() {
    for report in [
        open(),
        open_after(212_000, "0.1", "0.5"),
        of_verdict("192.0.2.7", 26, answered(Reason::RstAck, 310)),
        of_verdict("192.0.2.7", 27, silence()),
        of_reason(Reason::BareAck),
    ] {
        let (line, _) = render(&report, Format::Nagios, false);
        let text = line.split('|').next().unwrap().trim_end();
        assert!(text.chars().count() < 80, "{text}");
    }
}

fn silence() -> Verdict {
    let reason = Reason::NoAnswer { syns: 3, waited: Duration::from_secs(7) };
    Verdict { attempts: 3, ..Verdict::without_probe(reason) }
}

fn assert_nagios(report: &Report, line: &str) {
    let (out, aside) = render(report, Format::Nagios, false);
    assert_eq!((out.as_str(), aside.as_str()), (line, ""));
}
