//! Callers without privilege of their own cannot flood or spoof with that of the program.

use std::net::SocketAddr;

use crate::support::caller::Caller;
use crate::support::exchange::assert_half_open;
use crate::support::names::Names;
use lab::{CLIENT_V4, Lab, Outcome, SERVER_V4};

/// Callers who could send anything without this program, and callers who get no privilege from it.
fn others(lab: &Lab) -> [Caller; 3] {
    [Caller::root(lab), Caller::user_with_ambient_net_raw(lab), Caller::user(lab)]
}

#[track_caller]
fn assert_unknown(outcome: &Outcome, cause: &str) {
    assert_eq!(outcome.code, 3, "{outcome:?}");
    assert!(outcome.stdout.starts_with("TCP HALF-OPEN UNKNOWN - "), "{outcome:?}");
    assert!(outcome.stdout.contains(cause), "{outcome:?}");
}

#[test]
fn lent_privilege_has_a_highest_rate() {
    let lab = Lab::new();
    let capture = lab.server.capture("server0");
    for caller in Caller::lent(&lab) {
        for rate in ["0", "10001", "4294967295"] {
            let outcome = caller.check(&lab, &["--rate", rate, "198.19.0.2", "81"]);
            assert_unknown(
                &outcome,
                &format!("--rate {rate} is only for root and callers with CAP_NET_RAW"),
            );
        }
        assert!(capture.segments().is_empty());
        for rate in ["1", "10000"] {
            let outcome = caller.check(&lab, &["--rate", rate, "198.19.0.2", "81"]);
            assert_eq!(outcome.code, 2, "{outcome:?}");
        }
        capture.segments();
    }
}

#[test]
fn callers_with_the_privilege_or_without_need_of_it_are_not_limited() {
    let lab = Lab::new();
    for caller in others(&lab) {
        for rate in ["0", "10001"] {
            let outcome = caller.check(&lab, &["--rate", rate, "198.19.0.2", "81"]);
            assert_eq!(outcome.code, 2, "{outcome:?}");
        }
    }
}

/// Not even if the kernel lets every program send from such an address.
#[test]
fn lent_privilege_sends_from_no_address_of_another_machine() {
    let lab = Lab::new();
    for family in ["ipv4", "ipv6"] {
        lab.client.sysctl(&format!("net.{family}.ip_nonlocal_bind"), "1");
    }
    let capture = lab.server.capture("server0");
    for caller in Caller::lent(&lab).into_iter().chain(others(&lab)) {
        for (server, sources) in [
            ("198.19.0.2", ["198.19.0.77", "198.19.0.2", "198.19.0.255", "224.0.0.1", "0.0.0.0"]),
            ("2001:db8::2", ["2001:db8::77", "2001:db8::2", "2001:db8::", "ff02::1", "::"]),
        ] {
            for source in sources {
                let outcome = caller.check(&lab, &["--source", source, server, "81"]);
                assert_unknown(&outcome, &format!("cannot send from {source} "));
            }
        }
        let outcome =
            caller.check(&lab, &["--engine", "connect", "-S", "198.19.0.77", "198.19.0.2", "81"]);
        assert_unknown(&outcome, "cannot send from 198.19.0.77 ");
    }
    assert!(capture.segments().is_empty());
}

#[test]
fn nobody_sends_to_many_hosts_by_one_address() {
    let lab = Lab::new();
    let capture = lab.server.capture("server0");
    for caller in Caller::lent(&lab).into_iter().chain(others(&lab)) {
        for target in [
            "198.19.0.255:81",
            "255.255.255.255:81",
            "224.0.0.1:81",
            "224.0.0.0/24:81",
            "[::ffff:224.0.0.1]:81",
            "[ff02::1]:81",
            "[ff02::1%client0]:81",
            "[ff0e::]:81",
            "0.0.0.0:81",
            "[::]:81",
        ] {
            let outcome = caller.check(&lab, &[target]);
            assert_eq!(outcome.code, 3, "{target}: {outcome:?}");
        }
    }
    assert!(capture.segments().is_empty());
}

#[test]
fn a_block_with_a_broadcast_address_is_probed_without_it() {
    let lab = Lab::new();
    let capture = lab.server.capture("server0");
    for caller in Caller::lent(&lab) {
        let outcome = caller.check(&lab, &["-t", "1", "--retries", "0", "198.19.0.252/30:81"]);
        assert!(outcome.stdout.contains("198.19.0.255 is a broadcast address"), "{outcome:?}");
    }
    assert!(capture.segments().is_empty(), "nobody has the other addresses either");
}

#[test]
fn a_name_of_many_hosts_does_not_resolve() {
    let lab = Lab::new();
    let names =
        Names::with_hosts("224.0.0.1 many.test\n255.255.255.255 all.test\nff02::1 six.test\n");
    let capture = lab.server.capture("server0");
    for caller in Caller::lent(&lab) {
        for name in ["many.test", "all.test", "six.test"] {
            let command = names.shown_to(&caller.command(&[name, "81"]));
            let outcome = lab.client.outcome(command);
            assert_eq!(outcome.code, 2, "{outcome:?}");
            assert!(outcome.stdout.contains("name does not resolve"), "{outcome:?}");
        }
    }
    assert!(capture.segments().is_empty());
}

/// If a socket took the descriptor of a closed standard output, it would send what is printed.
#[test]
fn what_is_printed_never_goes_out_as_packets() {
    let lab = Lab::new();
    let _listener = lab.server.listen(SocketAddr::new(SERVER_V4, 80));
    let capture = lab.server.capture("server0");
    for caller in Caller::lent(&lab) {
        let program = caller.program.to_str().expect("plain letters");
        let closed = r#"exec "$0" -vvv 198.19.0.2 80 <&- >&- 2>&-"#;
        let outcome = lab.client.outcome(caller.command_of("sh", &["-c", closed, program]));
        assert_eq!(outcome.code, 0, "{outcome:?}");
        assert_half_open(&capture.segments(), CLIENT_V4, SERVER_V4);
    }
}
