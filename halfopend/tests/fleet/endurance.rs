//! Days of virtual time: nothing drifts, nothing is forgotten, and every verdict is right when the
//! clocks of sequence numbers begin again (after 71 minutes and 4.8 hours).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::ControlFlow;
use std::time::Duration;

use halfopen::attempt::Attempts;
use halfopen::checker::{Checker, Ended};
use halfopen::engine::{Interrupt, SimulatedEngine};
use halfopen::event::Event;
use halfopen::event_loop::{Driver, Next, PacketEvent, run};
use halfopen::pacer::Pacer;
use halfopen::probe::Secret;
use halfopen::schedule::Schedule;
use halfopen::wire::{Flags, Options, Segment, SequenceNumber};
use halfopend::config::PoolConfig;
use halfopend::event::EventKind;
use halfopend::fleet::health::State;
use halfopend::fleet::{Fleet, Member, Place, PoolSettings, Wanted};

use crate::outages::{RTT, secs};
use crate::world::{Answer, World};

const HOUR: f64 = 3600.0;

const DAY: Duration = Duration::from_hours(24);

/// A hundred thousand targets, of which a tenth is dead for some hours, and an outage of a minute
/// every six hours.
#[test]
fn a_day_of_a_hundred_thousand_targets() {
    let interval = Duration::from_hours(4);
    let settings =
        PoolSettings { interval, down_interval: interval, ..PoolConfig::named("pool").settings };
    let (fleet, targets) = fleet_of(100_000, settings);
    let is_cut = |at: Duration| at.as_secs() % (6 * 3600) >= 6 * 3600 - 60;
    let dies = |endpoint: SocketAddr| number_of(endpoint) % 10 == 7;
    let is_dead = |at| (secs(5.0 * HOUR)..secs(14.0 * HOUR)).contains(&at);
    let mut world = World::new(fleet, 0, |endpoint, at| {
        let is_silent = is_cut(at) || dies(endpoint) && is_dead(at);
        if is_silent { Answer::Silence } else { Answer::Open(RTT) }
    });
    let (mut ups, mut downs, mut others) = (0, 0, 0);
    world.run(
        DAY,
        |_, _| {},
        |_, event| match event.kind {
            EventKind::Up => ups += 1,
            EventKind::Down => downs += 1,
            _ => others += 1,
        },
    );
    world.replay.compare(&world.fleet, &targets);
    let dead = targets.iter().filter(|(_, endpoint)| dies(*endpoint)).count();
    assert_eq!((ups, downs, others), (targets.len() + dead, dead, 0));
    assert!(targets.iter().all(|(id, _)| world.fleet.health(*id).state() == State::Up));
}

fn fleet_of(count: u32, settings: PoolSettings) -> (Fleet, Vec<(u32, SocketAddr)>) {
    let mut fleet = Fleet::new(0, 1);
    let pool = fleet.add_pool(settings);
    let add = |number| {
        let place = Place::Endpoint(endpoint(number));
        let member = Member { label: None, place, is_witness: false };
        (fleet.add(pool, member, Duration::ZERO), endpoint(number))
    };
    let targets = (0..count).map(add).collect();
    (fleet, targets)
}

const TARGETS: u32 = 1000;

/// 198.18.0.0/15
const FIRST: u32 = 0xc612_0000;

fn endpoint(number: u32) -> SocketAddr {
    (Ipv4Addr::from_bits(FIRST + number), 80).into()
}

fn number_of(endpoint: SocketAddr) -> u32 {
    match endpoint.ip() {
        IpAddr::V4(address) => address.to_bits() - FIRST,
        IpAddr::V6(_) => panic!("none of these"),
    }
}

/// When every tenth target is dead. All together, at every moment of the day.
fn is_dead(remote: SocketAddr, at: Duration) -> bool {
    let number = number_of(remote);
    let death = f64::from(number) / 10.0 * 14.0 * 60.0;
    number.is_multiple_of(10) && (secs(death)..secs(death + 40.0 * 60.0)).contains(&at)
}

/// Every answer comes again minutes later, at about the time of the next check.
fn answers(now: Duration, sent: &Segment) -> Vec<(Duration, Event)> {
    if sent.flags != Flags::SYN || is_dead(sent.destination, now) {
        return vec![];
    }
    let segment = Segment {
        source: sent.destination,
        destination: sent.source,
        sequence: SequenceNumber(1),
        acknowledgement: sent.sequence + 1,
        flags: Flags::SYN | Flags::ACK,
        window: 65_535,
        options: Options::default(),
    };
    let event = Event::Segment { segment, hop_limit: 64, reset_by_kernel: false };
    [RTT, secs(230.0)].map(|after| (after, event)).into()
}

/// Connects the fleet to the loop, as the daemon does.
struct Connected {
    fleet: Fleet,
    now: Duration,
    told: Vec<(Duration, EventKind, SocketAddr)>,
}

impl Driver for Connected {
    fn next(&mut self, now: Duration) -> Next {
        self.now = now;
        match self.fleet.next(now) {
            Wanted::Check(check) => Next::Target(check.id, check.endpoint),
            Wanted::At(time) => Next::At(time),
            Wanted::Nothing => Next::Later,
        }
    }

    fn schedule(&mut self, id: u32, now: Duration) -> Schedule {
        self.fleet.schedule(id, now)
    }

    fn ended(&mut self, ended: Ended) {
        self.fleet.ended(ended.id, ended.outcome, self.now);
    }

    fn flush(&mut self) {
        while let Some(event) = self.fleet.poll_event() {
            let endpoint = event.target.and_then(|target| target.endpoint).expect("a target");
            self.told.push((self.now, event.kind, endpoint));
        }
    }

    fn on_packet(&mut self, at: Duration, packet: &PacketEvent) {
        if let PacketEvent::Received(_, Ok(())) = packet {
            self.fleet.answered(at);
        }
    }

    fn interrupts(&self) -> Vec<Interrupt<'_>> {
        Vec::new()
    }

    fn handle_interrupts(&mut self, now: Duration) -> ControlFlow<()> {
        self.now = now;
        ControlFlow::Continue(())
    }
}

#[test]
fn a_day_of_a_thousand_targets_over_a_simulated_network() {
    let mut settings = PoolConfig::named("pool").settings;
    settings.interval = Duration::from_mins(4);
    settings.down_interval = settings.interval;
    let interval = settings.interval;
    let (fleet, _) = fleet_of(TARGETS, settings);
    let mut driver = Connected { fleet, now: Duration::ZERO, told: Vec::new() };
    let mut checker = Checker::new(Secret::new([7; 16]), Attempts::with_retries(2).expect("few"));
    let mut engine = SimulatedEngine::new(answers);
    let mut pacer = Pacer::new(10_000, usize::MAX);
    run(&mut checker, &mut engine, &mut pacer, &mut driver, None, Some(DAY)).expect("it receives");
    let mut told: HashMap<_, Vec<_>> = HashMap::new();
    for (at, kind, endpoint) in driver.told {
        told.entry(endpoint).or_default().push((at, kind));
    }
    for number in 0..TARGETS {
        let told = &told[&endpoint(number)];
        let kinds: Vec<_> = told.iter().map(|(_, kind)| *kind).collect();
        if !number.is_multiple_of(10) {
            assert_eq!(kinds, [EventKind::Up], "{number}: {told:?}");
            continue;
        }
        let death = secs(f64::from(number) / 10.0 * 14.0 * 60.0);
        let ends = death + secs(40.0 * 60.0);
        let mut expected = vec![EventKind::Up, EventKind::Down, EventKind::Up];
        if number == 0 {
            expected.remove(0);
        }
        assert_eq!(kinds, expected, "{number}: {told:?}");
        let [.., (down, _), (up, _)] = told[..] else { panic!("{told:?}") };
        assert!(down >= death && down <= death + interval.mul_f64(1.1) + secs(8.0), "{told:?}");
        assert!(up >= ends && up <= ends + interval.mul_f64(1.1) + secs(8.0), "{told:?}");
    }
}
