//! Without any privilege, and unable to gain any (`NO_NEW_PRIVS`), as `HAProxy` runs its external
//! checks.

use std::net::SocketAddr;

use super::assert_cut_short;
use crate::support::caller::Caller;
use crate::support::exchange::assert_refused;
use lab::{CLIENT_V4, CLIENT_V6, Lab, Outcome, SERVER_V4, SERVER_V6};

/// This engine is used without being asked for.
#[test]
fn checks_work_for_nobody_under_no_new_privs() {
    let lab = Lab::new();
    lab.server.nft(
        "table inet t { chain in { type filter hook input priority 0; tcp dport 82 drop; tcp dport 83 reject with icmpx type admin-prohibited; }; }",
    );
    let check = unprivileged(&lab);
    for (client, server) in [(CLIENT_V4, SERVER_V4), (CLIENT_V6, SERVER_V6)] {
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        let capture = lab.server.capture("server0");
        let verdict = |port| check(&["-o", "json", "-t", "3", &server.to_string(), port]).verdict();
        assert_eq!(verdict("80").ending(), (Some("open"), 0));
        assert_cut_short(&capture.segments(), client, server);
        assert_eq!(verdict("81").ending(), (Some("closed"), 2));
        assert_refused(&capture.segments(), client, server);
        assert_eq!(verdict("82").ending(), (Some("filtered"), 2));
        let prohibited = verdict("83");
        assert_eq!(prohibited.ending(), (Some("filtered"), 2));
        assert!(
            prohibited.reason.ends_with(&format!("prohibited from {server}")),
            "{prohibited:?}"
        );
    }
    let nowhere = check(&["-o", "json", "-t", "3", "198.19.77.1", "80"]).verdict();
    assert_eq!(nowhere.ending(), (Some("unreachable"), 2));
}

#[test]
fn the_engine_shows_in_json_and_with_v_and_not_in_the_line_for_monitors() {
    let lab = Lab::new();
    let _listener = lab.server.listen(SocketAddr::new(SERVER_V4, 80));
    let check = unprivileged(&lab);
    assert_eq!(check(&["-o", "json", "198.19.0.2", "80"]).json()["engine"], "connect");
    let silent = check(&["198.19.0.2", "80"]).stdout;
    assert!(silent.starts_with("TCP HALF-OPEN OK - 198.19.0.2:80 open in "), "{silent}");
    assert!(!silent.contains("connect"), "{silent}");
    let talkative = check(&["-v", "198.19.0.2", "80"]).stdout;
    assert!(talkative.contains("(connect)"), "{talkative}");
    let plan = check(&["-vv", "198.19.0.2", "80"]).stdout;
    assert!(plan.contains("\nengine: connect; "), "{plan}");
}

#[test]
fn the_self_test_holds_without_privilege() {
    let lab = Lab::new();
    let outcome = unprivileged(&lab)(&["--self-test"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(outcome.stdout.contains("8 of 8 claims hold"), "{outcome:?}");
    assert!(outcome.stdout.contains("engine: connect"), "{outcome:?}");
}

/// Runs the program in this way.
fn unprivileged(lab: &Lab) -> impl Fn(&[&str]) -> Outcome {
    let nobody = Caller::user_with(lab, &["--no-new-privs", "--inh-caps=-all"]);
    move |arguments| nobody.check(lab, arguments)
}
