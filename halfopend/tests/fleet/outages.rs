//! This machine is cut off, while all targets are alive, and some of them are not.

use std::net::SocketAddr;
use std::time::Duration;

use halfopend::config::PoolConfig;
use halfopend::event::EventKind;
use halfopend::fleet::health::State;
use halfopend::fleet::{Fleet, Member, Place, PoolSettings};

use crate::world::{Answer, World};

pub(crate) const RTT: Duration = Duration::from_millis(1);

fn settings() -> PoolSettings {
    PoolConfig::named("pool").settings
}

pub(crate) fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// Creates a fleet with so many targets in each of so many networks, in one pool.
pub(crate) fn fleet_of(
    rate: u32,
    networks: u8,
    each: u8,
    settings: PoolSettings,
) -> (Fleet, Vec<(u32, SocketAddr)>) {
    let mut fleet = Fleet::new(rate, 1);
    let pool = fleet.add_pool(settings);
    let mut targets = Vec::new();
    for network in 0..networks {
        for host in 1..=each {
            let endpoint = SocketAddr::from(([198, 18, network, host], 80));
            let place = Place::Endpoint(endpoint);
            let member = Member { label: None, place, is_witness: false };
            targets.push((fleet.add(pool, member, Duration::ZERO), endpoint));
        }
    }
    (fleet, targets)
}

fn is_cut(outages: &[(f64, f64)], at: Duration) -> bool {
    outages.iter().any(|(from, to)| secs(*from) <= at && at < secs(*to))
}

#[test]
fn a_short_outage_changes_no_state() {
    for length in [0.5, 1.0, 2.0, 4.0, 6.0, 8.0, 9.0, 12.0, 60.0] {
        let (fleet, targets) = fleet_of(10_000, 2, 2, settings());
        let outages = [(20.0, 20.0 + length)];
        let mut world = World::new(fleet, 0, |_, at| {
            if is_cut(&outages, at) || is_cut(&outages, at + RTT) {
                Answer::Silence
            } else {
                Answer::Open(RTT)
            }
        });
        let mut kinds = Vec::new();
        world.run(secs(100.0 + length), |_, _| {}, |_, event| kinds.push(event.kind));
        world.replay.compare(&world.fleet, &targets);
        let mut expected = vec![EventKind::Up; 4];
        if length > 12.0 {
            expected.extend([EventKind::Isolated, EventKind::Released]);
        }
        kinds.retain(|kind| length > 12.0 || *kind != EventKind::Isolated);
        kinds.retain(|kind| length > 12.0 || *kind != EventKind::Released);
        assert_eq!(kinds, expected, "{length} s");
    }
}

#[test]
fn a_target_that_dies_falls_after_three_checks() {
    let (fleet, targets) = fleet_of(10_000, 2, 2, settings());
    let dead = targets[0].1;
    let mut world = World::new(fleet, 0, |endpoint, at| {
        if endpoint == dead && at > secs(20.0) { Answer::Silence } else { Answer::Open(RTT) }
    });
    let (mut checks, mut fell) = (0, 0);
    world.run(
        secs(60.0),
        |made, fleet| {
            if made.id == 0 && made.answer == Answer::Silence {
                checks += 1;
                if fleet.health(0).state() == State::Down && fell == 0 {
                    fell = checks;
                }
            }
        },
        |_, _| {},
    );
    world.replay.compare(&world.fleet, &targets);
    assert_eq!(fell, 3);
}

#[test]
fn a_refusal_or_a_fault_is_no_silence_and_a_pause_is_none() {
    let (fleet, targets) = fleet_of(10_000, 2, 2, settings());
    let (refuses, fails) = (targets[0].1, targets[1].1);
    let mut world = World::new(fleet, 0, |endpoint, at| match endpoint {
        _ if at < secs(20.0) => Answer::Open(RTT),
        _ if endpoint == refuses => Answer::Refused(RTT),
        _ if endpoint == fails => Answer::Fault,
        _ => Answer::Open(RTT),
    });
    let mut kinds = Vec::new();
    world.run(secs(30.0), |_, _| {}, |_, event| kinds.push(event.kind));
    world.pause(secs(40.0));
    let mut begun = Vec::new();
    world.run(secs(60.0), |made, _| begun.push(made.begun), |_, event| kinds.push(event.kind));
    kinds.sort_unstable_by_key(|kind| kind.name());
    assert_eq!(kinds[..2], [EventKind::Down, EventKind::Held]);
    assert_eq!(kinds[2..], [EventKind::Up; 4]);
    assert!(begun.iter().all(|at| *at > secs(40.0)), "a burst after the pause");
}
