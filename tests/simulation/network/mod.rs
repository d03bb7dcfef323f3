//! A run of checks, and the answers that a simulated network gives.

mod engine;
pub(crate) mod rounds;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::ControlFlow;
use std::time::Duration;

use halfopen::attempt::Attempts;
use halfopen::checker::{Checker, Ended};
use halfopen::engine::simulated::{FIRST_PORT, Network};
use halfopen::engine::{Engine, Interrupt};
use halfopen::event::Event;
use halfopen::event_loop::{Driver, Next, PacketEvent, run};
use halfopen::local_error::{LocalError, SendError};
use halfopen::pacer::Pacer;
use halfopen::probe::{DiscardReason, Secret};
use halfopen::schedule::Schedule;
use halfopen::verdict::{Outcome, Verdict};
use halfopen::wire::{Flags, IcmpError, Options, Quote, Segment, SequenceNumber};

pub(crate) use self::engine::Restful;

pub(crate) const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 18, 0, 7)), 25);
pub(crate) const SERVER_V6: SocketAddr =
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 7)), 25);
/// A silent target. It keeps a run going for all of its seven seconds.
pub(crate) const NOBODY: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 18, 99, 99)), 25);

/// The result of a run of the loop.
pub(crate) struct Run {
    /// The targets in the order in which they ended.
    pub(crate) outcomes: Vec<(usize, Outcome)>,
    /// When each of them ended. An end by an answer is reported when the loop next looks for
    /// something to send.
    ended_at: Vec<Duration>,
    /// When the loop asked for each target.
    pub(crate) asked_at: Vec<Duration>,
    /// The targets that the loop has cancelled at the engine, in that order.
    pub(crate) released: Vec<SocketAddr>,
    /// The most targets that the engine held at a time.
    pub(crate) most_held: usize,
    /// What the clock showed when the loop was done.
    pub(crate) end: Duration,
    pub(crate) packets: Vec<(Duration, PacketEvent)>,
    pub(crate) discarded: BTreeMap<DiscardReason, usize>,
}

impl Run {
    /// Returns the outcome of the target with this index. There must be exactly one.
    pub(crate) fn outcome_of(&self, target: usize) -> &Outcome {
        let of_it: Vec<_> = self.outcomes.iter().filter(|(index, _)| *index == target).collect();
        assert_eq!(of_it.len(), 1, "outcomes of target {target}");
        &of_it[0].1
    }

    /// When the target of this index ended.
    pub(crate) fn ended_at(&self, target: usize) -> Duration {
        let place = self.outcomes.iter().position(|(index, _)| *index == target);
        self.ended_at[place.expect("an outcome")]
    }

    /// The verdict on the first target.
    pub(crate) fn verdict(&self) -> &Verdict {
        self.outcome_of(0).as_ref().expect("a verdict")
    }

    pub(crate) fn syns(&self) -> Vec<(Duration, Segment)> {
        self.sent().into_iter().filter(|(_, segment)| segment.flags == Flags::SYN).collect()
    }

    /// The SYNs, each with the number of its attempt.
    pub(crate) fn numbered_syns(&self) -> Vec<(Duration, usize, Segment)> {
        let mut attempts = AttemptCounts::default();
        self.syns().into_iter().map(|(at, syn)| (at, attempts.number(&syn), syn)).collect()
    }

    /// When each SYN went out, milliseconds.
    pub(crate) fn syn_times(&self) -> Vec<u128> {
        self.syns().iter().map(|(at, _)| at.as_millis()).collect()
    }

    /// Returns everything that was sent except SYNs, and asserts that it consists of RSTs.
    pub(crate) fn resets(&self) -> Vec<(Duration, Segment)> {
        self.sent().into_iter().filter(|(_, segment)| segment.flags != Flags::SYN).collect()
    }

    pub(crate) fn sent(&self) -> Vec<(Duration, Segment)> {
        let sent = |(at, packet): &(Duration, PacketEvent)| match packet {
            PacketEvent::Sent(segment) => Some((*at, *segment)),
            PacketEvent::SentByKernel { .. } | PacketEvent::Received(..) => None,
        };
        self.packets.iter().filter_map(sent).collect()
    }

    pub(crate) fn ignored_once(&self, why: DiscardReason) {
        assert_eq!(self.discarded, BTreeMap::from([(why, 1)]));
    }
}

/// Checks [`SERVER`] by the default schedule: three attempts, ten seconds.
pub(crate) fn check(network: impl Network) -> Run {
    check_all(&[SERVER], network)
}

/// Checks these by the default schedule.
pub(crate) fn check_all(remotes: &[SocketAddr], network: impl Network) -> Run {
    check_by(schedule_of(2, secs(10)), remotes, network)
}

pub(crate) fn schedule_of(retries: u8, limit: Duration) -> Schedule {
    Schedule::fit(Attempts::with_retries(retries).expect("few"), limit)
}

pub(crate) fn check_by(schedule: Schedule, remotes: &[SocketAddr], network: impl Network) -> Run {
    check_with_secret([7; 16], schedule, remotes, network)
}

pub(crate) fn check_with_secret(
    secret: [u8; 16],
    schedule: Schedule,
    remotes: &[SocketAddr],
    network: impl Network,
) -> Run {
    check_under(Conditions { secret, ..Conditions::of(schedule) }, remotes, network)
}

/// The conditions of a run, beside its schedule.
#[derive(Clone, Copy)]
pub(crate) struct Conditions {
    pub(crate) secret: [u8; 16],
    pub(crate) schedule: Schedule,
    pub(crate) rate: u32,
    pub(crate) window: usize,
    /// How many targets may be pending at once.
    pub(crate) capacity: usize,
    /// What the clock shows when the run begins.
    pub(crate) start: Duration,
    pub(crate) deadline: Duration,
    /// Stops when this many targets have ended.
    pub(crate) patience: usize,
    /// What the kernel returns for each segment that it is to send.
    pub(crate) kernel: fn(&Segment) -> Result<(), LocalError>,
    /// From then on nothing can be received.
    pub(crate) deaf_at: Option<Duration>,
    /// How long it takes until the engine learns that there is no room for the first RSTs.
    pub(crate) returns_resets_after: Option<Duration>,
}

/// The error of a machine that cannot receive any more.
pub(crate) const DEAF: LocalError = LocalError::Receive(nix::errno::Errno::ENOMEM);

impl Conditions {
    /// Conditions that limit nothing but the schedule.
    pub(crate) fn of(schedule: Schedule) -> Self {
        Self {
            secret: [7; 16],
            schedule,
            rate: 0,
            window: usize::MAX,
            capacity: usize::MAX,
            start: Duration::ZERO,
            deadline: secs(10_000),
            patience: usize::MAX,
            kernel: |_| Ok(()),
            deaf_at: None,
            returns_resets_after: None,
        }
    }
}

pub(crate) fn check_under(
    conditions: Conditions,
    remotes: &[SocketAddr],
    network: impl Network,
) -> Run {
    let Conditions { secret, schedule, rate, window, start, deadline, patience, deaf_at, .. } =
        conditions;
    let mut checker = Checker::new(Secret::new(secret), schedule.attempts());
    let mut engine = Restful::new(&conditions, network);
    engine.wait(Some(start), &[]).expect("nothing fails here");
    let mut pacer = Pacer::new(rate, window);
    let mut record = Record {
        schedule,
        patience,
        remotes: remotes.to_vec(),
        asked_at: Vec::new(),
        now: Duration::ZERO,
        outcomes: Vec::new(),
        ended_at: Vec::new(),
        packets: Vec::new(),
    };
    let ran = run(&mut checker, &mut engine, &mut pacer, &mut record, None, Some(deadline));
    assert_eq!(ran, deaf_at.map_or(Ok(()), |_| Err(DEAF)));
    let sent = record.packets.iter().filter(|(_, c)| matches!(c, PacketEvent::Sent(_))).count();
    let handed_over = engine.engine.sent().len() + engine.returned;
    assert_eq!(handed_over, sent, "the driver learns of everything sent");
    let end = engine.now();
    Run {
        outcomes: record.outcomes,
        ended_at: record.ended_at,
        asked_at: record.asked_at,
        released: engine.released,
        most_held: engine.most_held,
        end,
        packets: record.packets,
        discarded: checker.discarded().clone(),
    }
}

struct Record {
    schedule: Schedule,
    patience: usize,
    remotes: Vec<SocketAddr>,
    asked_at: Vec<Duration>,
    /// What the clock last showed.
    now: Duration,
    outcomes: Vec<(usize, Outcome)>,
    ended_at: Vec<Duration>,
    packets: Vec<(Duration, PacketEvent)>,
}

impl Driver for Record {
    fn next(&mut self, now: Duration) -> Next {
        let begun = self.asked_at.len();
        let Some(remote) = self.remotes.get(begun) else { return Next::Nothing };
        self.asked_at.push(now);
        Next::Target(u32::try_from(begun).expect("few targets"), *remote)
    }

    fn schedule(&mut self, _id: u32, _now: Duration) -> Schedule {
        self.schedule
    }

    fn ended(&mut self, ended: Ended) {
        assert_eq!(self.remotes[ended.id as usize], ended.remote);
        self.outcomes.push((ended.id as usize, ended.outcome));
        self.ended_at.push(self.now);
    }

    fn flush(&mut self) {}

    fn on_packet(&mut self, at: Duration, packet: &PacketEvent) {
        self.now = at;
        self.packets.push((at, *packet));
    }

    fn interrupts(&self) -> Vec<Interrupt<'_>> {
        Vec::new()
    }

    fn handle_interrupts(&mut self, now: Duration) -> ControlFlow<()> {
        self.now = now;
        if self.outcomes.len() >= self.patience {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

/// Returns `count` targets, one address after the other.
pub(crate) fn remotes(count: usize) -> Vec<SocketAddr> {
    let first = u32::from(Ipv4Addr::new(198, 18, 0, 0));
    let address = |index| Ipv4Addr::from(first + index);
    (0..u32::try_from(count).unwrap()).map(|index| (address(index), 25).into()).collect()
}

/// A network with this rule for SYNs, each with the number of its attempt, and none for RSTs.
pub(crate) fn on_syn(
    mut rule: impl FnMut(usize, &Segment) -> Vec<(Duration, Event)>,
) -> impl FnMut(Duration, &Segment) -> Vec<(Duration, Event)> {
    let mut attempts = AttemptCounts::default();
    move |_, segment| match segment.flags {
        Flags::SYN => rule(attempts.number(segment), segment),
        _ => Vec::new(),
    }
}

/// Counts the SYNs to each target.
#[derive(Debug, Clone, Default)]
pub(crate) struct AttemptCounts(HashMap<SocketAddr, usize>);

impl AttemptCounts {
    /// Returns how many SYNs went there before this one.
    pub(crate) fn number(&mut self, syn: &Segment) -> usize {
        let count = self.0.entry(syn.destination).or_default();
        *count += 1;
        *count - 1
    }
}

/// The source port of each SYN of a run, counted from the first.
pub(crate) fn ports(run: &Run) -> Vec<u16> {
    run.syns().iter().map(|(_, syn)| syn.source.port() - FIRST_PORT).collect()
}

/// A network with a rule for routing, too.
pub(crate) struct Routed<R, N> {
    pub(crate) route: R,
    pub(crate) network: N,
}

impl<R, N> Network for Routed<R, N>
where
    R: FnMut(usize) -> Result<(), SendError>,
    N: Network,
{
    fn carry(&mut self, now: Duration, segment: &Segment) -> Vec<(Duration, Event)> {
        self.network.carry(now, segment)
    }

    fn route(&mut self, _remote: SocketAddr, number: usize) -> Result<(), SendError> {
        (self.route)(number)
    }
}

/// The target's answer to `syn` with these flags, acknowledging it.
pub(crate) fn answer(syn: &Segment, flags: Flags) -> Segment {
    Segment {
        source: syn.destination,
        destination: syn.source,
        sequence: SequenceNumber(0x1234_5678),
        acknowledgement: syn.sequence + 1,
        flags,
        window: 65_160,
        options: Options::default(),
    }
}

pub(crate) const SYN_ACK: Flags = Flags(0x12);
pub(crate) const RST_ACK: Flags = Flags(0x14);

pub(crate) fn syn_ack(syn: &Segment) -> Event {
    arrive(answer(syn, SYN_ACK))
}

pub(crate) fn rst_ack(syn: &Segment) -> Event {
    arrive(answer(syn, RST_ACK))
}

/// An ACK of an old connection, with a number that has nothing to do with our SYN.
pub(crate) fn challenge_ack(syn: &Segment) -> Event {
    arrive(Segment { acknowledgement: SequenceNumber(0x0bad_cafe), ..answer(syn, Flags::ACK) })
}

pub(crate) fn arrive(segment: Segment) -> Event {
    Event::Segment { segment, hop_limit: 64, reset_by_kernel: false }
}

/// An ICMP error from `offender` quoting `segment`, of the version of its address family.
pub(crate) fn icmp((kind, code): (u8, u8), offender: IpAddr, segment: &Segment) -> Event {
    let error = IcmpError::new(kind, code, offender).expect("an error about a port");
    Event::Icmp(error, quote(segment))
}

pub(crate) fn quote(segment: &Segment) -> Quote {
    Quote {
        remote: segment.destination,
        local_port: segment.source.port(),
        sequence: segment.sequence,
    }
}

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) const fn millis(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
