//! Sets of a real nftables.

use std::path::Path;

use lab::Namespace;

use super::{DOWN, DOWN_BUT_ADVERTISED, HOSTILE, OF_THE_POOL, Transition, UP};

const TABLE: &str = "table inet lb {
    set up4 { type ipv4_addr; }
    set up6 { type ipv6_addr; }
    set ports { type ipv4_addr . inet_service; }
}";

fn host() -> Namespace {
    let host = Namespace::new();
    host.nft(TABLE);
    host
}

/// Returns the elements of a set, as nft prints them.
fn elements(host: &Namespace, set: &str) -> String {
    let printed = host.run("nft", &["list", "set", "inet", "lb", set]);
    let (_, elements) = printed.split_once("elements = { ").unwrap_or(("", " }"));
    elements.split_once(" }").expect("the end of the set").0.to_owned()
}

#[test]
fn a_set_has_the_addresses_that_are_advertised_as_up() {
    let host = host();
    let tell = |transition: Transition| {
        let folder = tempfile::TempDir::new().expect("a place for temporary files");
        transition.tell(&host, folder.path(), "nftables", &["inet", "lb", "up4", "up6"]);
    };
    let other = Transition { target: HOSTILE, address: "2001:db8::7", reason: HOSTILE, ..UP };
    for transition in [UP, UP, other] {
        tell(transition);
    }
    assert_eq!(elements(&host, "up4"), "192.0.2.7");
    assert_eq!(elements(&host, "up6"), "2001:db8::7");
    tell(Transition { event: "held", ..UP });
    tell(Transition { event: "unknown", to: "unknown", advertised: "unknown", ..UP });
    tell(OF_THE_POOL);
    assert_eq!(elements(&host, "up4"), "192.0.2.7");
    for transition in [DOWN, DOWN] {
        tell(transition);
        assert_eq!(elements(&host, "up4"), "");
    }
    tell(DOWN_BUT_ADVERTISED);
    assert_eq!(elements(&host, "up4"), "192.0.2.7");
    tell(Transition { event: "removed", address: "2001:db8::7", ..UP });
    assert_eq!(
        (elements(&host, "up4").as_str(), elements(&host, "up6").as_str()),
        ("192.0.2.7", "")
    );
}

#[test]
fn a_set_may_have_ports() {
    let host = host();
    let folder = tempfile::TempDir::new().expect("a place for temporary files");
    let words = ["-p", "inet", "lb", "ports"];
    UP.tell(&host, folder.path(), "nftables", &words);
    Transition { port: "25", ..UP }.tell(&host, folder.path(), "nftables", &words);
    // The other family has no set.
    Transition { address: "2001:db8::7", ..UP }.tell(&host, folder.path(), "nftables", &words);
    DOWN.tell(&host, folder.path(), "nftables", &words);
    assert_eq!(elements(&host, "ports"), "192.0.2.7 . 25");
}

#[test]
fn a_set_that_is_not_there_is_a_failure() {
    let outcome = UP.run(&host(), Path::new("/"), "nftables", &["inet", "lb", "absent"]);
    assert_ne!(outcome.code, 0);
    assert!(outcome.stderr.contains("No such file or directory"), "{outcome:?}");
}
