//! What the engines know about the way to a target before they send anything, and after a check.

mod answers;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::time::Instant;

use halfopen::attempt::Attempts;
use halfopen::engine::{Egress, EngineConfig, EngineKind};
use halfopen::surroundings::{NeighbourState, Surroundings};
use lab::{CLIENT_V4, CLIENT_V6, Lab, Namespace, ROUTED_V4, ROUTED_V6, SERVER_V4, SERVER_V6};
use nix::net::if_::if_nametoindex;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Socket, Type};

use crate::support::marked_route::lab_with_a_marked_route;

const DEAD_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 19, 0, 99));
const DEAD_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x99));

/// Opens each engine on the client, runs `act`, and returns what both say alike about the way to
/// port 80 of `target`.
fn surroundings_after(
    lab: &Lab,
    egress: &Egress,
    target: SocketAddr,
    act: impl Fn() + Sync,
) -> Surroundings {
    let [raw, connect] = [EngineKind::Raw, EngineKind::Connect].map(|kind| {
        let config = EngineConfig {
            kind,
            egress: egress.clone(),
            attempts: Attempts::with_retries(0).unwrap(),
            v4: target.is_ipv4(),
            v6: target.is_ipv6(),
            explain: true,
        };
        lab.client.enter(|| {
            let mut engine = config.open(Instant::now()).expect("opens");
            act();
            let mut known = |local| {
                let mut known = engine.as_engine().surroundings(0, target, local);
                // Some seconds after the answer.
                if known.neighbour == Some(NeighbourState::Stale) {
                    known.neighbour = Some(NeighbourState::Confirmed);
                }
                known
            };
            let without_source = known(None);
            if egress.mark.is_none() {
                let local = local_endpoint(egress, target);
                assert_eq!(known(local), without_source, "{local:?}");
            }
            without_source
        })
    });
    assert_eq!(raw, connect);
    raw
}

/// Returns the endpoint that a SYN to `target` leaves from, if there is a route.
fn local_endpoint(egress: &Egress, target: SocketAddr) -> Option<SocketAddr> {
    let any = if target.is_ipv4() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    } else {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    };
    let socket = UdpSocket::bind((egress.source.unwrap_or(any), 0)).expect("an own address");
    socket.connect(target).ok()?;
    socket.local_addr().ok()
}

fn surroundings(lab: &Lab, target: SocketAddr) -> Surroundings {
    surroundings_after(lab, &Egress::default(), target, || {})
}

fn check(lab: &Lab, arguments: &[&str], target: SocketAddr) -> String {
    let target = target.to_string();
    let verdict = lab.verdict(&[arguments, &["--retries", "0", "-t", "1", &target]].concat());
    verdict.state.unwrap_or(verdict.reason)
}

#[test]
fn the_next_hop_is_on_the_link_or_a_router_and_answers_or_not() {
    let lab = Lab::new();
    for (target, on_link, answers) in [
        (SERVER_V4, true, true),
        (SERVER_V6, true, true),
        (ROUTED_V4, false, true),
        (ROUTED_V6, false, true),
        (DEAD_V4, true, false),
        (DEAD_V6, true, false),
    ] {
        let target = SocketAddr::new(target, 80);
        let before = surroundings(&lab, target);
        let probed = surroundings_after(&lab, &Egress::default(), target, || {
            check(&lab, &[], target);
        });
        let state = |known| Surroundings { on_link, neighbour: known, ..Surroundings::default() };
        if on_link {
            assert_eq!(before, state(None), "{target}");
        }
        let wanted = if answers { NeighbourState::Confirmed } else { NeighbourState::Unanswered };
        assert_eq!(probed, state(Some(wanted)), "{target}");
    }
}

#[test]
fn a_target_behind_a_tunnel_is_not_on_the_link() {
    let lab = Lab::new();
    lab.client.configure(&[
        "tuntap add dev tunnel mode tun",
        "link set tunnel up",
        "route add 198.18.7.0/24 dev tunnel",
        "-6 route add 2001:db8:7::/64 dev tunnel",
    ]);
    for target in ["198.18.7.1:80", "[2001:db8:7::1]:80"] {
        let target = target.parse().unwrap();
        assert_eq!(surroundings(&lab, target), Surroundings::default(), "{target}");
    }
}

#[test]
fn a_link_local_target_is_on_its_link() {
    let lab = Lab::new();
    let link = lab.server.run("ip", &["-6", "-o", "address", "show", "server0", "scope", "link"]);
    let address = link.split_whitespace().find_map(|word| word.strip_suffix("/64")).unwrap();
    let scope = lab.client.enter(|| if_nametoindex("client0")).unwrap();
    let target = format!("[{address}%{scope}]:80").parse().unwrap();
    let known = surroundings_after(&lab, &Egress::default(), target, || {
        let target = format!("[{address}%client0]:80");
        let verdict = lab.verdict(&["--retries", "0", &target]);
        assert_eq!(verdict.state.as_deref(), Some("closed"));
    });
    assert!(known.on_link, "{known:?}");
    assert_eq!(known.neighbour, Some(NeighbourState::Confirmed));
}

#[test]
fn a_mark_that_leads_to_a_target_is_found_if_nothing_else_does() {
    let lab = lab_with_a_marked_route();
    for target in [ROUTED_V4, ROUTED_V6].map(|target| SocketAddr::new(target, 80)) {
        assert_eq!(surroundings(&lab, target).route_with_mark, None, "{target}");
    }
    lab.client.configure(&["route del 198.18.0.0/16", "route del 2001:db8:1::/64"]);
    for target in [ROUTED_V4, ROUTED_V6].map(|target| SocketAddr::new(target, 80)) {
        let first = Some(0x8000_0001); // of the rules
        let wanted = Surroundings { route_with_mark: first, ..Surroundings::default() };
        assert_eq!(surroundings(&lab, target), wanted, "{target}");
    }
    let nowhere = "198.51.100.1:80".parse().unwrap();
    assert_eq!(surroundings(&lab, nowhere), Surroundings::default());
}

#[test]
fn a_full_accept_queue_of_this_machine_is_seen() {
    let lab = Lab::new();
    let (any_v4, any_v6) = (Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into());
    let (lo_v4, lo_v6) = (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
    let listeners = [
        (lo_v4, false, lo_v4),
        (lo_v6, true, lo_v6),
        (CLIENT_V4, false, CLIENT_V4),
        (CLIENT_V6, true, CLIENT_V6),
        (any_v4, false, lo_v4),
        (any_v4, false, CLIENT_V4),
        (any_v6, true, CLIENT_V6),
        (any_v6, false, lo_v4),
    ];
    for ((bound, only_v6, target), port) in listeners.into_iter().zip(80..) {
        let target = SocketAddr::new(target, port);
        let here = Surroundings { is_here: true, ..Surroundings::default() };
        assert_eq!(surroundings(&lab, target), here, "nobody listens at {target}");
        let listener = listen(&lab.client, SocketAddr::new(bound, port), only_v6);
        assert_eq!(surroundings(&lab, target), here, "nobody waits at {target}");
        let _waiting = lab.client.enter(|| TcpStream::connect(target).expect("the first gets in"));
        let mut queue = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut queue, PollTimeout::NONE), Ok(1));
        assert_eq!(check(&lab, &[], target), "filtered", "{target}");
        let full = Surroundings { full_accept_queue: Some((1, 0)), ..here };
        assert_eq!(surroundings(&lab, target), full, "{target}, listener at {bound}");
    }
    let full = listen(&lab.client, SocketAddr::new(any_v6, 80), true);
    let target = SocketAddr::new(lo_v6, 80);
    let _waiting = lab.client.enter(|| TcpStream::connect(target).expect("the first gets in"));
    assert_eq!(poll(&mut [PollFd::new(full.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE), Ok(1));
    let of_others = surroundings(&lab, SocketAddr::new(lo_v4, 80)).full_accept_queue;
    assert_eq!(of_others, None, "it has no IPv4 connections");
    let _own = listen(&lab.client, target, true);
    assert_eq!(surroundings(&lab, target).full_accept_queue, None, "another listener serves it");
}

/// Returns a listener that has room for one connection.
fn listen(host: &Namespace, address: SocketAddr, only_v6: bool) -> TcpListener {
    host.enter(|| {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::STREAM, None).expect("a TCP socket");
        if address.is_ipv6() {
            socket.set_only_v6(only_v6).expect("an IPv6 socket");
        }
        socket.set_reuse_port(true).expect("a TCP socket");
        socket.bind(&address.into()).expect("a free port");
        socket.listen(0).expect("listens");
        socket.into()
    })
}
