//! Random fleets in random networks, beside a model.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use halfopen::attempt::Attempts;
use halfopen::schedule::Schedule;
use halfopend::config::PoolConfig;
use halfopend::event::EventKind;
use halfopend::fleet::fail_open::Limit;
use halfopend::fleet::health::{Rules, State};
use halfopend::fleet::{Fleet, Member, Place, PoolSettings};
use proptest::prelude::*;

use crate::model::Model;
use crate::world::{Answer, World};

/// How long each trial is.
const END: Duration = Duration::from_mins(15);

/// From here on, nothing changes.
const CALM: Duration = Duration::from_mins(10);

/// The least time from the end of a check to the next one.
const REST: Duration = Duration::from_millis(500);

/// What a target does, from one time to another, in milliseconds.
type Times = Vec<(u64, u64)>;

#[derive(Debug, Clone)]
struct Host {
    network: u8,
    is_v6: bool,
    rtt: u64,
    silent: Times,
    refuses: Times,
    fails: Times,
}

fn times(most: usize, longest: u64) -> impl Strategy<Value = Times> {
    let end = u64::try_from(CALM.as_millis()).expect("minutes");
    let one = (0..end, 1..longest).prop_map(move |(from, length)| (from, end.min(from + length)));
    prop::collection::vec(one, 0..=most)
}

/// Outages, with at least the time of a check in between: otherwise each may swallow one of its
/// SYNs, as loss does.
fn outages() -> impl Strategy<Value = Times> {
    prop::collection::vec((700..20_000u64, 1..15_000u64), 0..40).prop_map(|pairs| {
        let follow = |end: &mut u64, (gap, length): (u64, u64)| {
            let from = *end + gap;
            *end = from + length;
            Some((from, *end))
        };
        pairs.into_iter().scan(0, follow).collect()
    })
}

fn host() -> impl Strategy<Value = Host> {
    let kind = (1..4u8, any::<bool>(), 1..15u64);
    (kind, times(2, 200_000), times(2, 100_000), times(1, 400_000)).prop_map(
        |((network, is_v6, rtt), silent, refuses, fails)| Host {
            network,
            is_v6,
            rtt,
            silent,
            refuses,
            fails,
        },
    )
}

fn settings() -> impl Strategy<Value = PoolSettings> {
    let times = (2.0..10.0, 0.5..3.0, 1.0..20.0, 0.3..1.5, 0.0..0.6);
    let limit = prop_oneof![
        Just(Limit::Off),
        (0..4u32).prop_map(Limit::Number),
        (0.0..80.0).prop_map(Limit::Percentage),
    ];
    (times, 0..3u8, (1..4u8, 1..4u8, 1..4u8), prop::bool::weighted(0.8), limit).prop_map(
        |(times, retries, (rise, fall, fall_refused), holds_if_isolated, fail_open)| {
            let (interval, transition, down, timeout, jitter) = times;
            let attempts = Attempts::with_retries(retries).expect("few");
            PoolSettings {
                schedule: Schedule::fit(attempts, Duration::from_secs_f64(timeout)),
                interval: Duration::from_secs_f64(interval),
                transition_interval: Duration::from_secs_f64(transition),
                down_interval: Duration::from_secs_f64(down),
                jitter,
                rules: Rules { rise, fall, fall_refused },
                holds_if_isolated,
                fail_open,
                ..PoolConfig::named("pool").settings
            }
        },
    )
}

fn is_in(times: &Times, at: Duration) -> bool {
    let millis = u64::try_from(at.as_millis()).expect("minutes");
    times.iter().any(|(from, to)| (*from..*to).contains(&millis))
}

impl Host {
    fn endpoint(&self, number: u16) -> SocketAddr {
        if self.is_v6 {
            ([0x2001, 0xdb8, 0, self.network.into(), 0, 0, 0, number], 80).into()
        } else {
            let host = u8::try_from(number).expect("few");
            ([198, 18, self.network, host], 80).into()
        }
    }

    fn answer(&self, outages: &Times, at: Duration) -> Answer {
        let rtt = Duration::from_millis(self.rtt);
        let is_cut = |at| is_in(outages, at) || is_in(&self.silent, at);
        if is_in(&self.fails, at) {
            Answer::Fault
        } else if is_cut(at) || is_cut(at + rtt) {
            Answer::Silence
        } else if is_in(&self.refuses, at) {
            Answer::Refused(rtt)
        } else {
            Answer::Open(rtt)
        }
    }
}

/// Adds the hosts to a fleet, to each pool in turn.
fn fleet_of(
    hosts: &[Host],
    pools: &[PoolSettings],
    seed: u64,
) -> (Fleet, Model, Vec<(u32, SocketAddr)>) {
    let mut fleet = Fleet::new(0, seed);
    let mut model = Model::default();
    let numbers: Vec<_> = pools.iter().map(|pool| fleet.add_pool(pool.clone())).collect();
    let mut targets = Vec::new();
    for (index, host) in hosts.iter().enumerate() {
        let pool = index % pools.len();
        let endpoint = host.endpoint(u16::try_from(index + 1).expect("few"));
        let member = Member { label: None, place: Place::Endpoint(endpoint), is_witness: false };
        let id = fleet.add(numbers[pool], member, Duration::ZERO);
        model.add(id, endpoint, pools[pool].clone());
        targets.push((id, endpoint));
    }
    (fleet, model, targets)
}

fn network<'a>(
    hosts: &'a [Host],
    targets: &[(u32, SocketAddr)],
    outages: &'a Times,
) -> impl FnMut(SocketAddr, Duration) -> Answer + 'a {
    let by_endpoint: BTreeMap<_, _> =
        targets.iter().zip(hosts).map(|((_, endpoint), host)| (*endpoint, host)).collect();
    move |endpoint, at| by_endpoint[&endpoint].answer(outages, at)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// The states are those of the model after each check, events tell all that changes, and at the
    /// end of a long calm all is known.
    #[test]
    fn a_fleet_knows_what_its_model_knows(
        hosts in prop::collection::vec(host(), 1..9),
        pools in prop::collection::vec(settings(), 1..3),
        outages in times(4, 30_000),
        seed in any::<u64>(),
    ) {
        let (fleet, mut model, targets) = fleet_of(&hosts, &pools, seed);
        let mut world = World::new(fleet, 0, network(&hosts, &targets, &outages));
        for step in 1..=90 {
            world.run(
                END * step / 90,
                |made, fleet| {
                    model.take_in(made);
                    let state = fleet.health(made.id).state();
                    assert_eq!(state, model.state(made.id), "{made:?}");
                    let advertised = fleet.advertised(made.id);
                    if advertised != state {
                        assert!(model.is_silent(made.id) && advertised == State::Up);
                    }
                },
                |_, event| if let (Some(pool), EventKind::FailOpen, None) = (&event.pool, event.kind, &event.target) {
                    // All pools have one name here.
                    let is_low = pools.iter().any(|settings| match settings.fail_open {
                        Limit::Off => false,
                        Limit::Number(limit) => pool.up <= limit,
                        Limit::Percentage(limit) => f64::from(pool.up) * 100.0 <= limit * f64::from(pool.targets),
                    });
                    assert!(is_low || !pool.fails_open);
                },
            );
            world.replay.compare(&world.fleet, &targets);
        }
        for (id, _) in &targets {
            prop_assert_eq!(world.fleet.health(*id).state(), State::Up);
            prop_assert!(!world.fleet.health(*id).is_held());
        }
        prop_assert!(!world.fleet.is_isolated());
    }

    /// However often and for however long this machine is cut off, a target that is alive does not
    /// fall, as long as enough others are.
    #[test]
    fn no_outage_takes_down_a_target_that_is_alive(
        others in prop::collection::vec(host(), 0..5),
        pool in settings(),
        outages in outages(),
        seed in any::<u64>(),
    ) {
        let alive = |network| Host {
            network,
            is_v6: false,
            rtt: 1,
            silent: vec![],
            refuses: vec![],
            fails: vec![],
        };
        let hosts = [[1, 1, 2].map(alive).to_vec(), others].concat();
        let schedule = Schedule::fit(
            Attempts::with_retries(if pool.schedule.attempts().count() == 3 { 2 } else { 1 }).expect("few"),
            Duration::from_millis(700),
        );
        let pool = PoolSettings { schedule, holds_if_isolated: true, ..pool };
        let (fleet, _, targets) = fleet_of(&hosts, &[pool], seed);
        let mut world = World::new(fleet, 0, network(&hosts, &targets, &outages));
        let mut downs = Vec::new();
        world.run(END, |_, _| {}, |at, event| if event.kind == EventKind::Down {
            let endpoint = event.target.as_ref().and_then(|target| target.endpoint);
            downs.push((at, endpoint.expect("an endpoint")));
        });
        downs.retain(|(_, endpoint)| targets[..3].iter().any(|(_, alive)| alive == endpoint));
        prop_assert_eq!(downs, vec![]);
    }

    /// Checks of one target never overlap, rest in between, and come every interval.
    #[test]
    fn targets_are_checked_every_interval_and_never_twice_at_once(
        hosts in prop::collection::vec(host(), 1..9),
        pool in settings(),
        outages in times(4, 30_000),
        seed in any::<u64>(),
    ) {
        let (fleet, _, targets) = fleet_of(&hosts, std::slice::from_ref(&pool), seed);
        let mut world = World::new(fleet, 0, network(&hosts, &targets, &outages));
        let mut newest = BTreeMap::new();
        let PoolSettings { interval, down_interval, jitter, .. } = pool;
        world.run(END, |made, fleet| {
            let state = fleet.health(made.id).state();
            if let Some((begun, ended, known)) = newest.insert(made.id, (made.begun, made.ended, state)) {
                assert!(made.begun >= ended + REST, "{made:?} after {ended:?}");
                let usual = if known == State::Down { down_interval } else { interval };
                // If the interval was another when it was planned, half of one more.
                let moved = interval.max(down_interval).mul_f64(jitter / 2.0);
                let longest = (usual.mul_f64(1.5) + moved).max((ended + REST).saturating_sub(begun));
let gap = made.begun.saturating_sub(begun);
assert!(gap <= longest + Duration::from_micros(1), "{made:?} {begun:?}");
            }
        }, |_, _| {});
        for (_, (begun, ..)) in newest {
            prop_assert!(begun + interval.mul_f64(1.0 + jitter) + Duration::from_secs(2) >= END);
        }
    }
}
