//! Several engines in one loop, each with a way out of its own.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use halfopen::attempt::Attempts;
use halfopen::checker::{Checker, Ended};
use halfopen::engine::{Egress, EngineConfig, EngineKind, Interrupt, OpenEngines};
use halfopen::event::{Event, HandshakeEnd};
use halfopen::event_loop::{Driver, Next, PacketEvent, run};
use halfopen::pacer::Pacer;
use halfopen::probe::Secret;
use halfopen::schedule::Schedule;
use halfopen::verdict::{Outcome, PortState, Reason, Verdict};

use crate::support::marked_route::{MARKED_V4, MARKED_V6, lab_with_a_marked_route};
use crate::support::rejections::send_every_icmp_error;
use lab::{CLIENT_V4, CLIENT_V6, Captured, Lab, SERVER_V4, SERVER_V6};

const ENGINES: [EngineKind; 2] = [EngineKind::Raw, EngineKind::Connect];

/// Checks each target once, by the engine whose index its id is.
struct Once {
    targets: Vec<SocketAddr>,
    begun: usize,
    timeout: Duration,
    outcomes: Vec<(SocketAddr, Outcome)>,
    icmp_errors: usize,
}

impl Driver for Once {
    fn next(&mut self, _now: Duration) -> Next {
        let Some(target) = self.targets.get(self.begun) else { return Next::Nothing };
        self.begun += 1;
        Next::Target(u32::try_from(self.begun - 1).unwrap(), *target)
    }

    fn schedule(&mut self, _id: u32, _now: Duration) -> Schedule {
        Schedule::fit(attempts(), self.timeout)
    }

    fn ended(&mut self, ended: Ended) {
        self.outcomes.push((ended.remote, ended.outcome));
    }

    fn flush(&mut self) {}

    fn on_packet(&mut self, _at: Duration, packet: &PacketEvent) {
        if let PacketEvent::Received(event, _) = packet {
            self.icmp_errors += usize::from(match event {
                Event::Icmp(..) => true,
                Event::Handshake { end, .. } => matches!(end, HandshakeEnd::Failed(_)),
                _ => false,
            });
        }
    }

    fn interrupts(&self) -> Vec<Interrupt<'_>> {
        Vec::new()
    }

    fn handle_interrupts(&mut self, _now: Duration) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

fn attempts() -> Attempts {
    Attempts::with_retries(2).unwrap()
}

fn open(kind: EngineKind, egresses: &[Egress], start: Instant) -> OpenEngines {
    let config = |egress: &Egress| {
        let egress = egress.clone();
        EngineConfig { kind, egress, attempts: attempts(), v4: true, v6: true, explain: false }
    };
    let configs: Vec<_> = egresses.iter().map(config).collect();
    OpenEngines::open(&configs, start).unwrap()
}

/// Checks the targets from this thread's namespace, each by the engine with its index.
fn check(kind: EngineKind, egresses: &[Egress], targets: &[SocketAddr], timeout: Duration) -> Once {
    let start = Instant::now();
    let mut engines = open(kind, egresses, start);
    let window = engines.enable_batching();
    let mut engine = engines.into_engine(|id| id as usize % 4);
    let mut checker = Checker::new(Secret::new([7; 16]), attempts());
    let mut once =
        Once { targets: targets.to_vec(), begun: 0, timeout, outcomes: Vec::new(), icmp_errors: 0 };
    let mut pacer = Pacer::new(0, window);
    run(&mut checker, engine.as_mut(), &mut pacer, &mut once, None, None).unwrap();
    once
}

/// Four ways out: as the kernel likes, by mark, from an address, and by an interface. Returns them
/// with the interface of the server and the source address of their segments.
fn ways_out(mark: u32, v4: bool) -> [(Egress, &'static str, IpAddr); 4] {
    let plain = Egress::default();
    let [client, marked, other] = if v4 {
        [CLIENT_V4, MARKED_V4, "198.19.0.9".parse().unwrap()]
    } else {
        [CLIENT_V6, MARKED_V6, "2001:db8::9".parse().unwrap()]
    };
    let by_source = Egress { source: Some(other), dscp: Some(10), ..plain.clone() };
    let by_interface =
        Egress { interface: Some("client1".to_owned()), ttl: Some(33), ..plain.clone() };
    [
        (plain.clone(), "server0", client),
        (Egress { mark: Some(mark), ..plain }, "server1", marked),
        (by_source, "server0", other),
        (by_interface, "server1", marked),
    ]
}

fn lab() -> Lab {
    let lab = lab_with_a_marked_route();
    lab.client.address("client0", &["198.19.0.9/24", "2001:db8::9/64"]);
    lab.client.configure(&[
        // The kernel does not choose it by itself.
        "address change 2001:db8::9/64 dev client0 preferred_lft 0",
        "route add 198.18.0.0/16 via 198.19.1.2 dev client1 metric 9999",
        "route add 2001:db8:1::/64 via 2001:db8:2::2 dev client1 metric 9999",
    ]);
    lab
}

#[test]
fn each_target_is_checked_by_the_way_out_of_its_engine() {
    let lab = lab();
    for v4 in [true, false] {
        let any: IpAddr = if v4 { [0; 4].into() } else { [0; 16].into() };
        let _listener = lab.server.listen((any, 80).into());
        let ways = ways_out(7, v4);
        let egresses = ways.clone().map(|(egress, ..)| egress);
        // Eight addresses: port 80 is open at the first four, port 81 closed at the others.
        let address = |last: u16| -> IpAddr {
            let text = if v4 { format!("198.18.0.{last}") } else { format!("2001:db8:1::{last}") };
            text.parse().unwrap()
        };
        let targets: Vec<_> =
            (1..=8).map(|last| (address(last), 80 + u16::from(last > 4)).into()).collect();
        for kind in ENGINES {
            let captures = ["server0", "server1"].map(|name| (name, lab.server.capture(name)));
            let timeout = Duration::from_mins(2);
            let once = lab.client.enter(|| check(kind, &egresses, &targets, timeout));
            let states: Vec<_> =
                targets.iter().map(|target| state(&once.outcomes, *target)).collect();
            assert_eq!(states[..4], [PortState::Open; 4], "{kind:?}");
            assert_eq!(states[4..], [PortState::Closed; 4], "{kind:?}");
            let crossed: Vec<(&str, Captured)> = captures
                .iter()
                .flat_map(|(name, capture)| capture.segments().into_iter().map(|s| (*name, s)))
                .collect();
            for (index, target) in targets.iter().enumerate() {
                let of_target = |(_, segment): &&(&str, Captured)| {
                    [segment.source, segment.destination].contains(&target.ip())
                };
                let exchange: Vec<_> = crossed.iter().filter(of_target).cloned().collect();
                let reset = if kind == EngineKind::Raw { "RST" } else { "RST+ACK" };
                let expected: &[_] =
                    if index < 4 { &["SYN", "SYN+ACK", reset] } else { &["SYN", "RST+ACK"] };
                assert_exchange(&exchange, expected, &ways[index % 4], target.ip());
            }
        }
    }
}

#[track_caller]
fn assert_exchange(
    exchange: &[(&str, Captured)],
    expected: &[&str],
    (egress, interface, source): &(Egress, &str, IpAddr),
    target: IpAddr,
) {
    let flags: Vec<_> = exchange.iter().map(|(_, segment)| segment.flags.as_str()).collect();
    assert_eq!(flags, expected, "{exchange:#?}");
    for (by, segment) in exchange {
        assert_eq!(by, interface, "{segment:?}");
        if segment.destination == target {
            assert_eq!(segment.source, *source, "{segment:?}");
            assert_eq!(segment.ttl, egress.ttl.unwrap_or(64), "{segment:?}");
            assert_eq!(segment.dscp, egress.dscp.unwrap_or(0), "{segment:?}");
        }
    }
}

fn state(outcomes: &[(SocketAddr, Outcome)], target: SocketAddr) -> PortState {
    let mut found = outcomes.iter().filter(|(remote, _)| *remote == target);
    let (_, outcome) = found.next().unwrap_or_else(|| panic!("no outcome of {target}"));
    assert!(found.next().is_none(), "two outcomes of {target}");
    outcome.as_ref().map(Verdict::state).unwrap()
}

/// The kernel hands each ICMP error to all raw sockets.
#[test]
fn an_icmp_error_counts_once() {
    let lab = Lab::new();
    send_every_icmp_error(&lab.server);
    // A rejection of each second SYN to a port; the others are dropped.
    lab.server.nft(
        "table inet t { chain in { type filter hook input priority 0;
            tcp flags & (syn|ack) == syn numgen inc mod 2 == 0 drop;
            meta nfproto ipv4 tcp flags & (syn|ack) == syn reject with icmp type host-unreachable;
            meta nfproto ipv6 tcp flags & (syn|ack) == syn reject with icmpv6 type addr-unreachable; }; }",
    );
    for server in [SERVER_V4, SERVER_V6] {
        for kind in ENGINES {
            let egresses: Vec<_> =
                (1..=4).map(|mark| Egress { mark: Some(mark), ..Egress::default() }).collect();
            let targets: Vec<SocketAddr> =
                (81..=88).map(|port| SocketAddr::new(server, port)).collect();
            let capture = lab.server.capture("server0");
            let timeout = Duration::from_millis(900);
            let once = lab.client.enter(|| check(kind, &egresses, &targets, timeout));
            let errors = capture.segments().into_iter();
            let errors = errors.filter(|segment| segment.flags.starts_with("ICMP")).count();
            assert!(errors >= 8, "{errors} errors");
            assert_eq!(once.icmp_errors, errors, "{kind:?}");
            for target in &targets {
                assert_eq!(state(&once.outcomes, *target), PortState::Unreachable);
            }
        }
    }
}

/// The kernel gives a port twice, if the sockets are bound to different interfaces.
#[test]
fn no_two_engines_have_a_source_port_in_common() {
    let lab = lab();
    lab.client.sysctl("net.ipv4.ip_local_port_range", "40000 40039");
    let by =
        |interface: &str| Egress { interface: Some(interface.to_owned()), ..Egress::default() };
    let egresses = [by("client0"), by("client1")];
    for _ in 0..20 {
        let engines = lab.client.enter(|| open(EngineKind::Raw, &egresses, Instant::now()));
        let listening = lab.client.run("ss", &["-Hltn"]);
        for family in ["0.0.0.0%", "[::]%"] {
            let ports: Vec<_> = listening
                .lines()
                .filter(|line| line.contains(family))
                .filter_map(|line| line.split_whitespace().nth(3)?.rsplit(':').next())
                .collect();
            let different: BTreeSet<_> = ports.iter().collect();
            assert_eq!((ports.len(), different.len()), (6, 6), "{listening}");
        }
        drop(engines);
    }
}

/// A reserved port drops what arrives: it would look filtered.
#[test]
fn a_port_that_another_engine_has_reserved_is_not_checked() {
    let lab = Lab::new();
    lab.client.enter(|| {
        let start = Instant::now();
        let egresses = [1, 2].map(|mark| Egress { mark: Some(mark), ..Egress::default() });
        let engines = open(EngineKind::Raw, &egresses, start);
        let listening = lab.client.run("ss", &["-Hltn"]);
        let ports: Vec<u16> = listening
            .lines()
            .filter(|line| line.contains("0.0.0.0:"))
            .filter_map(|line| line.split_whitespace().nth(3)?.rsplit(':').next()?.parse().ok())
            .collect();
        assert_eq!(ports.len(), 6, "{listening}");
        let mut engine = engines.into_engine(|id| id as usize % 2);
        let mut checker = Checker::new(Secret::new([7; 16]), attempts());
        // Each port is checked by both engines.
        let targets: Vec<SocketAddr> =
            ports.iter().flat_map(|port| [(CLIENT_V4, *port).into(); 2]).collect();
        for (id, target) in targets.iter().enumerate() {
            let mut once = Once {
                targets: vec![*target; id + 1],
                begun: id,
                timeout: Duration::from_millis(700),
                outcomes: Vec::new(),
                icmp_errors: 0,
            };
            let mut pacer = Pacer::new(0, 64);
            run(&mut checker, engine.as_mut(), &mut pacer, &mut once, None, None).unwrap();
            let reason = once.outcomes[0].1.as_ref().map(|verdict| verdict.reason.clone());
            assert_eq!(reason, Ok(Reason::OwnPort), "{target} by engine {}", id % 2);
        }
    });
}
