//! The rate is shared between targets that change and all others; and times do not drift.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use halfopend::config::PoolConfig;
use halfopend::fleet::PoolSettings;
use halfopend::fleet::health::State;

use crate::outages::{RTT, fleet_of, secs};
use crate::world::{Answer, World};

/// Half of all targets die at the same time.
#[test]
fn targets_that_change_delay_no_others() {
    const RATE: u32 = 2000;
    let settings = PoolConfig::named("pool").settings;
    let PoolSettings { interval, jitter, .. } = settings;
    let (fleet, targets) = fleet_of(RATE, 8, 250, settings);
    let is_dead = |endpoint: SocketAddr, at| match endpoint.ip() {
        IpAddr::V4(address) => address.octets()[2] < 4 && at >= secs(20.0),
        IpAddr::V6(_) => false,
    };
    let mut world = World::new(fleet, RATE, |endpoint, at| {
        if is_dead(endpoint, at) { Answer::Silence } else { Answer::Open(RTT) }
    });
    let mut newest = HashMap::new();
    world.run(
        secs(60.0),
        |made, _| {
            if let Some(before) = newest.insert(made.id, made.begun)
                && made.answer != Answer::Silence
            {
                let gap = made.begun.saturating_sub(before);
                assert!(gap <= interval.mul_f64(1.0 + jitter) + secs(0.1), "{gap:?}");
            }
        },
        |_, _| {},
    );
    let down = targets.iter().filter(|(id, _)| world.fleet.health(*id).state() == State::Down);
    assert_eq!(down.count(), 1000);
}

/// The phase of each target is where it was, hours later.
#[test]
fn checks_do_not_drift_in_a_day() {
    let settings = PoolSettings { jitter: 0.3, ..PoolConfig::named("pool").settings };
    let interval = settings.interval;
    let (fleet, _) = fleet_of(0, 2, 20, settings);
    // Now and then a target is checked more often for a while.
    let mut random = 0_u64;
    let mut world = World::new(fleet, 0, |_, _| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        if random >> 56 == 0 { Answer::Refused(RTT) } else { Answer::Open(RTT) }
    });
    let mut phases: HashMap<u32, Vec<f64>> = HashMap::new();
    world.run(
        secs(86_400.0),
        |made, _| {
            let times = phases.entry(made.id).or_default();
            times.push(made.begun.as_secs_f64());
        },
        |_, _| {},
    );
    for times in phases.values() {
        let interval = interval.as_secs_f64();
        let count = f64::from(u32::try_from(times.len()).expect("few"));
        assert!(count >= 86_400.0 / interval - 2.0, "{count}");
        // The first check is where the phase is. Later ones are within the jitter, except those
        // while the state may change.
        let moved = |at: &f64| {
            let phase = (at - times[0]).rem_euclid(interval) / interval;
            phase.min(1.0 - phase)
        };
        let late = &times[times.len() * 9 / 10..];
        let away = late.iter().filter(|at| moved(at) > 0.151).count();
        assert!(away * 20 < late.len(), "{away} of {}", late.len());
    }
}

/// The first round is short, and yet the next ones are not bursts.
#[test]
fn checks_are_spread_over_the_whole_interval_after_the_first_round() {
    let interval = secs(60.0);
    let settings = PoolSettings { interval, jitter: 0.0, ..PoolConfig::named("pool").settings };
    let (fleet, targets) = fleet_of(0, 30, 200, settings);
    let mut world = World::new(fleet, 0, |_, _| Answer::Open(RTT));
    let mut begun = Vec::new();
    world.run(secs(300.0), |made, _| begun.push(made.begun), |_, _| {});
    let first_round = begun.iter().filter(|at| **at <= secs(5.0)).count();
    assert!(first_round >= targets.len(), "{first_round}");
    for second in 120..300_u64 {
        let in_it = begun.iter().filter(|at| at.as_secs() == second).count();
        assert!((50..150).contains(&in_it), "{in_it} checks in second {second}");
    }
}

/// There are more targets than the rate allows in a short first round. The next ones are not bursts
/// either.
#[test]
fn the_first_round_leaves_a_fifth_of_the_rate_free() {
    const RATE: u32 = 100;
    let settings =
        PoolSettings { interval: secs(60.0), jitter: 0.0, ..PoolConfig::named("pool").settings };
    let (fleet, _) = fleet_of(RATE, 20, 200, settings);
    let mut world = World::new(fleet, RATE, |_, _| Answer::Open(RTT));
    let mut begun = [0; 300];
    let second = |at: Duration| usize::try_from(at.as_secs()).expect("few");
    world.run(secs(299.0), |made, _| begun[second(made.begun)] += 1, |_, _| {});
    assert!(begun[..50].iter().all(|count| (50..=120).contains(count)), "{begun:?}");
    assert!(begun[150..299].iter().all(|count| (30..=100).contains(count)), "{begun:?}");
}
