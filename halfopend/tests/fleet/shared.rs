//! One endpoint in several pools.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use halfopen::attempt::Attempts;
use halfopen::schedule::Schedule;
use halfopend::config::PoolConfig;
use halfopend::event::EventKind;
use halfopend::fleet::{Fleet, Member, Place, PoolSettings};

use crate::outages::{RTT, secs};
use crate::world::{Answer, World};

/// When the endpoint dies.
const DEATH: f64 = 20.0;

fn endpoint(network: u8) -> SocketAddr {
    ([198, 18, network, 1], 80).into()
}

/// Adds a pool with one target.
fn add(fleet: &mut Fleet, name: usize, settings: &PoolSettings, network: u8) -> u32 {
    let pool = fleet.add_pool(PoolSettings { name: name.to_string().into(), ..settings.clone() });
    let place = Place::Endpoint(endpoint(network));
    fleet.add(pool, Member { label: None, place, is_witness: false }, Duration::ZERO)
}

/// Returns how long it takes until the endpoint is down in each of these pools, and how many
/// checks of it were made. Three others live.
fn detection(pools: &[PoolSettings]) -> (Vec<f64>, usize) {
    let mut fleet = Fleet::new(10_000, 7);
    let add_to = |(name, settings): (usize, &PoolSettings)| add(&mut fleet, name, settings, 0);
    let ids: Vec<_> = pools.iter().enumerate().map(add_to).collect();
    for network in 1..=3 {
        add(&mut fleet, 1000 + usize::from(network), &pools[0], network);
    }
    let mut world = World::new(fleet, 0, |at, now| {
        if at == endpoint(0) && now > secs(DEATH) { Answer::Silence } else { Answer::Open(RTT) }
    });
    let (mut downs, mut checks) = (BTreeMap::new(), 0);
    let mut busy = secs(0.0);
    world.run(
        secs(90.0),
        |made, _| {
            if ids.contains(&made.id) {
                checks += 1;
                assert!(made.begun >= busy, "two checks of an endpoint at once");
                busy = made.ended;
            }
        },
        |at, event| {
            if event.kind == EventKind::Down {
                downs.insert(event.target.as_ref().expect("a target").id, at);
            }
        },
    );
    let after = |id| (downs[id].saturating_sub(secs(DEATH))).as_secs_f64();
    (ids.iter().map(after).collect(), checks)
}

fn settings() -> PoolSettings {
    PoolSettings {
        interval: secs(1.0),
        transition_interval: secs(1.0),
        down_interval: secs(1.0),
        schedule: Schedule::fit(Attempts::with_retries(2).expect("few"), secs(1.0)),
        ..PoolConfig::named("pool").settings
    }
}

/// The longest time that it may take: an interval until the next check is due, which waits for a
/// check of another pool, and three checks, each with its rest.
const LONGEST: f64 = 1.0 + 1.5 + 3.0 * 1.5;

/// One check serves all pools.
#[test]
fn an_endpoint_in_several_pools_falls_as_fast_as_in_one() {
    let (_, alone) = detection(&[settings()]);
    for pools in [1, 2, 3, 8, 50] {
        let (after, checks) = detection(&vec![settings(); pools]);
        assert!(after.iter().all(|after| *after <= LONGEST), "{pools} pools: {after:?}");
        assert!(checks <= 2 * alone, "{pools} pools: {checks} checks, alone {alone}");
    }
}

/// Checks that differ take turns, and none waits for more than one of each other kind.
#[test]
fn pools_that_check_an_endpoint_differently_take_turns() {
    let different = |timeout| PoolSettings {
        schedule: Schedule::fit(Attempts::with_retries(2).expect("few"), secs(timeout)),
        ..settings()
    };
    let pools = [0.8, 0.9, 1.0].map(different);
    let (after, _) = detection(&[&pools[..], &pools].concat());
    assert!(after.iter().all(|after| *after <= 3.0 * LONGEST), "{after:?}");
}

/// There are only two endpoints, so both may well be down at the same time.
#[test]
fn one_endpoint_in_three_pools_is_not_three_targets() {
    let mut fleet = Fleet::new(10_000, 7);
    for (name, network) in [(1, 0), (2, 0), (3, 0), (4, 1)] {
        add(&mut fleet, name, &settings(), network);
    }
    let mut world =
        World::new(
            fleet,
            0,
            |_, now| {
                if now > secs(DEATH) { Answer::Silence } else { Answer::Open(RTT) }
            },
        );
    let mut downs = 0;
    world.run(secs(90.0), |_, _| {}, |_, event| downs += u32::from(event.kind == EventKind::Down));
    assert_eq!(downs, 4);
}
