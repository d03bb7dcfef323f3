//! Fewer checks can run at once than there are silent targets.

use std::net::{IpAddr, SocketAddr};

use halfopend::config::PoolConfig;
use halfopend::fleet::health::State;

use crate::outages::{RTT, fleet_of, secs};
use crate::world::{Answer, World};

/// Checks of dead targets take all the room again and again, so checks of live ones are late. But
/// cross-checks have room of their own, so the dead targets go down.
#[test]
fn silent_targets_that_take_all_places_are_down() {
    for capacity in [8, 64] {
        let (mut fleet, targets) = fleet_of(0, 8, 100, PoolConfig::named("pool").settings);
        fleet.limit_checks(&[capacity]);
        let is_dead = |endpoint: SocketAddr| match endpoint.ip() {
            IpAddr::V4(address) => address.octets()[2] < 6,
            IpAddr::V6(_) => false,
        };
        let mut world = World::new(fleet, 0, |endpoint, at| {
            if is_dead(endpoint) && at > secs(20.0) { Answer::Silence } else { Answer::Open(RTT) }
        });
        world.run(secs(5000.0), |_, _| {}, |_, _| {});
        assert!(world.most_at_once <= capacity, "{} of {capacity}", world.most_at_once);
        for (id, endpoint) in targets {
            let expected = if is_dead(endpoint) { State::Down } else { State::Up };
            assert_eq!(world.fleet.health(id).state(), expected, "{endpoint}, {capacity} at once");
        }
        assert!(world.fleet.delayed() > 0);
    }
}
