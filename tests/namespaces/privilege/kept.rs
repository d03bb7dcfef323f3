//! What is kept for sockets that are opened, or bound again, when SYNs leave: no more than the
//! kernel requires.

use std::net::SocketAddr;

use super::dropping::{Held, NOTHING};
use crate::support::caller::Caller;
use crate::support::marked_route::{MARKED_V4, lab_with_a_marked_route};
#[cfg(feature = "seccomp")]
use crate::support::names::Names;
use crate::support::preloaded::Preloaded;
use lab::{Lab, ROUTED_V4};
#[cfg(feature = "seccomp")]
use lab::{Outcome, SERVER_V4, SERVER_V6};

const NET_ADMIN: u64 = 1 << 12;
const NET_RAW: u64 = 1 << 13;

/// Options of `setpriv` that leave root only `CAP_NET_ADMIN`.
const NET_ADMIN_ALONE: [&str; 2] = ["--bounding-set=-all,+net_admin", "--inh-caps=-all"];

/// From Linux 5.17 on, that does not include `CAP_NET_ADMIN`.
#[test]
fn to_mark_sockets_later_cap_net_raw_alone_is_kept() {
    let setuid = |lab: &Lab| Caller::user(lab).with_setuid_and_setgid();
    let file = |lab: &Lab| Caller::user(lab).with_file_capability("+p");
    let callers: [fn(&Lab) -> Caller; 3] = [Caller::root, setuid, file];
    for caller in callers {
        let lab = lab_with_a_marked_route();
        let caller = caller(&lab);
        let _listener = lab.server.listen(SocketAddr::new(ROUTED_V4, 80));
        let (plain, marked) = (lab.server.capture("server0"), lab.server.capture("server1"));
        let held = Held::start_with(&lab, &caller, &["--engine", "connect", "--mark", "7"], &[]);
        held.assert_has_dropped(caller.id, NET_RAW);
        let outcome = held.go_on(ROUTED_V4);
        assert_eq!(outcome.verdict().ending(), (Some("open"), 0), "{outcome:?}");
        let (plain, marked) = (plain.segments(), marked.segments());
        assert!(plain.is_empty(), "{plain:#?}");
        assert_eq!(marked.len(), 3, "SYN, SYN+ACK, RST+ACK: {marked:#?}");
        assert!(
            marked.iter().all(|segment| [segment.source, segment.destination].contains(&MARKED_V4))
        );
    }
}

#[test]
fn to_bind_sockets_to_an_interface_later_nothing_is_kept() {
    let lab = Lab::new();
    let caller = Caller::root(&lab);
    let _listener = lab.server.listen(SocketAddr::new(ROUTED_V4, 80));
    for engine in ["raw", "connect"] {
        let options = ["--engine", engine, "--interface", "client0"];
        let held = Held::start_with(&lab, &caller, &options, &[]);
        held.assert_has_dropped(caller.id, NOTHING);
        let outcome = held.go_on(ROUTED_V4);
        assert_eq!(outcome.verdict().ending(), (Some("open"), 0), "{outcome:?}");
    }
}

#[test]
fn on_older_kernels_what_they_ask_for_is_kept_and_no_more() {
    let lab = lab_with_a_marked_route();
    let older_kernel = Preloaded::build(&lab, "privilege/older_kernel.c");
    let caller = Caller::root(&lab);
    let _listener = lab.server.listen(SocketAddr::new(ROUTED_V4, 80));
    for (engine, options, kept) in [
        ("raw", &["--mark", "7"][..], NOTHING),
        ("raw", &["--interface", "client0"], NET_RAW),
        ("raw", &["--mark", "7", "--interface", "client1"], NET_RAW),
        ("connect", &["--mark", "7"], NET_ADMIN),
        ("connect", &["--interface", "client0"], NET_RAW),
        ("connect", &["--mark", "7", "--interface", "client1"], NET_RAW | NET_ADMIN),
    ] {
        let words = [&["--engine", engine], options].concat();
        let held = Held::start_with(&lab, &caller, &words, &[&older_kernel]);
        held.assert_has_dropped(caller.id, kept);
        let outcome = held.go_on(ROUTED_V4);
        assert_eq!(outcome.verdict().ending(), (Some("open"), 0), "{words:?}: {outcome:?}");
    }
}

/// Neither by netlink nor by the options that load tables. If it is the only capability, marks need
/// it on every kernel.
#[cfg(feature = "seccomp")]
#[test]
fn cap_net_admin_that_is_kept_configures_nothing() {
    let lab = Lab::new();
    let administer = Preloaded::build(&lab, "privilege/administer.c");
    let caller = Caller::root_with(&lab, &NET_ADMIN_ALONE);
    let options = ["--engine", "connect", "--mark", "7", "--dscp", "46"];
    let held = Held::start_with(&lab, &caller, &options, &[&administer]);
    held.assert_has_dropped(caller.id, NET_ADMIN);
    let outcome = held.go_on(SERVER_V6);
    assert_eq!(outcome.verdict().ending(), (Some("closed"), 2), "{outcome:?}");
    assert_all_refused(&outcome, 1);

    let names = Names::with_hosts("198.19.0.2 server.test\n");
    let _listener = lab.server.listen(SocketAddr::new(SERVER_V4, 80));
    let words = [&options[..], &["-o", "json", "server.test", "80"]].concat();
    let outcome = administer.run(&lab, names.shown_to(&caller.command(&words)));
    assert_eq!(outcome.verdict().ending(), (Some("open"), 0), "{outcome:?}");
    assert_all_refused(&outcome, 2);
    assert!(lab.client.run("ip", &["link", "show", "up", "dev", "lo"]).contains("LOOPBACK"));
}

/// Returns the output of `administer.c` for each thread in which it tried.
#[cfg(feature = "seccomp")]
#[track_caller]
fn assert_all_refused(outcome: &Outcome, threads: usize) {
    let attempts = outcome.stderr.lines();
    let (refused, others): (Vec<_>, Vec<_>) = attempts.partition(|line| line.ends_with(": EPERM"));
    assert_eq!(others, [""; 0]);
    for (attempt, times) in [("netlink", 1), ("table", 2)] {
        let count = refused.iter().filter(|line| line.starts_with(attempt)).count();
        assert_eq!(count, times * threads, "{refused:?}");
    }
}
