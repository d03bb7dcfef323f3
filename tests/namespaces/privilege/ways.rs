//! How little privilege a check needs, with which engine, and the message if neither works.

use std::net::SocketAddr;
use std::process::Command;

use crate::support::caller::Caller;
use crate::support::exchange::{assert_half_open, assert_refused};
use lab::{CLIENT_V4, CLIENT_V6, Captured, Lab, Outcome, SERVER_V4, SERVER_V6, halfopen_path};

const RAW: &str = "raw";
const CONNECT: &str = "connect";

fn assert_checks_work(lab: &Lab, caller: &Caller, engine: &str) {
    assert_checks(lab, engine, |arguments| caller.check(lab, arguments));
}

/// Asserts that an open and a closed port of either family are found by this engine, and that no
/// other packets are on the wire.
fn assert_checks(lab: &Lab, engine: &str, check: impl Fn(&[&str]) -> Outcome) {
    for (client, server) in [(CLIENT_V4, SERVER_V4), (CLIENT_V6, SERVER_V6)] {
        let _listener = lab.server.listen(SocketAddr::new(server, 80));
        let capture = lab.server.capture("server0");
        let ends = |port, state, code| {
            let outcome = check(&["-o", "json", &server.to_string(), port]);
            assert_eq!(outcome.verdict().ending(), (Some(state), code), "{outcome:?}");
            assert_eq!(outcome.json()["engine"], engine, "{outcome:?}");
        };
        ends("80", "open", 0);
        let segments = capture.segments();
        if engine == RAW {
            assert_half_open(&segments, client, server);
        } else {
            assert_eq!(flags(&segments), ["SYN", "SYN+ACK", "RST+ACK"]);
        }
        ends("81", "closed", 2);
        assert_refused(&capture.segments(), client, server);
    }
}

fn flags(segments: &[Captured]) -> Vec<&str> {
    segments.iter().map(|segment| &*segment.flags).collect()
}

/// Without `CAP_NET_RAW` in the bounding set, as in most containers.
fn user_in_container(lab: &Lab) -> Caller {
    Caller::user_with(lab, &["--inh-caps=-all", "--bounding-set=-net_raw"])
}

fn root_in_container(lab: &Lab) -> Caller {
    Caller::root_with(lab, &["--inh-caps=-all", "--bounding-set=-net_raw"])
}

/// The effective capabilities that an ordinary program starts with.
fn effective_capabilities(lab: &Lab, caller: &Caller) -> String {
    let outcome = lab.client.outcome(caller.command_of("cat", &["/proc/self/status"]));
    let line = outcome.stdout.lines().find(|line| line.starts_with("CapEff:"));
    let line = line.unwrap_or_else(|| panic!("{outcome:?}"));
    line.split_whitespace().last().expect("split gives one part").to_owned()
}

#[test]
fn root_checks_by_raw_sockets() {
    let lab = Lab::new();
    assert_checks_work(&lab, &Caller::root(&lab), RAW);
}

#[test]
fn cap_net_raw_alone_is_enough() {
    let lab = Lab::new();
    assert_checks(&lab, RAW, |arguments| lab.check_with_net_raw_alone(arguments));
}

#[test]
fn cap_net_raw_alone_is_enough_for_a_server_with_hop_limit_255() {
    let lab = Lab::new();
    lab.server.sysctl("net.ipv4.ip_default_ttl", "255");
    lab.server.sysctl("net.ipv6.conf.server0.hop_limit", "255");
    assert_checks(&lab, RAW, |arguments| lab.check_with_net_raw_alone(arguments));
}

/// `+p`, not `+ep`: the program raises the bit itself.
#[test]
fn a_permitted_file_capability_is_enough_for_an_ordinary_user() {
    let lab = Lab::new();
    let user = Caller::user(&lab).with_file_capability("+p");
    assert_eq!(effective_capabilities(&lab, &user), "0000000000000000");
    assert_checks_work(&lab, &user, RAW);
}

#[test]
fn an_effective_file_capability_does_as_well() {
    let lab = Lab::new();
    assert_checks_work(&lab, &Caller::user(&lab).with_file_capability("+ep"), RAW);
}

#[test]
fn setuid_root_does_as_well() {
    let lab = Lab::new();
    assert_checks_work(&lab, &Caller::user(&lab).with_setuid_and_setgid(), RAW);
}

#[test]
fn an_ambient_capability_does_as_well() {
    let lab = Lab::new();
    let user = Caller::user_with_ambient_net_raw(&lab);
    assert_eq!(effective_capabilities(&lab, &user), "0000000000002000");
    assert_checks_work(&lab, &user, RAW);
}

#[test]
fn without_privilege_the_kernel_makes_the_handshake() {
    let lab = Lab::new();
    assert_checks_work(&lab, &Caller::user(&lab), CONNECT);
}

/// As under `HAProxy`: the kernel then ignores the file capability of the program.
#[test]
fn without_new_privileges_the_kernel_makes_the_handshake() {
    let lab = Lab::new();
    // In two steps, because setpriv still has root's capabilities when it starts a program.
    let bound = || Caller::user_with(&lab, &["--inh-caps=-all", "setpriv", "--no-new-privs"]);
    assert_checks_work(&lab, &bound().with_file_capability("+p"), CONNECT);
    assert_checks_work(&lab, &bound().with_file_capability("+ep"), CONNECT);
    assert_checks_work(&lab, &bound().with_setuid_and_setgid(), CONNECT);
}

#[test]
fn in_a_container_without_the_capability_the_kernel_makes_the_handshake() {
    let lab = Lab::new();
    assert_checks_work(&lab, &user_in_container(&lab).with_file_capability("+p"), CONNECT);
    assert_checks_work(&lab, &root_in_container(&lab), CONNECT);
    let root = root_in_container(&lab).with_file_capability("+p");
    assert_checks_work(&lab, &root, CONNECT);
}

/// Why the program is installed with `+p`: with `+ep` it does not even start there.
#[test]
fn in_a_container_without_the_capability_an_effective_one_keeps_the_program_from_starting() {
    let lab = Lab::new();
    for caller in [user_in_container(&lab), root_in_container(&lab)] {
        let outcome = caller.with_file_capability("+ep").check(&lab, &["198.19.0.2", "80"]);
        assert_eq!((outcome.code, &*outcome.stdout), (126, ""), "{outcome:?}");
        assert!(outcome.stderr.contains("Operation not permitted"), "{outcome:?}");
    }
}

/// Root in it has all capabilities, but not over the network outside, and a user who is not mapped
/// cannot even set their own id.
#[test]
fn in_a_user_namespace_the_kernel_makes_the_handshake() {
    let lab = Lab::new();
    for options in [&["--map-root-user"][..], &[]] {
        assert_checks_work(&lab, &Caller::in_user_namespace(&lab, options), CONNECT);
    }
}

#[test]
fn in_a_user_namespace_with_a_network_of_its_own_raw_sockets_work() {
    let lab = Lab::new();
    let mut command = Command::new("unshare");
    let test = r#"ip link set lo up && exec "$0" --self-test"#;
    command.args(["--user", "--map-root-user", "--net", "sh", "-c", test, halfopen_path()]);
    let outcome = lab.client.outcome(command);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(outcome.stdout.lines().next().is_some_and(|line| line.ends_with("(engine: raw)")));
}

/// Bits of securebits(7) that a service manager may lock.
#[test]
fn locked_securebits_do_not_matter() {
    let lab = Lab::new();
    for bits in ["+keep_caps_locked", "+noroot,+noroot_locked", "+no_setuid_fixup_locked"] {
        let bits = format!("--securebits={bits}");
        let outcome = Caller::root_with(&lab, &[&bits]).check(&lab, &["198.19.0.2", "81"]);
        assert_eq!(outcome.code, 2, "{bits}: {outcome:?}");
    }
}

#[test]
fn without_privilege_raw_sockets_are_refused_with_the_fix() {
    let lab = Lab::new();
    let capture = lab.server.capture("server0");
    for caller in [Caller::user(&lab), user_in_container(&lab).with_file_capability("+p")] {
        for server in [SERVER_V4, SERVER_V6] {
            let outcome = caller.check(&lab, &["--engine", "raw", &server.to_string(), "80"]);
            assert_eq!(outcome.code, 3, "{outcome:?}");
            let line = "TCP HALF-OPEN UNKNOWN - cannot open a raw socket";
            assert!(outcome.stdout.starts_with(line), "{outcome:?}");
            assert!(outcome.stdout.contains("setcap cap_net_raw+p"), "{outcome:?}");
            assert_eq!(outcome.stdout.lines().count(), 1, "{outcome:?}");
        }
    }
    assert!(capture.segments().is_empty());
}
