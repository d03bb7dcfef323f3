//! A path and a host, after the RFCs and what Linux does.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;
use std::time::Duration;

use halfopen::engine::simulated::Network;
use halfopen::event::Event;
use halfopen::question::{Question, QuestionKind};
use halfopen::wire::{Flags, IcmpError, Segment};

use super::packet::{Answer, Kind, Packet, is_filtered, router, tcp_answer};
use super::scenes::{Action, Balancer, Behind, Filter, Port, Proxy, Scene};
use crate::network::{RST_ACK, SYN_ACK, icmp, secs};

/// The hop limit that segments leave with.
const DEFAULT_HOP_LIMIT: u8 = 64;

const HOST_UNREACHABLE: (u8, u8) = (3, 1);
const TIME_EXCEEDED: (u8, u8) = (11, 0);

/// A scene with its dice.
pub(crate) struct Model {
    scene: Scene,
    seed: u64,
    /// The part of all packets that is lost, each way.
    loss: f64,
    /// How often each packet was sent.
    copies: HashMap<u64, u32>,
    /// How many ICMP errors each device may send, in seconds, and since when.
    allowance: HashMap<u8, (Duration, Duration)>,
    pub(crate) questions: Vec<(Duration, Question)>,
}

impl Model {
    pub(crate) fn new(scene: Scene, seed: u64, loss: f64) -> Self {
        let (copies, allowance) = (HashMap::new(), HashMap::new());
        Self { scene, seed, loss, copies, allowance, questions: Vec::new() }
    }

    /// Returns a number that depends on nothing but the seed and this purpose.
    fn hash(&self, purpose: impl Hash) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.seed, purpose).hash(&mut hasher);
        hasher.finish()
    }

    /// Throws a die for this purpose, from 0 to 1.
    fn die(&self, purpose: impl Hash) -> f64 {
        let half = u32::try_from(self.hash(purpose) >> 32).expect("half of it");
        f64::from(half) / f64::from(u32::MAX)
    }

    fn carry(&mut self, now: Duration, packet: &Packet) -> Vec<(Duration, Event)> {
        let mut hasher = DefaultHasher::new();
        let identity = match packet.kind {
            Kind::Segment(s) => (s.source.port(), s.sequence.0, s.flags.0),
            Kind::Echo(number) => (0, number, 0),
        };
        (identity, packet.remote, packet.hop_limit).hash(&mut hasher);
        let packet_id = hasher.finish();
        let copy = self.copies.entry(packet_id).or_default();
        *copy += 1;
        let id = (packet_id, *copy);
        if self.die((id, "there")) < self.loss {
            return Vec::new();
        }
        let Some(answer) = self.walk(now, packet) else { return Vec::new() };
        if self.die((id, "back")) < self.loss {
            return Vec::new();
        }
        let hop_limit = answer.first - answer.routers;
        let event = match answer.event {
            Event::Segment { segment, .. } if self.die((id, "damage")) < self.scene.damage => {
                Event::WrongChecksum { source: segment.source, destination: segment.destination }
            }
            Event::Segment { segment, .. } => {
                Event::Segment { segment, hop_limit, reset_by_kernel: false }
            }
            Event::Icmp(error, quote) => {
                Event::Icmp(IcmpError { hop_limit: Some(hop_limit), ..error }, quote)
            }
            Event::EchoReply { remote, number, .. } => {
                Event::EchoReply { remote, number, hop_limit }
            }
            other => other,
        };
        let micros = 300 + 700 * u64::from(self.scene.routers);
        let jitter = self.hash((id, "jitter")) % 2000;
        let delay = Duration::from_micros(micros + jitter);
        let is_syn_ack =
            matches!(event, Event::Segment { segment, .. } if segment.flags == SYN_ACK);
        let late = self.scene.late.filter(|_| is_syn_ack).map(|late| (delay + late, event));
        [(delay, event)].into_iter().chain(late).collect()
    }

    /// Follows a packet to where it ends, and returns what is sent back.
    fn walk(&mut self, now: Duration, packet: &Packet) -> Option<Answer> {
        for place in 1..=self.scene.routers {
            if let ControlFlow::Break(answer) = self.route(now, place, packet) {
                return answer;
            }
        }
        let scene = &self.scene;
        if !scene.is_alive {
            let place = scene.routers;
            let tells = scene.last_router_tells;
            return tells
                .then(|| self.error(now, HOST_UNREACHABLE, router(place), place, packet))
                .flatten();
        }
        let filter = scene.filter.filter(|filter| filter.place == 0);
        if let Some(filter) = filter.filter(|filter| is_filtered(scene, filter, packet)) {
            return self.filtered(now, filter, packet);
        }
        match scene.balancer {
            Some(balancer) if packet.is_to(scene.target) => self.balanced(now, balancer, packet),
            _ => self.host(scene.port, packet, 0),
        }
    }

    /// Takes a packet past the router at this place, or breaks with what that sends back.
    fn route(&mut self, now: Duration, place: u8, packet: &Packet) -> ControlFlow<Option<Answer>> {
        let scene = &self.scene;
        let filter = scene.filter.filter(|filter| filter.place == place);
        let filter = filter.filter(|filter| is_filtered(scene, filter, packet));
        let proxy = scene.proxy.filter(|proxy| proxy.place == place);
        let proxy = proxy.filter(|_| packet.is_syn_to(scene.target));
        let runs_out = packet.hop_limit == place;
        if let Some(filter) = filter.filter(|filter| filter.before_hop_limit || !runs_out) {
            ControlFlow::Break(self.filtered(now, filter, packet))
        } else if let Some(proxy) = proxy.filter(|proxy| proxy.before_hop_limit || !runs_out) {
            ControlFlow::Break(self.proxied(proxy, packet))
        } else if runs_out && scene.mute_routers {
            ControlFlow::Break(None)
        } else if runs_out {
            ControlFlow::Break(self.error(now, TIME_EXCEEDED, router(place), place, packet))
        } else {
            ControlFlow::Continue(())
        }
    }

    fn balanced(&mut self, now: Duration, balancer: Balancer, packet: &Packet) -> Option<Answer> {
        let target = self.scene.target;
        if balancer.is_ipvs && !packet.is_syn_to(target) {
            // No connection, and no SYN: ip_vs_in() lets the balancer itself answer.
            return self.host(Port::Closed, packet, 0);
        }
        let place = self.scene.routers + 1;
        let from = if balancer.hides { target.ip() } else { router(place) };
        if packet.hop_limit == place {
            return self.error(now, TIME_EXCEEDED, from, place, packet);
        }
        match balancer.behind {
            Behind::Nothing => None,
            Behind::Unreachable => self.error(now, HOST_UNREACHABLE, from, place, packet),
            Behind::Port(port) => self.host(port, packet, 1),
        }
    }

    /// Returns what the host answers if nothing stops the packet: RFC 9293 §3.10.7.1, §3.10.7.2.
    /// `farther` is how many routers it is behind the host's address.
    fn host(&self, port: Port, packet: &Packet, farther: u8) -> Option<Answer> {
        let scene = &self.scene;
        let back = scene.back + farther;
        let segment = match packet.kind {
            Kind::Echo(number) => {
                let event = Event::EchoReply { remote: packet.remote.ip(), number, hop_limit: 0 };
                let (first, routers) = (scene.icmp_first, scene.echo_back.unwrap_or(scene.back));
                return scene.pings.then_some(Answer { event, first, routers });
            }
            Kind::Segment(segment) => segment,
        };
        let is_target = packet.remote == scene.target;
        if !is_target && !scene.other_ports_answer {
            return None; // the default is to drop
        }
        let port = if is_target { port } else { Port::Closed };
        match (segment.flags, port) {
            (Flags::SYN, Port::Closed) => tcp_answer(packet, RST_ACK, scene.tcp_first, back),
            (Flags::SYN, Port::Listening) => {
                let mut answer = tcp_answer(packet, SYN_ACK, scene.tcp_first, back)?;
                if let (Event::Segment { segment, .. }, Some(from)) =
                    (&mut answer.event, scene.answers_from)
                {
                    segment.source = from;
                }
                Some(answer)
            }
            (Flags::ACK, _) => tcp_answer(packet, Flags::RST, scene.tcp_first, back),
            _ => None, // tcp_conn_request() drops SYNs: sk_acceptq_is_full()
        }
    }

    fn proxied(&self, proxy: Proxy, packet: &Packet) -> Option<Answer> {
        let back = self.back_from(proxy.place);
        let mut answer = tcp_answer(packet, SYN_ACK, self.scene.tcp_first, back)?;
        if let Event::Segment { segment, .. } = &mut answer.event {
            segment.window = proxy.window;
        }
        Some(answer)
    }

    fn filtered(&mut self, now: Duration, filter: Filter, packet: &Packet) -> Option<Answer> {
        let place = if filter.place == 0 { self.scene.routers + 1 } else { filter.place };
        let at_host = filter.place == 0;
        match filter.action {
            Action::Drop => None,
            Action::Reset => {
                let routers = if at_host { self.scene.back } else { self.back_from(place) };
                let flags = match packet.kind {
                    Kind::Segment(segment) if segment.flags == Flags::SYN => RST_ACK,
                    Kind::Segment(segment) if segment.flags == Flags::ACK => Flags::RST,
                    _ => return None,
                };
                tcp_answer(packet, flags, filter.first, routers)
            }
            Action::Icmp(kind, code) => {
                let from = if at_host { self.scene.target.ip() } else { router(place) };
                self.error(now, (kind, code), from, place, packet)
            }
        }
    }

    /// Returns how many routers a packet passes that the device at this place sends back.
    fn back_from(&self, place: u8) -> u8 {
        if place > self.scene.routers {
            return self.scene.back;
        }
        let there = place - 1;
        let crooked = u8::try_from(self.hash((place, "crooked")) % 3).expect("below 3");
        if self.scene.is_crooked { (there + crooked).saturating_sub(1) } else { there }
    }

    /// Returns an ICMP error, unless the device has sent too many. The checker is told of errors
    /// that quote a segment.
    fn error(
        &mut self,
        now: Duration,
        kind: (u8, u8),
        from: IpAddr,
        place: u8,
        packet: &Packet,
    ) -> Option<Answer> {
        let Kind::Segment(segment) = packet.kind else { return None };
        if self.scene.limits_errors {
            // inet_peer_xrlim_allow(): one per second, and up to six at once.
            let (left, since) = self.allowance.entry(place).or_insert((secs(6), now));
            *left = (*left + now.saturating_sub(*since)).min(secs(6));
            *since = now;
            *left = left.checked_sub(secs(1))?;
        }
        let event = icmp(kind, from, &segment);
        Some(Answer { event, first: self.scene.router_first, routers: self.back_from(place) })
    }
}

impl Network for &mut Model {
    fn carry(&mut self, now: Duration, segment: &Segment) -> Vec<(Duration, Event)> {
        let (kind, remote) = (Kind::Segment(*segment), segment.destination);
        Model::carry(self, now, &Packet { kind, remote, hop_limit: DEFAULT_HOP_LIMIT })
    }

    fn ask(
        &mut self,
        now: Duration,
        question: &Question,
        local: Option<SocketAddr>,
    ) -> Vec<(Duration, Event)> {
        self.questions.push((now, *question));
        let kind = match (question.kind, local) {
            (QuestionKind::Echo, _) => Kind::Echo(question.number),
            (_, Some(local)) => Kind::Segment(question.segment(local)),
            (_, None) => panic!("segments leave from an endpoint"),
        };
        let hop_limit = question.hop_limit.unwrap_or(DEFAULT_HOP_LIMIT);
        Model::carry(self, now, &Packet { kind, remote: question.remote, hop_limit })
    }
}
