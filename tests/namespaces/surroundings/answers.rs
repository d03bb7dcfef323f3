//! Answers that this machine would drop.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use halfopen::engine::Egress;
use halfopen::surroundings::AnswerDrop;
use lab::{CLIENT_V4, Lab, ROUTED_V4, SERVER_V4};

use super::{check, surroundings, surroundings_after};
use crate::support::marked_route::{MARKED_V4, lab_with_a_marked_route};

const SECOND_SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 19, 1, 2));

fn from(source: IpAddr) -> Egress {
    Egress { source: Some(source), ..Egress::default() }
}

#[test]
fn an_answer_that_the_reverse_path_filter_drops_is_told_apart() {
    let lab = Lab::new();
    lab.second_cable();
    let _listener = lab.server.listen(SocketAddr::new(SERVER_V4, 80));
    let target = SocketAddr::new(SERVER_V4, 80);
    // The filter also drops ARP requests from the target's address, but does not count them.
    lab.server.sysctl("net.ipv4.conf.server1.arp_announce", "2");
    let egress = from(MARKED_V4); // of the second cable, while the route is by the first
    let own = MARKED_V4.to_string();
    for (filter, state, drops) in [
        ("1", "filtered", Some(AnswerDrop::ReversePath("client1".to_owned()))),
        ("2", "open", None),
        ("0", "open", None),
    ] {
        lab.client.sysctl("net.ipv4.conf.client1.rp_filter", filter);
        let known = surroundings_after(&lab, &egress, target, || {
            assert_eq!(check(&lab, &["--source", &own], target), state, "rp_filter {filter}");
        });
        assert_eq!(known.drops_answers, drops, "rp_filter {filter}");
    }
}

#[test]
fn a_strict_reverse_path_filter_that_drops_nothing_is_not_blamed() {
    let lab = Lab::new();
    lab.second_cable();
    lab.client.sysctl("net.ipv4.conf.all.rp_filter", "1");
    lab.server
        .nft("table ip t { chain in { type filter hook input priority 0; tcp dport 80 drop; }; }");
    for (source, target) in [
        (CLIENT_V4, SERVER_V4),
        (MARKED_V4, SECOND_SERVER),
        (CLIENT_V4, ROUTED_V4),
        (MARKED_V4, SERVER_V4), // would be dropped, but the server sends nothing
    ] {
        let (own, target) = (source.to_string(), SocketAddr::new(target, 80));
        let known = surroundings_after(&lab, &from(source), target, || {
            assert_eq!(check(&lab, &["--source", &own], target), "filtered");
        });
        assert_eq!(known.drops_answers, None, "{source} {target}");
    }
}

#[test]
fn the_reverse_path_filter_is_not_blamed_for_answers_that_it_admits() {
    let lab = Lab::new();
    lab.second_cable();
    lab.client.sysctl("net.ipv4.conf.all.rp_filter", "1");
    lab.server.sysctl("net.ipv4.conf.server1.arp_announce", "2");
    let loopback = IpAddr::V4(Ipv4Addr::new(198, 19, 0, 5));
    lab.client.configure(&[
        "address add 198.19.0.5/32 dev lo",
        "rule add from 198.19.1.1 to 198.18.0.0/16 lookup 200",
        "route add 198.18.0.0/16 via 198.19.1.2 table 200",
    ]);
    let (own, foreign) = (MARKED_V4.to_string(), SocketAddr::new(SERVER_V4, 80));
    let answers = [
        (CLIENT_V4, SERVER_V4),
        (MARKED_V4, SECOND_SERVER),
        (CLIENT_V4, ROUTED_V4),
        (MARKED_V4, ROUTED_V4), // by a rule for its source
        (loopback, SERVER_V4),
        (loopback, ROUTED_V4),
        (CLIENT_V4, CLIENT_V4),
        (CLIENT_V4, MARKED_V4),
    ];
    for routes in ["via 198.19.0.2", "nexthop via 198.19.0.2 nexthop via 198.19.1.2"] {
        lab.client.configure(&[&format!("route replace 198.18.0.0/16 {routes}")]);
        for (source, target) in answers {
            let target = SocketAddr::new(target, 80);
            let known = surroundings_after(&lab, &from(source), target, || {
                // The filter drops an answer, but from another target.
                assert_eq!(check(&lab, &["--source", &own], foreign), "filtered");
                let arguments = ["--source", &source.to_string()];
                assert_eq!(check(&lab, &arguments, target), "closed", "{source} {target}");
            });
            assert_eq!(known.drops_answers, None, "{source} {target}");
        }
    }
}

#[test]
fn a_strict_reverse_path_filter_drops_the_answers_to_marked_segments() {
    let lab = lab_with_a_marked_route();
    let _listener = lab.server.listen(SocketAddr::new(ROUTED_V4, 80));
    let target = SocketAddr::new(ROUTED_V4, 80);
    let egress = Egress { mark: Some(7), ..Egress::default() };
    lab.server.sysctl("net.ipv4.conf.server1.arp_announce", "2");
    lab.client.sysctl("net.ipv4.conf.client1.rp_filter", "1");
    let known = |lab: &Lab| {
        surroundings_after(lab, &egress, target, || {
            assert_eq!(check(lab, &["--mark", "7"], target), "filtered");
        })
    };
    let dropped = Some(AnswerDrop::ReversePath("client1".to_owned()));
    assert_eq!(known(&lab).drops_answers, dropped);
    // A firewall may now give the answer a mark that makes it welcome.
    lab.client.sysctl("net.ipv4.conf.client1.src_valid_mark", "1");
    assert_eq!(known(&lab).drops_answers, None);
}

#[test]
fn a_target_that_is_also_an_address_of_this_machine_cannot_answer() {
    let lab = Lab::new();
    lab.client.configure(&[
        "address add 198.18.0.7/32 dev lo",
        "rule add pref 32765 lookup local",
        "rule add pref 100 fwmark 7 lookup 100",
        "rule del pref 0",
        "route add 198.18.0.0/16 via 198.19.0.2 table 100",
    ]);
    let _listener = lab.server.listen(SocketAddr::new(ROUTED_V4, 80));
    let egress = Egress { mark: Some(7), ..Egress::default() };
    let target = SocketAddr::new(ROUTED_V4, 80);
    for (accept, state, drops) in
        [("0", "filtered", Some(AnswerDrop::OwnAddress("client0".to_owned()))), ("1", "open", None)]
    {
        lab.client.sysctl("net.ipv4.conf.client0.accept_local", accept);
        let known = surroundings_after(&lab, &egress, target, || {});
        assert_eq!((known.drops_answers, known.is_here), (drops, false), "accept_local {accept}");
        assert_eq!(check(&lab, &["--mark", "7"], target), state, "accept_local {accept}");
    }
    let known = surroundings(&lab, target);
    assert_eq!((known.drops_answers, known.is_here), (None, true), "without the mark");
}
