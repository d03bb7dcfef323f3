//! What can be wrong with a port, and which causes are right to name then.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::network::SERVER;

/// A path, a host and what is wrong with them.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
pub(crate) struct Scene {
    pub(crate) name: String,
    pub(crate) target: SocketAddr,
    /// How many routers are on the way there, and on the way back.
    pub(crate) routers: u8,
    pub(crate) back: u8,
    /// The same for echo replies, if they come back by another way.
    pub(crate) echo_back: Option<u8>,
    /// Errors of routers come back by other ways, one router shorter or longer.
    pub(crate) is_crooked: bool,
    /// Routers send no time exceeded.
    pub(crate) mute_routers: bool,
    /// Every device sends one ICMP error per second.
    pub(crate) limits_errors: bool,
    pub(crate) port: Port,
    pub(crate) other_ports_answer: bool,
    pub(crate) pings: bool,
    pub(crate) is_alive: bool,
    /// The last router sends host unreachable for a dead host.
    pub(crate) last_router_tells: bool,
    /// The hop limits that packets leave with.
    pub(crate) tcp_first: u8,
    pub(crate) icmp_first: u8,
    pub(crate) router_first: u8,
    pub(crate) filter: Option<Filter>,
    pub(crate) balancer: Option<Balancer>,
    pub(crate) proxy: Option<Proxy>,
    /// The endpoint that SYN+ACKs come from instead of the target.
    pub(crate) answers_from: Option<SocketAddr>,
    /// The part of all segments that arrive with a wrong checksum.
    pub(crate) damage: f64,
    /// SYN+ACKs come again after this time.
    pub(crate) late: Option<Duration>,
    /// The causes that are true.
    pub(crate) right: &'static [&'static str],
    /// Without loss, one of them must be named.
    pub(crate) is_plain: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Port {
    Listening,
    Closed,
    /// SYNs are dropped because the accept queue is full.
    Hung,
}

/// A packet filter.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
pub(crate) struct Filter {
    /// The router that it is on; 0 for the host.
    pub(crate) place: u8,
    pub(crate) action: Action,
    pub(crate) syns_only: bool,
    /// It drops ACKs that belong to no connection, to whatever port, and nothing else.
    pub(crate) is_stateful: bool,
    /// It matches every packet to the host, not only those to the port.
    pub(crate) whole_host: bool,
    /// It acts before the hop limit is looked at (in PREROUTING).
    pub(crate) before_hop_limit: bool,
    /// The hop limit that RSTs leave with.
    pub(crate) first: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Drop,
    Reset,
    Icmp(u8, u8),
}

/// The host's address belongs to a load balancer, which passes the port on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Balancer {
    pub(crate) behind: Behind,
    /// Like IPVS, it passes only SYNs on; else as address translation does.
    pub(crate) is_ipvs: bool,
    /// Its ICMP errors come from the host's address.
    pub(crate) hides: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Behind {
    Nothing,
    /// The balancer sends host unreachable.
    Unreachable,
    Port(Port),
}

/// Answers SYNs to the port instead of the host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Proxy {
    pub(crate) place: u8,
    pub(crate) window: u16,
    /// It acts before the hop limit is looked at (in PREROUTING).
    pub(crate) before_hop_limit: bool,
}

const HUNG: &[&str] = &["filter-or-queue"];
const DROPPED: &[&str] = &["firewall-drop"];
pub(crate) const SILENT: &[&str] = &["host-silent"];
const REFUSED: &[&str] = &["refused-on-the-way"];
const NOBODY: &[&str] = &["nobody-listens"];
const IN_FRONT: &[&str] = &["answered-in-front"];
/// The port hangs, and the path is broken, too.
const DAMAGED: &[&str] = &["filter-or-queue", "corrupt-answers"];
const NOTHING: &[&str] = &[];

/// Returns a healthy host behind three routers, one of whose ports is in the state `port`.
fn scene(name: &str, port: Port, right: &'static [&'static str]) -> Scene {
    Scene {
        name: name.to_owned(),
        target: SERVER,
        routers: 3,
        back: 3,
        echo_back: None,
        is_crooked: false,
        mute_routers: false,
        limits_errors: false,
        port,
        other_ports_answer: true,
        pings: true,
        is_alive: true,
        last_router_tells: false,
        tcp_first: 64,
        icmp_first: 64,
        router_first: 255,
        filter: None,
        balancer: None,
        proxy: None,
        answers_from: None,
        damage: 0.0,
        late: None,
        right,
        is_plain: true,
    }
}

fn filtered(
    name: &str,
    place: u8,
    action: Action,
    right: &'static [&'static str],
    change: fn(&mut Filter),
) -> Scene {
    let mut filter = Filter {
        place,
        action,
        syns_only: false,
        is_stateful: false,
        whole_host: false,
        before_hop_limit: false,
        first: 64,
    };
    change(&mut filter);
    Scene { filter: Some(filter), ..scene(name, Port::Listening, right) }
}

/// Returns a hung port behind a firewall that passes SYNs on, and then what belongs to them.
fn stateful(name: &str, place: u8) -> Scene {
    let scene = filtered(name, place, Action::Drop, HUNG, |filter| filter.is_stateful = true);
    Scene { port: Port::Hung, is_plain: false, ..scene }
}

fn balanced(name: &str, behind: Behind, right: &'static [&'static str]) -> Scene {
    let balancer = Balancer { behind, is_ipvs: false, hides: false };
    let is_plain = false;
    Scene { balancer: Some(balancer), is_plain, ..scene(name, Port::Listening, right) }
}

/// Returns what is wrong, each with a plain path and host.
#[expect(clippy::too_many_lines, reason = "a list")]
pub(crate) fn plain() -> Vec<Scene> {
    use Action::{Drop, Icmp, Reset};
    let other = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 18, 0, 8)), SERVER.port());
    let proxied = |name, place, window| Scene {
        proxy: Some(Proxy { place, window, before_hop_limit: false }),
        ..scene(name, Port::Listening, IN_FRONT)
    };
    let dead = |name| Scene { is_alive: false, ..scene(name, Port::Closed, SILENT) };
    let ipvs = |name, behind| {
        // Its own words name it: SYNs are dropped behind a load balancer.
        let mut scene = balanced(name, behind, HUNG);
        scene.balancer.as_mut().expect("one").is_ipvs = true;
        scene
    };
    let hiding = |mut scene: Scene| {
        scene.name += ", errors from its own address";
        scene.balancer.as_mut().expect("one").hides = true;
        scene
    };
    let mut closed_behind = balanced("passed on, closed", Behind::Port(Port::Closed), NOBODY);
    closed_behind.is_plain = false;
    vec![
        Scene { is_plain: false, ..scene("open", Port::Listening, NOTHING) },
        scene("closed", Port::Closed, NOBODY),
        scene("hung", Port::Hung, HUNG),
        filtered("host drops all to the port", 0, Drop, DROPPED, |_| {}),
        filtered("router drops all to the port", 2, Drop, DROPPED, |_| {}),
        filtered("last router drops all to the port", 3, Drop, DROPPED, |_| {}),
        filtered("host drops SYNs", 0, Drop, HUNG, |f| f.syns_only = true),
        filtered("router drops SYNs", 2, Drop, HUNG, |f| f.syns_only = true),
        stateful("hung behind a stateful firewall", 2),
        stateful("hung with a stateful firewall", 0),
        Scene {
            damage: 0.2,
            is_plain: false,
            ..scene("hung, some answers damaged", Port::Hung, DAMAGED)
        },
        filtered("router drops all", 2, Drop, SILENT, |f| f.whole_host = true),
        filtered("host drops all", 0, Drop, SILENT, |f| f.whole_host = true),
        filtered("host resets", 0, Reset, NOBODY, |_| {}),
        filtered("host resets SYNs", 0, Reset, NOBODY, |f| f.syns_only = true),
        filtered("router resets", 2, Reset, REFUSED, |_| {}),
        filtered("router resets, 255", 2, Reset, REFUSED, |f| f.first = 255),
        filtered("first router resets", 1, Reset, REFUSED, |_| {}),
        filtered("last router resets", 3, Reset, REFUSED, |_| {}),
        filtered("router resets SYNs", 2, Reset, REFUSED, |f| f.syns_only = true),
        early(filtered("router resets early", 2, Reset, REFUSED, |_| {})),
        early(filtered("last router resets early", 3, Reset, REFUSED, |_| {})),
        filtered("host sends port unreachable", 0, Icmp(3, 3), REFUSED, |_| {}),
        filtered("host sends prohibited", 0, Icmp(3, 13), REFUSED, |_| {}),
        filtered("router sends prohibited", 2, Icmp(3, 13), REFUSED, |_| {}),
        filtered("router sends port unreachable", 2, Icmp(3, 3), REFUSED, |f| f.syns_only = true),
        filtered("router sends host unreachable", 2, Icmp(3, 1), REFUSED, |_| {}),
        dead("dead"),
        Scene { last_router_tells: true, ..dead("dead, its router tells") },
        proxied("proxy", 2, 64_240),
        proxied("proxy, window 0", 2, 0),
        proxied("proxy on the last router, window 0", 3, 0),
        early(proxied("early proxy", 2, 64_240)),
        early(proxied("early proxy, window 0", 2, 0)),
        Scene {
            is_alive: false,
            right: &["answered-in-front", "host-silent"],
            ..proxied("proxy of a dead host, window 0", 2, 0)
        },
        balanced("passed on, dead", Behind::Nothing, NOTHING),
        hiding(balanced("passed on, dead", Behind::Nothing, NOTHING)),
        balanced("passed on, unreachable", Behind::Unreachable, REFUSED),
        hiding(balanced("passed on, unreachable", Behind::Unreachable, NOTHING)),
        balanced("passed on, hung", Behind::Port(Port::Hung), HUNG),
        closed_behind,
        balanced("passed on, open", Behind::Port(Port::Listening), NOTHING),
        ipvs("IPVS, dead", Behind::Nothing),
        hiding(ipvs("IPVS, dead", Behind::Nothing)),
        ipvs("IPVS, open", Behind::Port(Port::Listening)),
        Scene {
            answers_from: Some(other),
            ..scene("answers from another address", Port::Listening, &["broken-nat"])
        },
        Scene { damage: 1.0, ..scene("damaged, open", Port::Listening, &["corrupt-answers"]) },
        Scene { damage: 1.0, ..scene("damaged, closed", Port::Closed, &["corrupt-answers"]) },
    ]
}

fn early(mut scene: Scene) -> Scene {
    if let Some(filter) = &mut scene.filter {
        filter.before_hop_limit = true;
    }
    if let Some(proxy) = &mut scene.proxy {
        proxy.before_hop_limit = true;
    }
    scene.is_plain = false;
    scene
}

/// Returns a host whose application hangs.
pub(crate) fn hung() -> Scene {
    scene("hung", Port::Hung, HUNG)
}
