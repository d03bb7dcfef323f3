//! The same targets again and again, while answers to earlier rounds are still on their way.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::ControlFlow;
use std::time::Duration;

use halfopen::checker::{Checker, Ended};
use halfopen::engine::{Interrupt, SimulatedEngine};
use halfopen::event::Event;
use halfopen::event_loop::{Driver, Next, PacketEvent, run};
use halfopen::pacer::Pacer;
use halfopen::probe::{DiscardReason, Secret};
use halfopen::schedule::Schedule;
use halfopen::verdict::{NoVerdict, Outcome, PortState};
use halfopen::wire::{Flags, Segment, SequenceNumber};
use proptest::prelude::*;

use crate::network::{
    RST_ACK, SERVER, SYN_ACK, answer, arrive, icmp, millis, remotes, rst_ack, schedule_of, secs,
    syn_ack,
};

/// A router, whose errors quote our SYNs.
const ROUTER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 254));

#[test]
fn a_late_syn_ack_of_the_first_round_does_not_open_a_silent_second_round() {
    let log = Rounds::of(&[SERVER], 2).over(|round, syn| match round {
        0 => vec![(millis(20), rst_ack(syn)), (millis(1500), syn_ack(syn))],
        _ => vec![],
    });
    assert_eq!(log.states(), [PortState::Closed, PortState::Filtered]);
    assert_eq!(log.resets(), log.acknowledged_by(SYN_ACK));
    assert_eq!(log.resets().len(), 1);
}

#[test]
fn a_late_refusal_of_the_first_round_does_not_close_the_second() {
    let log = Rounds::of(&[SERVER], 2).over(|round, syn| match round {
        0 => vec![(millis(20), syn_ack(syn)), (millis(1010), rst_ack(syn))],
        _ => vec![(millis(100), syn_ack(syn))],
    });
    assert_eq!(log.states(), [PortState::Open, PortState::Open]);
}

/// Nor does it count as a SYN+ACK with a wrong acknowledgement number, which makes the next attempt
/// leave at once.
#[test]
fn a_late_syn_ack_does_not_hurry_the_next_attempt() {
    let log = Rounds::of(&[SERVER], 2).over(|round, syn| match round {
        0 => vec![(millis(20), rst_ack(syn)), (millis(1100), syn_ack(syn))],
        _ => vec![],
    });
    let times: Vec<_> = log.syns().map(|(at, _)| at.as_millis()).collect();
    assert_eq!(times, [0, 1020, 2020]);
}

#[test]
fn a_syn_ack_that_comes_later_than_an_answer_can_live_is_not_ours() {
    for (after, ours) in [(secs(239), true), (secs(241), false)] {
        let log = Rounds { last_look: secs(300), ..Rounds::of(&[SERVER], 1) }
            .over(|_, syn| vec![(millis(20), syn_ack(syn)), (after, syn_ack(syn))]);
        assert_eq!(
            log.resets().values().sum::<usize>(),
            if ours { 2 } else { 1 },
            "after {after:?}"
        );
        assert_eq!(log.discarded(DiscardReason::NotOurs), usize::from(!ours));
    }
}

/// Numbers near that of the pending round: the guesses of an attacker who has seen those of earlier
/// rounds and knows the clock.
#[test]
fn only_the_exact_number_decides_a_round() {
    let guesses = (1..2000).flat_map(|ticks| [ticks, 0u32.wrapping_sub(ticks)]);
    let guesses: Vec<_> = guesses.collect();
    let log = Rounds::of(&[SERVER], 3).over(|_, syn| {
        let guess = |off: &u32| {
            let acknowledgement = syn.sequence + 1 + *off;
            (millis(5), arrive(Segment { acknowledgement, ..answer(syn, RST_ACK) }))
        };
        guesses.iter().map(guess).collect()
    });
    assert_eq!(log.states(), [PortState::Filtered; 3]);
}

#[test]
fn a_pending_endpoint_is_not_taken_on_again() {
    let attempts = schedule_of(0, secs(1)).attempts();
    let mut checker = Checker::new(Secret::new([7; 16]), attempts);
    assert!(checker.admit(0, SERVER, secs(1), secs(0)));
    assert!(!checker.admit(1, SERVER, secs(1), secs(0)));
    assert_eq!(checker.pending(), 1);
    checker.cancel(SERVER);
    assert!(checker.admit(2, SERVER, secs(1), secs(0)));
}

/// The loop goes on with the first of them.
#[test]
fn a_target_that_is_pending_already_ends_without_verdict() {
    let twice = Rounds { interval: Some(Duration::ZERO), ..Rounds::of(&[SERVER, SERVER], 1) };
    let log = twice.over(|_, syn| vec![(millis(20), syn_ack(syn))]);
    let outcomes: Vec<_> = log.outcomes().collect();
    assert_eq!(outcomes[0], (1, &Err(NoVerdict::AlreadyPending)));
    assert_eq!((outcomes[1].0, log.states()), (0, vec![PortState::Open]));
    assert_eq!(log.syns().count(), 1);
}

/// Each round begins at its time, to the nanosecond, and the loop does not spin.
#[test]
fn the_next_target_comes_at_its_time() {
    let log = Rounds { interval: Some(secs(3600)), ..Rounds::of(&remotes(3), 4) }
        .over(|_, syn| vec![(millis(20), syn_ack(syn))]);
    let times: Vec<_> = log.syns().map(|(at, _)| at).collect();
    let hours = (0..4).flat_map(|hour| [secs(hour * 3600); 3]);
    assert_eq!(times, hours.collect::<Vec<_>>());
    assert!(log.turns < 100, "{} turns of the loop", log.turns);
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    SynAck,
    RstAck,
    Prohibited,
}

/// What a SYN draws: answers, some of them twice and in any order, up to a minute later.
fn answers() -> impl Strategy<Value = Vec<(Kind, u64)>> {
    let kind = prop_oneof![Just(Kind::SynAck), Just(Kind::RstAck), Just(Kind::Prohibited)];
    let delay = prop_oneof![1..200u64, 200..5_000u64, 5_000..60_000u64];
    prop::collection::vec((kind, delay), 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_verdict_of_a_round_rests_on_an_answer_to_another_one(
        answers in prop::collection::vec(answers(), 1..40),
        targets in 1..5usize,
        retries in 0..3u8,
        timeout in 500..4_000u64,
        rest in 1..3_000u64,
        secret: [u8; 16],
    ) {
        let mut drawn = answers.iter().cycle();
        let rounds = Rounds {
            schedule: schedule_of(retries, millis(timeout)),
            secret,
            rest: millis(rest),
            ..Rounds::of(&remotes(targets), 12)
        };
        let log = rounds.over(|_, syn| {
            let answers = drawn.next().expect("it goes round").iter();
            answers.map(|(kind, delay)| (millis(*delay), match kind {
                Kind::SynAck => syn_ack(syn),
                Kind::RstAck => rst_ack(syn),
                Kind::Prohibited => icmp((3, 13), ROUTER, syn),
            })).collect()
        });
        prop_assert_eq!(log.outcomes().count(), targets * 12);
        log.assert_each_round_stands_for_itself();
        let late = log.acknowledged_by(SYN_ACK);
        prop_assert_eq!(log.resets(), late);
    }
}

/// Probes targets in rounds, without a deadline.
struct Rounds {
    schedule: Schedule,
    secret: [u8; 16],
    remotes: Vec<SocketAddr>,
    count: usize,
    /// From the end of a round to the beginning of the next one.
    rest: Duration,
    /// From beginning to beginning, instead of that.
    interval: Option<Duration>,
    /// How long is waited for late answers at the end.
    last_look: Duration,
}

impl Rounds {
    fn of(remotes: &[SocketAddr], count: usize) -> Self {
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

    /// Runs them over a network that answers each SYN of each round, counted for all targets, by
    /// this rule.
    fn over(self, mut rule: impl FnMut(usize, &Segment) -> Vec<(Duration, Event)>) -> Log {
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
        assert_eq!(run(&mut checker, &mut engine, &mut pacer, &mut log, None), Ok(()));
        log
    }
}

enum Entry {
    Packet(Duration, PacketEvent),
    Ended(usize, SocketAddr, Outcome),
}

struct Log {
    rounds: Rounds,
    /// Whose turn is when.
    due: Vec<(Duration, usize)>,
    left: Vec<usize>,
    begun: HashMap<usize, Duration>,
    entries: Vec<Entry>,
    end: Duration,
    now: Duration,
    turns: usize,
}

impl Log {
    fn outcomes(&self) -> impl Iterator<Item = (usize, &Outcome)> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Ended(id, _, outcome) => Some((*id, outcome)),
            Entry::Packet(..) => None,
        })
    }

    fn states(&self) -> Vec<PortState> {
        self.outcomes().filter_map(|(_, outcome)| Some(outcome.as_ref().ok()?.state())).collect()
    }

    fn packets(&self) -> impl Iterator<Item = (Duration, &PacketEvent)> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Packet(at, packet) => Some((*at, packet)),
            Entry::Ended(..) => None,
        })
    }

    fn syns(&self) -> impl Iterator<Item = (Duration, Segment)> {
        self.packets().filter_map(|(at, packet)| match packet {
            PacketEvent::Sent(segment) if segment.flags == Flags::SYN => Some((at, *segment)),
            _ => None,
        })
    }

    /// Where RSTs went to, with their sequence numbers.
    fn resets(&self) -> BTreeMap<(SocketAddr, u32), usize> {
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

    /// Where segments with these flags came from, with their acknowledgement numbers.
    fn acknowledged_by(&self, wanted: Flags) -> BTreeMap<(SocketAddr, u32), usize> {
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

    fn discarded(&self, why: DiscardReason) -> usize {
        let is_that = |packet: &PacketEvent| matches!(packet, PacketEvent::Received(_, Err(reason)) if *reason == why);
        self.packets().filter(|(_, packet)| is_that(packet)).count()
    }

    /// The first answer to a SYN of its own decides each round; silence if there was none.
    fn assert_each_round_stands_for_itself(&self) {
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

    /// How often `remote` has ended before this entry.
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

    fn time_limit(&mut self, _now: Duration) -> Duration {
        self.rounds.schedule.waits().sum()
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
