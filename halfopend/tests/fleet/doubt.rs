//! Checks on demand while nothing answers: what their clients get from checks of pools.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use halfopen::attempt::Attempts;
use halfopen::verdict::{Reason, Verdict};
use halfopend::config::PoolConfig;
use halfopend::fleet::{Check, Fleet, Member, Place, Visit, VisitEnd, Wanted};

const WAITED: Duration = Duration::from_millis(1500);
const SILENCE: Reason = Reason::NoAnswer { syns: 3, waited: WAITED };

/// The checks that are silent before this machine counts as isolated, and the one that begins it.
#[test]
fn unproven_silence_in_the_check_of_a_pool_is_no_result() {
    let mut fleet = Fleet::new(0, 7);
    let pool = fleet.add_pool(PoolConfig::named("web").settings);
    let endpoints = [1, 2, 3, 4].map(|network| SocketAddr::from(([198, 18, network, 1], 80)));
    for endpoint in endpoints {
        let place = Place::Endpoint(endpoint);
        fleet.add(pool, Member { label: None, place, is_witness: false }, Duration::ZERO);
    }
    let (attempts, timeout) = (Attempts::with_retries(2).unwrap(), Duration::from_secs(10));
    let (mut now, mut visits) = (Duration::ZERO, BTreeMap::new());
    let (mut answers, mut checked) = (0, endpoints[0]);
    while !fleet.is_isolated() {
        assert!(now < Duration::from_mins(5));
        for endpoint in endpoints {
            let until = now + Duration::from_secs(20);
            let visit = Visit { endpoint, engine: 0, attempts, timeout, until };
            visits.entry(endpoint).or_insert_with(|| fleet.visit(visit, now));
        }
        assert!(!matches!(fleet.next_visit(now), Wanted::Check(_)), "the pool checks them");
        while let Wanted::Check(Check { id, endpoint, .. }) = fleet.next(now) {
            checked = endpoint;
            fleet.schedule(id, now);
            fleet.ended(id, Ok(Verdict::without_probe(SILENCE)), now + WAITED);
            while let Some((id, end)) = fleet.poll_visit() {
                assert_eq!((visits.remove(&endpoint), end), (Some(id), VisitEnd::Isolated));
                answers += 1;
            }
        }
        now += Duration::from_millis(10);
    }
    assert!(answers >= 4 && !visits.contains_key(&checked), "{answers}");
}
