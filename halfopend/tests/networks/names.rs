//! Targets that are names, and a name service that changes its mind, hangs or dies.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use lab::{Capture, Lab};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::daemon::{Daemon, Files, wait_until};
use crate::http::curl;
use crate::name_service::{Answer, NameService, command, ip};

/// A pool whose targets are checked every half second.
fn pool(targets: &str, more: &str) -> Files {
    Files::new(&format!(
        "[pool.web]\ntargets = {targets}\n{more}\ninterval = \"500ms\"\ntimeout = \"400ms\"\n\
         transition_interval = \"500ms\"\ndown_interval = \"500ms\"\nretries = 1\n"
    ))
}

fn listener(lab: &Lab) -> std::net::TcpListener {
    lab.server.listen(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 8025))
}

/// Waits until this address of the server is checked once more.
fn until_checked(capture: &Capture, address: [u8; 4]) {
    let address = IpAddr::from(address);
    capture.segments(); // those before
    wait_until(&format!("a SYN to {address}"), || {
        capture.segments().iter().any(|s| s.flags == "SYN" && s.destination == address)
    });
}

/// Returns the address of a target in its newest event.
fn address_of(daemon: &Daemon, label: &str) -> Option<String> {
    let events = daemon.events();
    let event = events.iter().rev().find(|event| event["target"] == label)?;
    event["address"].as_str().map(str::to_owned)
}

fn kinds(daemon: &Daemon, label: &str) -> Vec<String> {
    let of_target = |event: &Value| event["target"] == label && event["event"] != "snapshot";
    let name = |event: Value| event["event"].as_str().expect("a name").to_owned();
    daemon.events().into_iter().filter(of_target).map(name).collect()
}

/// Loads the configuration again, which looks up all names at once.
fn reload(daemon: &mut Daemon, label: &str) {
    let seen = daemon.events().len();
    daemon.signal(Signal::SIGHUP);
    daemon.until(seen, "snapshot", label);
}

#[test]
fn a_target_stays_at_its_address_while_the_name_has_it() {
    let lab = Lab::new();
    let _listener = listener(&lab);
    let names =
        NameService::start(&lab, &[("web.test", Answer::Addresses(vec![ip(1), ip(2), ip(3)]))]);
    let files = pool(r#"["web.test:8025"]"#, "");
    let mut daemon = Daemon::of(&lab.client, command(&files));
    daemon.until(0, "up", "web.test:8025");
    let first = address_of(&daemon, "web.test:8025").expect("it is up");
    for _ in 0..4 {
        daemon.signal(Signal::SIGHUP);
        names.until_asked("web.test");
        reload(&mut daemon, "web.test:8025");
        assert_eq!(address_of(&daemon, "web.test:8025"), Some(first.clone()));
    }
    let left: Vec<_> = [ip(1), ip(2), ip(3)]
        .into_iter()
        .filter(|address| IpAddr::from(*address).to_string() != first)
        .collect();
    let capture = lab.server.capture("server0");
    names.set("web.test", Answer::Addresses(left.clone()));
    daemon.signal(Signal::SIGHUP);
    wait_until("the move", || {
        capture.segments().iter().any(|s| {
            s.flags == "SYN" && left.iter().any(|address| IpAddr::from(*address) == s.destination)
        })
    });
    reload(&mut daemon, "web.test:8025");
    assert_ne!(address_of(&daemon, "web.test:8025"), Some(first));
    assert_eq!(kinds(&daemon, "web.test:8025"), ["up"], "its state stands");
}

#[test]
fn each_address_is_a_target_if_all_are_wanted() {
    let lab = Lab::new();
    let _listener = listener(&lab);
    let names = NameService::start(&lab, &[("web.test", Answer::Addresses(vec![ip(1), ip(2)]))]);
    let files = pool(r#"["web.test:8025"]"#, "addresses = \"all\"");
    let mut daemon = Daemon::of(&lab.client, command(&files));
    let label = |last: u8| format!("web.test[198.18.0.{last}]:8025");
    let seen = daemon.until(0, "up", &label(1)).max(daemon.until(0, "up", &label(2)));
    names.set("web.test", Answer::Addresses(vec![ip(2), ip(3)]));
    daemon.signal(Signal::SIGHUP);
    daemon.until(seen, "added", &label(3));
    daemon.until(seen, "removed", &label(1));
    daemon.until(seen, "up", &label(3));
    assert_eq!(kinds(&daemon, &label(1)), ["added", "up", "removed"]);
    assert_eq!(kinds(&daemon, &label(2)), ["added", "up"]);
    let events = daemon.events();
    let last = events.last().expect("events");
    assert_eq!((&last["pool_up"], &last["pool_targets"]), (&2.into(), &2.into()), "{last}");
}

#[test]
fn a_name_service_that_hangs_or_dies_changes_nothing_but_what_is_held() {
    let lab = Lab::new();
    let _listener = listener(&lab);
    let names = NameService::start(
        &lab,
        &[("known.test", Answer::Addresses(vec![ip(1)])), ("never.test", Answer::Silence)],
    );
    let files = pool(r#"["known.test:8025", "never.test:8025"]"#, "");
    let mut daemon = Daemon::of(&lab.client, command(&files));
    daemon.until(0, "up", "known.test:8025");
    daemon.until(0, "held", "never.test:8025");
    names.set("known.test", Answer::Silence);
    daemon.signal(Signal::SIGHUP);
    names.until_asked("known.test");
    let capture = lab.server.capture("server0");
    // The C library gives up after two seconds. Half a minute later it is asked again.
    for _ in 0..3 {
        names.until_asked("known.test");
        until_checked(&capture, ip(1));
    }
    drop(names);
    for _ in 0..4 {
        reload(&mut daemon, "known.test:8025");
        until_checked(&capture, ip(1));
    }
    assert_eq!(kinds(&daemon, "known.test:8025"), ["up"]);
    assert_eq!(kinds(&daemon, "never.test:8025"), ["held"]);
    let seen = daemon.events().len();
    let _names = NameService::start(&lab, &[("never.test", Answer::Addresses(vec![ip(2)]))]);
    daemon.until(seen, "released", "never.test:8025"); // within half a minute
    daemon.until(seen, "up", "never.test:8025");
}

/// Without a reload, a name is looked up again within half a minute.
#[test]
fn a_name_that_does_not_exist_any_more_is_down_until_it_does() {
    let lab = Lab::new();
    let _listener = listener(&lab);
    let names = NameService::start(
        &lab,
        &[
            ("web.test", Answer::Addresses(vec![ip(1)])),
            ("other.test", Answer::Addresses(vec![ip(2)])),
        ],
    );
    let files = pool(r#"["web.test:8025", "other.test:8025", "no-such.test:8025"]"#, "");
    let mut daemon = Daemon::of(&lab.client, command(&files));
    daemon.until(0, "down", "no-such.test:8025");
    let seen = daemon.until(0, "up", "web.test:8025");
    names.set("web.test", Answer::NoSuchName);
    let seen = daemon.until(seen, "down", "web.test:8025");
    let down = daemon.events().swap_remove(seen - 1);
    assert_eq!(down["reason"], "name does not resolve: not found");
    names.set("web.test", Answer::Addresses(vec![ip(3)]));
    daemon.until(seen, "up", "web.test:8025");
    assert_eq!(address_of(&daemon, "web.test:8025").as_deref(), Some("198.18.0.3"));
    assert_eq!(kinds(&daemon, "other.test:8025"), ["up"]);
}

/// It exists, so it may be about to get one. Its last known address stays in use.
#[test]
fn a_name_without_an_address_is_held_or_stays_where_it_was() {
    let lab = Lab::new();
    let _listener = listener(&lab);
    let names = NameService::start(
        &lab,
        &[("web.test", Answer::Addresses(vec![ip(1)])), ("empty.test", Answer::NoAddress)],
    );
    let files = pool(r#"["web.test:8025", "empty.test:8025", "no-such.test:8025"]"#, "");
    let mut daemon = Daemon::of(&lab.client, command(&files));
    daemon.until(0, "up", "web.test:8025");
    daemon.until(0, "down", "no-such.test:8025");
    let held = daemon.until(0, "held", "empty.test:8025");
    let event = daemon.events().swap_remove(held - 1);
    assert_eq!(event["reason"], "name does not resolve: no address");
    names.set("web.test", Answer::NoAddress);
    let capture = lab.server.capture("server0");
    daemon.signal(Signal::SIGHUP);
    names.until_asked("web.test");
    for _ in 0..3 {
        until_checked(&capture, ip(1));
    }
    let seen = daemon.events().len();
    names.set("empty.test", Answer::Addresses(vec![ip(2)]));
    daemon.signal(Signal::SIGHUP);
    daemon.until(seen, "up", "empty.test:8025");
    assert_eq!(kinds(&daemon, "web.test:8025"), ["up"]);
    assert_eq!(kinds(&daemon, "empty.test:8025"), ["held", "released", "up"]);
}

/// The next regular check would come after an hour.
#[test]
fn an_address_that_is_found_wakes_what_was_held() {
    for addresses in ["first", "all"] {
        let lab = Lab::new();
        let _listener = listener(&lab);
        let names = NameService::start(&lab, &[("web.test", Answer::NoAddress)]);
        let more = format!("addresses = {addresses:?}");
        let files = pool(r#"["web.test:8025"]"#, &more);
        let text = std::fs::read_to_string(files.path("halfopend.toml")).expect("its own");
        let text = text.replace("interval = \"500ms\"", "interval = \"1h\"");
        files.write("halfopend.toml", &text);
        let mut daemon = Daemon::of(&lab.client, command(&files));
        let seen = daemon.until(0, "held", "web.test:8025");
        names.set("web.test", Answer::Addresses(vec![ip(1)]));
        daemon.signal(Signal::SIGHUP);
        let label = if addresses == "all" { "web.test[198.18.0.1]:8025" } else { "web.test:8025" };
        daemon.until(seen, "up", label);
    }
}

/// A look-up that has failed counts as a check; one that has not ended does not.
#[test]
fn a_daemon_is_ready_when_all_look_ups_have_ended() {
    let lab = Lab::new();
    let _listener = listener(&lab);
    let _names = NameService::start(&lab, &[("never.test", Answer::Silence)]);
    let files = pool(r#"["198.18.0.1:8025", "never.test:8025", "no-such.test:8025"]"#, "");
    let command = command(&files);
    files.write("resolv.conf", "nameserver 127.0.0.1\noptions timeout:8 attempts:1\n");
    let mut daemon = Daemon::of(&lab.client, command);
    let ready = || curl(&lab.client, &["http://127.0.0.1:10115/-/ready"]).0;
    daemon.until(0, "up", "198.18.0.1:8025");
    daemon.until(0, "down", "no-such.test:8025");
    daemon.until(0, "held", "never.test:8025"); // after five seconds
    assert_eq!(ready(), "503");
    wait_until("it is ready", || ready() == "200");
    assert_eq!(kinds(&daemon, "never.test:8025"), ["held"]);
}

/// The interface of a link-local address may come later, and with another number each time.
#[test]
fn a_link_local_target_is_held_while_its_interface_is_missing() {
    let lab = Lab::new();
    let listing =
        lab.server.run("ip", &["-6", "-o", "address", "show", "dev", "server0", "scope", "link"]);
    let address = listing.split_whitespace().nth(3).expect("an address");
    let address = address.split('/').next().expect("before its length");
    let interface =
        lab.server.enter(|| nix::net::if_::if_nametoindex("server0")).expect("its number");
    let ip = address.parse().expect("an IPv6 address");
    let _listener = lab.server.listen(std::net::SocketAddrV6::new(ip, 8025, 0, interface).into());
    let label = |interface: &str| format!("[{address}%{interface}]:8025");
    let (there, later) = (label("client0"), label("late0"));
    let files = pool(&format!("[{there:?}, {later:?}]"), "");
    let _names = NameService::start(&lab, &[]);
    let mut daemon = Daemon::of(&lab.client, command(&files));
    daemon.until(0, "up", &there);
    let seen = daemon.until(0, "held", &later);
    lab.client.configure(&[
        "link set client0 down",
        "link set client0 name late0",
        "link set late0 up",
    ]);
    daemon.until(seen, "up", &later);
    assert_eq!(kinds(&daemon, &later), ["held", "released", "up"]);
    assert!(!kinds(&daemon, &there).contains(&"down".to_owned()), "{:?}", daemon.events());
}
