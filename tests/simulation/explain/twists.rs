//! Paths and hosts that are not plain.

use super::scenes::{Action, Balancer, Behind, Filter, SILENT, Scene, plain};

/// A path or a host that is not plain.
type Twist = (&'static str, fn(&mut Scene));

const TWISTS: [Twist; 13] = [
    ("on the link", |scene| (scene.routers, scene.back) = (0, 0)),
    ("one router", |scene| (scene.routers, scene.back) = (1, 1)),
    ("shorter way back", |scene| scene.back = 2),
    ("much shorter way back", |scene| (scene.routers, scene.back) = (6, 3)),
    ("longer way back", |scene| scene.back = 5),
    ("crooked", |scene| (scene.is_crooked, scene.routers, scene.back) = (true, 5, 4)),
    ("other way for pings", |scene| {
        (scene.routers, scene.back, scene.echo_back) = (5, 3, Some(4));
    }),
    ("Windows", |scene| (scene.tcp_first, scene.icmp_first) = (128, 128)),
    ("255 and 64", |scene| (scene.tcp_first, scene.icmp_first) = (64, 255)),
    ("60 and 255", |scene| (scene.tcp_first, scene.icmp_first) = (60, 255)),
    ("60 for pings", |scene| scene.icmp_first = 60),
    ("mute routers", |scene| scene.mute_routers = true),
    ("limited errors", |scene| scene.limits_errors = true),
];

/// Returns every scene with every twist.
pub(crate) fn twisted() -> Vec<Scene> {
    let mut scenes = Vec::new();
    for (twist, apply) in TWISTS {
        for mut scene in plain() {
            apply(&mut scene);
            if has_place(&scene) && !is_beyond_proof(&scene) {
                scene.name = format!("{} ({twist})", scene.name);
                scene.is_plain = false;
                scenes.push(scene);
            }
        }
    }
    scenes
}

/// Returns every scene with a host that does not answer pings, or on other ports, or both.
pub(crate) fn reserved() -> Vec<Scene> {
    let mut scenes = Vec::new();
    for (how, pings, others) in
        [("no pings", false, true), ("no other port", true, false), ("nothing else", false, false)]
    {
        for mut scene in plain() {
            scene.name = format!("{} ({how})", scene.name);
            (scene.pings, scene.other_ports_answer, scene.is_plain) = (pings, others, false);
            if !pings && !others && !scene.has_answer() {
                scene.right = SILENT;
            }
            scenes.push(scene);
        }
    }
    scenes
}

impl Scene {
    /// Returns true if the port itself may answer something.
    fn has_answer(&self) -> bool {
        // A hung port answers ACKs alone, which a stateful firewall drops.
        let drops = |filter: Filter| filter.action == Action::Drop && !filter.syns_only;
        let unreachable = |filter: Filter| filter.action == Action::Icmp(3, 1);
        let is_dead = |balancer: Balancer| {
            matches!(balancer.behind, Behind::Nothing | Behind::Unreachable) && !balancer.is_ipvs
        };
        !self.filter.is_some_and(|filter| drops(filter) || unreachable(filter))
            && !self.balancer.is_some_and(is_dead)
            && (self.is_alive || self.proxy.is_some())
    }
}

/// Returns true if nothing that is sent or comes back tells the last router from the host: it
/// resets before it looks at the hop limit, and the host's answers pass one router less on their
/// way back.
fn is_beyond_proof(scene: &Scene) -> bool {
    let is_early = |filter: Filter| filter.before_hop_limit && filter.place == scene.routers;
    scene.filter.is_some_and(is_early) && scene.back + 1 == scene.routers
}

fn has_place(scene: &Scene) -> bool {
    scene.filter.is_none_or(|filter| filter.place <= scene.routers)
        && scene.proxy.is_none_or(|proxy| proxy.place <= scene.routers)
        && (scene.routers > 0 || !scene.last_router_tells)
}
