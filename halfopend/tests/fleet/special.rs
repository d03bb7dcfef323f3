//! What decides besides plain targets in one pool: witnesses, targets on this machine, pools that
//! do not hold, pools that fail open, and faults that last.

use std::net::SocketAddr;
use std::time::Duration;

use halfopend::config::PoolConfig;
use halfopend::event::EventKind;
use halfopend::fleet::fail_open::Limit;
use halfopend::fleet::health::State;
use halfopend::fleet::{Fleet, Member, Place, PoolSettings};

use crate::outages::{RTT, fleet_of, secs};
use crate::world::{Answer, World};

fn settings() -> PoolSettings {
    PoolConfig::named("pool").settings
}

/// Creates a fleet with these targets; a witness has a `w` before its endpoint.
fn fleet_with(targets: &[&str]) -> (Fleet, Vec<(u32, SocketAddr)>) {
    let mut fleet = Fleet::new(10_000, 3);
    let pool = fleet.add_pool(settings());
    let add = |text: &&str| {
        let endpoint = text.trim_start_matches('w').parse().expect("an endpoint");
        let (place, is_witness) = (Place::Endpoint(endpoint), text.starts_with('w'));
        (fleet.add(pool, Member { label: None, place, is_witness }, Duration::ZERO), endpoint)
    };
    let targets = targets.iter().map(add).collect();
    (fleet, targets)
}

/// Runs for so many seconds, and returns the events: what happened to the port of which target.
fn run<N: FnMut(SocketAddr, Duration) -> Answer>(
    world: &mut World<N>,
    until: f64,
) -> Vec<(EventKind, Option<SocketAddr>)> {
    let mut events = Vec::new();
    world.run(
        secs(until),
        |_, _| {},
        |_, event| {
            let target = event.target.as_ref().and_then(|target| target.endpoint);
            events.push((event.kind, target));
        },
    );
    events
}

#[test]
fn a_start_during_an_outage_makes_nothing_down() {
    let (fleet, targets) = fleet_of(10_000, 2, 2, settings());
    let mut world =
        World::new(
            fleet,
            0,
            |_, at| {
                if at < secs(60.0) { Answer::Silence } else { Answer::Open(RTT) }
            },
        );
    assert_eq!(run(&mut world, 60.0), [(EventKind::Isolated, None)]);
    let events = run(&mut world, 100.0);
    assert_eq!(events[0], (EventKind::Released, None));
    let ups = targets.iter().filter(|(_, at)| events.contains(&(EventKind::Up, Some(*at))));
    assert_eq!((ups.count(), events.len()), (4, 5));
}

/// Its witnesses have been silent all the time, so they prove nothing.
#[test]
fn dead_witnesses_protect_no_target() {
    let names = ["198.18.0.1:80", "w198.18.1.1:22", "w198.18.1.2:22"];
    let (fleet, targets) = fleet_with(&names);
    let mut world = World::new(fleet, 0, |endpoint, at| {
        if endpoint.port() == 80 && at < secs(60.0) { Answer::Open(RTT) } else { Answer::Silence }
    });
    let target = Some(targets[0].1);
    assert_eq!(run(&mut world, 60.0), [(EventKind::Up, target)]);
    assert_eq!(run(&mut world, 120.0), [(EventKind::Down, target)]);
}

/// A witness that refuses is as good as any.
#[test]
fn witnesses_that_answer_show_that_the_network_works() {
    let names = ["198.18.0.1:80", "w198.18.1.1:22", "w198.18.1.2:22"];
    let (fleet, targets) = fleet_with(&names);
    let mut world = World::new(fleet, 0, |endpoint, at| match endpoint.port() {
        _ if (secs(60.0)..secs(120.0)).contains(&at) => Answer::Silence,
        80 if at > secs(180.0) => Answer::Silence,
        80 => Answer::Open(RTT),
        _ => Answer::Refused(RTT),
    });
    let target = Some(targets[0].1);
    assert_eq!(run(&mut world, 60.0), [(EventKind::Up, target)]);
    assert_eq!(run(&mut world, 120.0), [(EventKind::Isolated, None)]);
    assert_eq!(run(&mut world, 180.0), [(EventKind::Released, None)]);
    assert_eq!(run(&mut world, 240.0), [(EventKind::Down, target)]);
}

/// Their silence needs no cross-check, and their answers do not count as one.
#[test]
fn targets_on_this_machine_say_nothing_about_the_network() {
    let names = ["127.0.0.1:80", "127.0.0.1:81", "[::1]:80", "127.0.0.2:80"];
    let (fleet, targets) = fleet_with(&names);
    let mut world = World::new(fleet, 0, |endpoint, at| {
        if endpoint.port() == 81 || at > secs(60.0) { Answer::Silence } else { Answer::Open(RTT) }
    });
    let first = run(&mut world, 60.0);
    assert!(first.contains(&(EventKind::Down, Some(targets[1].1))));
    let downs = run(&mut world, 120.0);
    assert_eq!(downs.iter().filter(|(kind, _)| *kind == EventKind::Down).count(), 3);
    assert_eq!(downs.len(), 3);
}

/// The targets of one pool fall, and count as expected until something answers: those of the other
/// stand.
#[test]
fn a_pool_that_ignores_isolation_does_not_take_others_down() {
    let mut fleet = Fleet::new(10_000, 5);
    let holds = fleet.add_pool(settings());
    let ignores = fleet.add_pool(PoolSettings { holds_if_isolated: false, ..settings() });
    for (pool, network) in [(holds, 0), (holds, 1), (ignores, 2), (ignores, 3), (ignores, 4)] {
        let place = Place::Endpoint(([198, 18, network, 1], 80).into());
        fleet.add(pool, Member { label: None, place, is_witness: false }, Duration::ZERO);
    }
    let mut world =
        World::new(
            fleet,
            0,
            |_, at| {
                if at < secs(60.0) { Answer::Open(RTT) } else { Answer::Silence }
            },
        );
    run(&mut world, 60.0);
    let events = run(&mut world, 600.0);
    let downs = events.iter().filter(|(kind, _)| *kind == EventKind::Down);
    assert_eq!(downs.count(), 3, "{events:?}");
    let states = [0, 1].map(|id| world.fleet.health(id).state());
    assert_eq!(states, [State::Up; 2]);
    assert!(world.fleet.is_isolated());
}

#[test]
fn five_minutes_of_faults_make_a_target_unknown() {
    let (fleet, targets) = fleet_of(10_000, 1, 1, settings());
    let mut world = World::new(fleet, 0, |_, at| match at {
        _ if at < secs(60.0) => Answer::Open(RTT),
        _ if at < secs(63.0) => Answer::Silence, // a count has begun
        _ if at < secs(400.0) => Answer::Fault,
        _ => Answer::Refused(RTT),
    });
    run(&mut world, 60.0);
    let target = Some(targets[0].1);
    assert_eq!(run(&mut world, 350.0), [(EventKind::Held, target)]);
    assert_eq!(run(&mut world, 400.0), [(EventKind::Unknown, target)]);
    let last = run(&mut world, 420.0);
    assert_eq!(last, [(EventKind::Released, target), (EventKind::Down, target)]);
}

/// It opens and closes while one of its targets is held; a fault does not change what is
/// advertised, and a refusal does.
#[test]
fn a_pool_fails_open_for_silent_targets_alone() {
    let fail_open = PoolSettings { fail_open: Limit::Number(1), ..settings() };
    let (fleet, targets) = fleet_of(10_000, 2, 2, fail_open);
    let [stays, held, silent, refuses] = [0, 1, 2, 3].map(|index: usize| targets[index].1);
    let mut world = World::new(fleet, 0, |endpoint, at| match at {
        _ if endpoint == stays || at < secs(60.0) || at >= secs(300.0) => Answer::Open(RTT),
        _ if endpoint == held && at > secs(100.0) => Answer::Fault,
        _ if endpoint == refuses => Answer::Refused(RTT),
        _ if endpoint == silent && at > secs(200.0) => Answer::Refused(RTT),
        _ => Answer::Silence,
    });
    let id = |wanted| targets.iter().find(|(_, at)| *at == wanted).expect("a target").0;
    let mut expect = |until, wanted: [(SocketAddr, State); 3]| {
        run(&mut world, until);
        world.replay.compare(&world.fleet, &targets);
        let advertised = wanted.map(|(at, _)| (at, world.fleet.advertised(id(at))));
        assert_eq!(advertised, wanted, "at {until} s");
    };
    expect(60.0, [(silent, State::Up), (held, State::Up), (refuses, State::Up)]);
    expect(100.0, [(silent, State::Up), (held, State::Up), (refuses, State::Down)]);
    expect(200.0, [(silent, State::Up), (held, State::Up), (refuses, State::Down)]);
    expect(300.0, [(silent, State::Down), (held, State::Up), (refuses, State::Down)]);
    expect(400.0, [(silent, State::Up), (held, State::Up), (refuses, State::Up)]);
}
