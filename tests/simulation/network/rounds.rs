//! Runs that probe the same targets in rounds.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::time::Duration;

use halfopen::checker::{Checker, Ended};
use halfopen::engine::simulated::Network;
use halfopen::engine::{Interrupt, SimulatedEngine};
use halfopen::event::Event;
use halfopen::event_loop::{Driver, Next, PacketEvent, run};
use halfopen::pacer::Pacer;
use halfopen::probe::{DiscardReason, Secret};
use halfopen::schedule::Schedule;
use halfopen::verdict::{Outcome, PortState};
use halfopen::wire::{Flags, Segment, SequenceNumber};

use super::{SYN_ACK, schedule_of, secs};

/// Probes targets in rounds, without a deadline.
pub(crate) struct Rounds {
    pub(crate) schedule: Schedule,
    pub(crate) secret: [u8; 16],
    pub(crate) remotes: Vec<SocketAddr>,
    pub(crate) count: usize,
    /// From the end of a round to the beginning of the next one.
    pub(crate) rest: Duration,
    /// From the beginning of a round to the beginning of the next one, instead of `rest`.
    pub(crate) interval: Option<Duration>,
    /// How long the run waits for late answers at the end.
    pub(crate) last_look: Duration,
}

impl Rounds {
    pub(crate) fn of(remotes: &[SocketAddr], count: usize) -> Self {
        Self {
            schedule: schedule_of(1, secs(3)),
            secret: [7; 16],
            remotes: remotes.to_vec(),
            count,
            rest: secs(1),
            interval: None,
            last_look: secs(61),
        }
    }

    /// Runs the rounds over a network that answers each SYN by this rule, given the number of the
    /// round.
    pub(crate) fn over(
        self,
        mut rule: impl FnMut(usize, &Segment) -> Vec<(Duration, Event)>,
    ) -> Log {
        let mut begun: HashMap<SocketAddr, Vec<SequenceNumber>> = HashMap::new();
        let network = move |_: Duration, segment: &Segment| {
            if segment.flags != Flags::SYN {
                return Vec::new();
            }
            // A round of these tests has one port, and so one number.
            let known = begun.entry(segment.destination).or_default();
            if known.last() != Some(&segment.sequence) {
                known.push(segment.sequence);
            }
            rule(known.len() - 1, segment)
        };
        self.over_network(network)
    }

    /// Runs the rounds over a network.
    pub(crate) fn over_network(self, network: impl Network) -> Log {
        let mut engine = SimulatedEngine::new(network);
        let mut checker = Checker::new(Secret::new(self.secret), self.schedule.attempts());
        let due = self.remotes.iter().enumerate().map(|(id, _)| (Duration::ZERO, id)).collect();
        let mut log = Log {
            due,
            left: vec![self.count; self.remotes.len()],
            begun: HashMap::new(),
            entries: Vec::new(),
            end: Duration::ZERO,
            now: Duration::ZERO,
            turns: 0,
            rounds: self,
        };
        let mut pacer = Pacer::new(0, usize::MAX);
        assert_eq!(run(&mut checker, &mut engine, &mut pacer, &mut log, None, None), Ok(()));
        log
    }
}

enum Entry {
    Packet(Duration, PacketEvent),
    Ended(usize, SocketAddr, Outcome),
}

pub(crate) struct Log {
    rounds: Rounds,
    /// When each target is due.
    due: Vec<(Duration, usize)>,
    left: Vec<usize>,
    begun: HashMap<usize, Duration>,
    entries: Vec<Entry>,
    end: Duration,
    now: Duration,
    pub(crate) turns: usize,
}

impl Log {
    pub(crate) fn outcomes(&self) -> impl Iterator<Item = (usize, &Outcome)> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Ended(id, _, outcome) => Some((*id, outcome)),
            Entry::Packet(..) => None,
        })
    }

    pub(crate) fn states(&self) -> Vec<PortState> {
        self.outcomes().filter_map(|(_, outcome)| Some(outcome.as_ref().ok()?.state())).collect()
    }

    fn packets(&self) -> impl Iterator<Item = (Duration, &PacketEvent)> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Packet(at, packet) => Some((*at, packet)),
            Entry::Ended(..) => None,
        })
    }

    pub(crate) fn sent(&self) -> impl Iterator<Item = (Duration, Segment)> {
        self.packets().filter_map(|(at, packet)| match packet {
            PacketEvent::Sent(segment) => Some((at, *segment)),
            _ => None,
        })
    }

    pub(crate) fn syns(&self) -> impl Iterator<Item = (Duration, Segment)> {
        self.sent().filter(|(_, segment)| segment.flags == Flags::SYN)
    }

    /// Returns where RSTs went to, with their sequence numbers.
    pub(crate) fn resets(&self) -> BTreeMap<(SocketAddr, u32), usize> {
        let mut counts = BTreeMap::new();
        for (_, packet) in self.packets() {
            if let PacketEvent::Sent(Segment { flags: Flags::RST, destination, sequence, .. }) =
                packet
            {
                *counts.entry((*destination, sequence.0)).or_default() += 1;
            }
        }
        counts
    }

    /// Returns where segments with these flags came from, with their acknowledgement numbers.
    pub(crate) fn acknowledged_by(&self, wanted: Flags) -> BTreeMap<(SocketAddr, u32), usize> {
        let mut counts = BTreeMap::new();
        for (_, packet) in self.packets() {
            if let PacketEvent::Received(Event::Segment { segment, .. }, _) = packet
                && segment.flags == wanted
            {
                *counts.entry((segment.source, segment.acknowledgement.0)).or_default() += 1;
            }
        }
        counts
    }

    pub(crate) fn discarded(&self, why: DiscardReason) -> usize {
        let is_that = |packet: &PacketEvent| matches!(packet, PacketEvent::Received(_, Err(reason)) if *reason == why);
        self.packets().filter(|(_, packet)| is_that(packet)).count()
    }

    /// Asserts that the first answer to a SYN of the same round decides each round, or silence if
    /// there was none.
    pub(crate) fn assert_each_round_stands_for_itself(&self) {
        let mut own: HashMap<SocketAddr, Vec<SequenceNumber>> = HashMap::new();
        let mut all: HashMap<(SocketAddr, SocketAddr, u32), usize> = HashMap::new();
        let mut decided: HashMap<SocketAddr, PortState> = HashMap::new();
        for (place, entry) in self.entries.iter().enumerate() {
            let (remote, sequence, state) = match entry {
                Entry::Packet(_, PacketEvent::Sent(syn)) if syn.flags == Flags::SYN => {
                    own.entry(syn.destination).or_default().push(syn.sequence);
                    let ends = (syn.source, syn.destination, syn.sequence.0);
                    let round = self.round(place, syn.destination);
                    let first = *all.entry(ends).or_insert(round);
                    assert_eq!(first, round, "two rounds have a number in common");
                    continue;
                }
                Entry::Packet(_, PacketEvent::Received(Event::Segment { segment, .. }, _)) => {
                    let state = match segment.flags {
                        SYN_ACK => PortState::Open,
                        _ => PortState::Closed,
                    };
                    (segment.source, segment.acknowledgement + u32::MAX, state)
                }
                Entry::Packet(_, PacketEvent::Received(Event::Icmp(_, quote), _)) => {
                    (quote.remote, quote.sequence, PortState::Filtered)
                }
                Entry::Packet(..) => continue,
                Entry::Ended(_, remote, outcome) => {
                    let state = outcome.as_ref().expect("a verdict").state();
                    let wanted = decided.remove(remote).unwrap_or(PortState::Filtered);
                    assert_eq!(state, wanted, "{remote}, entry {place}");
                    own.remove(remote);
                    continue;
                }
            };
            if own.get(&remote).is_some_and(|own| own.contains(&sequence)) {
                decided.entry(remote).or_insert(state);
            }
        }
    }

    /// Returns how often `remote` had ended before this entry.
    fn round(&self, place: usize, remote: SocketAddr) -> usize {
        let ended = |entry: &&Entry| matches!(entry, Entry::Ended(_, to, _) if *to == remote);
        self.entries[..place].iter().filter(ended).count()
    }
}

impl Driver for Log {
    fn next(&mut self, now: Duration) -> Next {
        let first = self.due.iter().min().copied();
        match first {
            Some((at, id)) if at <= now => {
                self.due.retain(|(_, other)| *other != id);
                self.left[id] -= 1;
                self.begun.insert(id, now);
                Next::Target(u32::try_from(id).expect("few targets"), self.rounds.remotes[id])
            }
            Some((at, _)) => Next::At(at),
            None if !self.begun.is_empty() => Next::Later,
            None if now < self.end + self.rounds.last_look => {
                Next::At(self.end + self.rounds.last_look)
            }
            None => Next::Nothing,
        }
    }

    fn schedule(&mut self, _id: u32, _now: Duration) -> Schedule {
        self.rounds.schedule
    }

    fn ended(&mut self, ended: Ended) {
        let id = ended.id as usize;
        let begun = self.begun.remove(&id).expect("it has begun");
        self.end = self.now;
        if self.left[id] > 0 {
            let rest = self.now + self.rounds.rest;
            self.due.push((self.rounds.interval.map_or(rest, |interval| begun + interval), id));
        }
        self.entries.push(Entry::Ended(id, ended.remote, ended.outcome));
    }

    fn flush(&mut self) {}

    fn on_packet(&mut self, at: Duration, packet: &PacketEvent) {
        self.now = at;
        self.entries.push(Entry::Packet(at, *packet));
    }

    fn interrupts(&self) -> Vec<Interrupt<'_>> {
        Vec::new()
    }

    fn handle_interrupts(&mut self, now: Duration) -> ControlFlow<()> {
        self.now = now;
        self.turns += 1;
        ControlFlow::Continue(())
    }
}
