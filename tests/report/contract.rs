//! The lines that the contract gives, word by word.

use std::time::Duration;

use halfopen::fault::Fault;
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

#[test]
fn a_filtered_port() {
    assert_nagios(
        &of_verdict("192.0.2.7", 27, silence()),
        "TCP HALF-OPEN CRITICAL - 192.0.2.7:27 filtered (no answer to 3 SYNs in 7.0 s)\n",
    );
}

#[test]
fn a_missing_privilege() {
    let (line, _) = render(&without_engine(Fault::RawSocket(Errno::EPERM)), Format::Nagios, false);
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
    let report = of_reason(Reason::AckWithoutSyn);
    assert_nagios(
        &report,
        "TCP HALF-OPEN CRITICAL - 192.0.2.7:25 stale (ACK without SYN (old connection))\n",
    );
}

/// The column "reason shown" of the contract's table.
#[test]
fn reasons_read_as_in_the_table() {
    let port_unreachable = icmp("192.0.2.1", 3, 3);
    for (reason, text) in [
        (Reason::SynAck, "SYN+ACK"),
        (Reason::RstAck, "RST+ACK"),
        (Reason::Icmp(port_unreachable), "ICMP port unreachable from 192.0.2.1"),
        (silence().reason, "no answer to 3 SYNs in 7.0 s"),
        (Reason::AckWithoutSyn, "ACK without SYN (old connection)"),
    ] {
        assert_eq!(reason.to_string(), text);
    }
}

#[test]
fn lines_fit_where_the_names_allow() {
    for report in [
        open(),
        open_after(212_000, "0.1", "0.5"),
        of_verdict("192.0.2.7", 26, answered(Reason::RstAck, 310)),
        of_verdict("192.0.2.7", 27, silence()),
        of_reason(Reason::AckWithoutSyn),
    ] {
        let (line, _) = render(&report, Format::Nagios, false);
        let text = line.split('|').next().unwrap().trim_end();
        assert!(text.chars().count() < 80, "{text}");
    }
}

fn silence() -> Verdict {
    let reason = Reason::NoAnswer { syns: 3, waited: Duration::from_secs(7) };
    Verdict { tries: 3, ..Verdict::without_probe(reason) }
}

fn assert_nagios(report: &Report, line: &str) {
    let (out, aside) = render(report, Format::Nagios, false);
    assert_eq!((out.as_str(), aside.as_str()), (line, ""));
}
